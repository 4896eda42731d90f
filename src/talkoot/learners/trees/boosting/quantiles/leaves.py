"""The residuals of each leaf of a finished tree, counted by ranges."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from talkoot.learners.sums.counting import Values
from talkoot.learners.sums.ranges import keys
from talkoot.learners.sums.selection import Search
from talkoot.learners.trees.boosting.growing import Tree
from talkoot.learners.trees.weights import whole_weights


@final
@dataclass(frozen=True, slots=True, eq=False)
class LeafCount:
    """What nodes count once a tree has grown.

    Args:
        leaves: (leaves, 2) each leaf, and the last part below it, which are the same unless it was divided
            before it was known to be a leaf: its rows lie from the first to the second.
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


def residuals_by_leaf(
    count: LeafCount,
    errors: Callable[[np.ndarray], np.ndarray],
    weights: np.ndarray | None,
    order: np.ndarray,
    places: np.ndarray,
) -> Values:
    """The residuals of a node's rows, sorted in each leaf.

    Args:
        count: what is counted.
        errors: gives the residuals of rows by their numbers.
        weights: (rows,) of the rows; None where each weighs 1.
        order: (rows,) the numbers of the rows, those of a part side by side.
        places: (parts, 2) from where to where in it parts have their rows.
    """
    found, mass = list[np.ndarray](), list[np.ndarray]()
    starts, stops = places[count.leaves[:, 0], 0], places[count.leaves[:, 1], 1]
    for start, stop in zip(starts.tolist(), stops.tolist(), strict=True):
        own = order[start:stop]
        whole = None if weights is None else whole_weights(weights[own], count.search.scale)
        if whole is None:
            found.append(np.sort(keys(errors(own))))
        else:
            some = whole > 0
            residuals, whole = keys(errors(own[some])), whole[some]
            by = np.argsort(residuals)
            found.append(residuals[by])
            mass.append(whole[by])
    zeros = np.zeros(len(found), np.int64)
    return Values(tuple(found), tuple(mass) if mass else None, zeros, len(order))
