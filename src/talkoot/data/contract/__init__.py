"""Whether the nodes' data agree: what their columns look like, compared, without a row that moves.

`checks/` has one file for each kind of check. May import core, `data/` and `data/tables/`.
"""
