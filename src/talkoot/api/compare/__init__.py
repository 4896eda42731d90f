"""Does working together pay, and what is each node worth: cross-validation from sums that are gathered once.

tk.compare and fit.value(), and the tables that they give back.
"""
