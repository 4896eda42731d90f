"""LightGBM's own trees over nodes that trust each other: the nodes of one process pool their rows there.

LightGBM is imported when it works, never with this package.
"""
