"""Models that learn from rows one after the other, as arrays that compiled loops change in place.

May import `core` and, inside functions, `kernels`; public names stand in `talkoot.online`.
"""
