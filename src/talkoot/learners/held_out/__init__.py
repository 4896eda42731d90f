"""Folds of rows, models that are trained without one, and what nodes answer about them on its rows.

`tk.compare` and `fit.value()` are made of these; `formats/` knows the views and queries among them by name.
"""
