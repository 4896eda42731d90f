"""A fitted tree as plain arrays, whichever library grew it, and its Shapley values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import numpy as np

NO_TABLES = np.zeros((0, 1), dtype=np.bool_)


class Tree(NamedTuple):
    """A tree of n nodes, the root first.

    Args:
        feature: (n,) the column of a node's split.
        threshold: (n,) a number goes left where it is at most this.
        left: (n,) the left child; -1 at a leaf.
        right: (n,) the right child; -1 at a leaf.
        value: (n, outputs) what a leaf predicts.
        cover: (n,) the weight of the training rows that reached a node.
        missing_left: (n,) whether missing values go left.
        table: (n,) for a split of categories, its row in `tables`; else -1.
        tables: (splits, codes) whether a category goes left.
        output: the first output that the tree adds to.
    """

    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    cover: np.ndarray
    missing_left: np.ndarray
    table: np.ndarray
    tables: np.ndarray = NO_TABLES
    output: int = 0


def shapley_values(trees: Iterable[Tree], X: np.ndarray, outputs: int) -> tuple[np.ndarray, np.ndarray]:
    """What each column adds to the sum of some trees.

    Args:
        trees: that are added up.
        X: (rows, features).
        outputs: of the sum.

    Returns:
        values: (rows, features, outputs).
        base: (outputs,) what the trees predict where no column is known.
    """
    from talkoot.kernels.trees import shapley

    X = np.ascontiguousarray(X, dtype=np.float64)
    values, base = np.zeros((*X.shape, outputs)), np.zeros(outputs)
    for tree in trees:
        left, right = (_array(child, np.int64) for child in (tree.left, tree.right))
        order = shapley.preorder(left, right)
        feature = np.where(left < 0, -1, tree.feature)[order].astype(np.int64)
        nodes = shapley.linked(feature, _array(tree.cover[order], np.float64))
        value = _array(tree.value[order], np.float64)
        splits = shapley.Splits(
            threshold=_array(tree.threshold[order], np.float64),
            missing_left=_array(tree.missing_left[order], np.bool_),
            table=_array(tree.table[order], np.int64),
            tables=_array(tree.tables, np.bool_),
        )
        shapley.add_shapley(nodes, shapley.factors_of(nodes), splits, value, X, values, tree.output)
        base[tree.output : tree.output + value.shape[1]] += (nodes.reached * (feature < 0)) @ value
    return values, base


def _array(values: Any, dtype: Any) -> np.ndarray:
    return np.ascontiguousarray(values, dtype=dtype)
