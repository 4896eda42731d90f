"""Streams: sources of rows that never end, and learning from them while they come.

May import core, formats, learners and kernels; engines know nothing of it.
"""
