"""Guards: transforms of the chain, between a node's update and the merge.

May import core alone; torch and ray never.
"""
