"""Drift: detectors of change in losses and features, estimates without labels, and what to do about it.

May import core, kernels (inside functions) and learners.online.
"""
