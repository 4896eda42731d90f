"""LightGBM's own trees over nodes that trust each other: the nodes of one process pool their rows there, and
several processes grow the trees of one.

LightGBM is imported when it works, never with this package.
"""
