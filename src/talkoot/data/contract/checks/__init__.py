"""One file for each kind of check of a contract; `run` calls them all.

May import the rest of `data/contract/` and whatever that may import.
"""
