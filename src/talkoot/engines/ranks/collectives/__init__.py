"""Collective operations on tensors and updates: process groups, sockets and shared memory of one machine.

Knows nothing of tasks, plans and checkpoints.
"""
