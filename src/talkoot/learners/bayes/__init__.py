"""Learners of naive Bayes: counts and moments within each class.

May import `learners/common/` and `learners/sums/`.
"""
