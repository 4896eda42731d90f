"""What the nodes of one process read when: shuffles, global batches, reading ahead, random generators.

May import core and `data/samples/`.
"""
