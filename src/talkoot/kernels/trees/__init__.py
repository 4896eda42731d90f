"""Trees that grow row by row over flat arrays.

May import the decorator alone; random numbers come from counters in the arrays.
"""
