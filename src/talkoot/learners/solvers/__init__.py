"""Iterative solvers as state machines: each says where the nodes evaluate next, until it is done.

May import core and `learners/common/`; knows nothing of estimators.
"""
