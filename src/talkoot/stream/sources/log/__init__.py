"""The segment log: a stream in a folder of Arrow IPC files, with one writer and many readers a partition.

May import `sources/source`, core and data; nothing of a broker.
"""
