"""Watching: the event log of a run and what reads it."""
