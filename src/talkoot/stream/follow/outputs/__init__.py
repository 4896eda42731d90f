"""What a node writes beside its store: rows for a sink, and the file of rows that were set aside.

May import core, follow's columns and rows, and stream/sinks.
"""
