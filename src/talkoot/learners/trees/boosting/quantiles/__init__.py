"""Losses whose best prediction is a quantile: of the target, and of the residuals of each leaf.

May import `sums` and `common`, and the trees that grow.
"""
