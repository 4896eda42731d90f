"""Sources: rows of a stream by partition and offset, from memory, folders and brokers.

`log/`: the segment log, a stream in a folder. May import core and data; brokers' libraries are imported late.
"""
