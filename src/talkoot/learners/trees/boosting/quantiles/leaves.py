"""The residuals of each leaf of a finished tree, counted by ranges."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from talkoot.learners.sums.chunk import Chunk
from talkoot.learners.sums.counting import Values
from talkoot.learners.sums.ranges import keys
from talkoot.learners.sums.selection import Search
from talkoot.learners.trees.boosting.growing import Tree


@final
@dataclass(frozen=True, slots=True, eq=False)
class LeafCount:
    """What nodes count once a tree has grown.

    Args:
        leaves: (leaves, 2) each leaf, and the last of the parts below it, between which its rows lie: the leaf
            itself, unless it was divided before it was known to be one.
        search: the ranges in which residuals are counted.
    """

    leaves: np.ndarray
    search: Search


def leaves_of(tree: Tree) -> np.ndarray:
    """(leaves, 2) the leaves of a finished tree, as in `LeafCount`."""
    assert tree.chosen is not None
    inner = sorted(tree.chosen)
    children = [child for at in inner for child in (tree.splits[at].left, tree.splits[at].left + 1)]
    leaves = [at for at in children if at not in tree.chosen] if inner else [0]
    return np.array([(at, _last(tree, at)) for at in leaves], dtype=np.int64)


def _last(tree: Tree, at: int) -> int:
    """The last of the parts below one, in the order of rows."""
    while at in tree.splits:
        at = tree.splits[at].left + 1
    return at


def with_values(tree: Tree, leaves: np.ndarray, values: np.ndarray) -> Tree:
    """The tree that predicts other values in its leaves."""
    parts = list(tree.parts)
    for at, value in zip(leaves[:, 0].tolist(), values.tolist(), strict=True):
        parts[at] = replace(parts[at], value=value)
    return replace(tree, parts=tuple(parts))


def values_by_leaf(
    residuals: np.ndarray, mass: np.ndarray | None, order: np.ndarray, places: np.ndarray, leaves: np.ndarray
) -> Values:
    """The residuals of each leaf, sorted.

    Args:
        residuals: (rows,) of all rows of a node.
        mass: (rows,) what they weigh, in whole units; None where each weighs 1.
        order: (rows,) the numbers of the rows, those of a part side by side.
        places: (parts, 2) from where to where in it parts have their rows.
        leaves: see `LeafCount`.
    """
    found = Chunk(len(leaves))
    found.rows = len(residuals)
    spans = zip(places[leaves[:, 0], 0].tolist(), places[leaves[:, 1], 1].tolist(), strict=True)
    for leaf, (start, stop) in enumerate(spans):
        own = order[start:stop]
        own = own if mass is None else own[mass[own] > 0]
        found.append(leaf, keys(residuals[own]), None if mass is None else mass[own])
    return Values(*found.sorted(), found.zeros, found.rows)
