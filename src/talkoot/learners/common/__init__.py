"""What learners share: refusing estimators, checking rows, rounds of counting, putting results in.

May import core, data and `learners/sums/`; no learner lives here.
"""
