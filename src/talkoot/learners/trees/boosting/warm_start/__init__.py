"""Boosting that goes on from the trees of an earlier fit: what is checked, and how nodes read such trees.

Nodes read them by thresholds, as the bins of the rows that they have now may be others.
"""
