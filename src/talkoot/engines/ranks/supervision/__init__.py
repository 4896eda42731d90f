"""Starts ranks, forms epochs of them, replaces those that die, and finds which rank caused a failure.

Both sides: the coordinator in the user's process, and a rank's own process.
"""
