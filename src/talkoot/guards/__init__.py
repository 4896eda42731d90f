"""Transforms of the chain, applied between a node's update and the merge.

May import core only; never torch or ray.
"""
