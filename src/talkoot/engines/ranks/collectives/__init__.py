"""How tensors and updates go from rank to rank: process groups, sockets and memory of one machine, sums.

Knows nothing of tasks, plans and checkpoints.
"""
