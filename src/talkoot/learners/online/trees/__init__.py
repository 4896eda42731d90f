"""Trees that learn row by row: one tree, forests of them and boosted ones.

Settings and arrays live here; what goes over the rows is compiled, in kernels/trees.
"""
