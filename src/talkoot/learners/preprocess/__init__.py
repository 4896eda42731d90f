"""Learners of scalers, bins, encoders and imputers.

May import `learners/common/` and `learners/sums/`.
"""
