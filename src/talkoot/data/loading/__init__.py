"""Which samples the nodes of one process read at each step: shuffle, batches, prefetch, random generators.

May import core and `data/samples/`.
"""
