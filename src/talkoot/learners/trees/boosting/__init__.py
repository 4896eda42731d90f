"""HistGradientBoosting over nodes: bins that nodes agree on, then sums of gradients in them.

No learner here sees a row outside of its node; what a node sends are counts and sums of bins.
"""
