"""Whether the nodes' data agree: summaries of their columns are compared, no row moves.

`checks/` has one file for each kind of check. May import core, `data/` and `data/tables/`.
"""
