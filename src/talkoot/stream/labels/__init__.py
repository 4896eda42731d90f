"""Labels that come later than their rows: joined by id, matured, censored, corrected.

May import core and learners.online.
"""
