"""Boosted and single trees, from sums in bins that nodes agree on, and forests of trees that nodes grow.

No learner here sees a row outside of its node; thresholds of forests are values of single rows.
"""
