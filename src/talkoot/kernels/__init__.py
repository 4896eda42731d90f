"""Compiled loops over arrays, the one place that imports numba. Imports nothing of ours.

Callers import these modules inside functions, so that a program without kernels never loads numba.
"""
