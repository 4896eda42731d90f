"""One file for each kind of check of a contract; `run` does them all.

May import the rest of `data/contract/`, and what it may.
"""
