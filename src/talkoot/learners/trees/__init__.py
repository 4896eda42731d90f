"""Boosted trees of histograms: thresholds of bins that nodes agree on, then sums of gradients in these bins.

No learner here sees a row outside of its node; what a node sends are counts and sums of bins.
"""
