"""The public verbs. Thin: they build a plan, run it, and hand back a value that can be read.

`compare/` is tk.compare and fit.value(); `verify/` is tk.verify.
"""
