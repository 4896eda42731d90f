"""Learners of linear models: from X'X where one round is enough, else by a solver, round by round.

May import `learners/common/`, `learners/sums/` and `learners/solvers/`.
"""
