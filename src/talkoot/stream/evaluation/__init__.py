"""Prequential evaluation: how good predictions were that were made before their labels were known.

May import core, kernels (inside functions) and learners.online.
"""
