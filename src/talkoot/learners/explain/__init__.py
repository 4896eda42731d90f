"""Explanations of fitted models: contributions of columns to a prediction.

May import core, data, kernels and the other learners.
"""
