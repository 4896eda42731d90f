"""Learners of decompositions: PCA and TruncatedSVD.

May import `learners/common/` and `learners/sums/`.
"""
