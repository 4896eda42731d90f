"""Nodes and ranks on actors of a Ray cluster.

The one folder that imports ray; imported only where it is used.
"""
