"""How good predictions were: over all rows, and along the way.

May import follow's model and rules, and stream/evaluation.
"""
