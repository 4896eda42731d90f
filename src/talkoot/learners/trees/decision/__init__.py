"""One decision tree of all rows: split by split as scikit-learn's, from sums in bins that nodes agree on.

No learner here sees a row outside of its node; what a node sends are counts and sums of bins.
"""
