"""Checkpoints of a training: written beside it, each rank its share; read on any number of ranks. No pickle.

Knows the folder and its bytes; `saving` is what a training calls.
"""
