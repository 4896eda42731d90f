"""The private names of scikit-learn's trees: a tree as plain arrays, and back; a test says which moved."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from sklearn.tree._tree import NODE_DTYPE, TREE_LEAF, TREE_UNDEFINED, Tree

WHOLE = ("left_child", "right_child", "feature", "n_node_samples", "missing_go_to_left")
REAL = ("threshold", "impurity", "weighted_n_node_samples")
LEAF, UNDEFINED = TREE_LEAF, TREE_UNDEFINED  # child of a leaf; its column and threshold


def arrays_of(tree: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(nodes, `WHOLE`) int32, (nodes, `REAL`) float64, (nodes, outputs, classes) float64 of a fitted tree."""
    nodes = tree.tree_.__getstate__()["nodes"]
    whole = np.stack([nodes[name].astype(np.int32) for name in WHOLE], axis=1)
    return whole, np.stack([nodes[name] for name in REAL], axis=1), np.asarray(tree.tree_.value)


def tree_of(
    features: int, classes: np.ndarray, whole: np.ndarray, real: np.ndarray, values: np.ndarray
) -> Tree:
    """scikit-learn's tree of arrays that are sound.

    Args:
        features: number of columns that it reads.
        classes: (outputs,) number of classes of each output, 1 for numbers.
        whole: (nodes, `WHOLE`) integers.
        real: (nodes, `REAL`) float64.
        values: (nodes, outputs, classes) float64.
    """
    nodes = np.zeros(len(whole), dtype=NODE_DTYPE)
    for names, columns in ((WHOLE, whole), (REAL, real)):
        for name, column in zip(names, columns.T, strict=True):
            nodes[name] = column
    made = Tree(features, np.asarray(classes, dtype=np.intp), len(classes))
    state = {"max_depth": _depth(whole), "node_count": len(nodes), "nodes": nodes}
    made.__setstate__({**state, "values": np.ascontiguousarray(values)})
    return made


def _depth(whole: np.ndarray) -> int:
    depth, level = 0, np.zeros(1, dtype=np.int64)
    while len(level := whole[level[whole[level, 0] != TREE_LEAF], :2].ravel()):
        depth += 1
    return depth


def fitted_tree(like: Any, whole: np.ndarray, real: np.ndarray, values: np.ndarray, seed: int) -> Any:
    """A copy of the fitted tree `like` that has other nodes."""
    made = copy(like)
    made.random_state = seed
    made.tree_ = tree_of(like.tree_.n_features, like.tree_.n_classes, whole, real, values)
    return made


def plain_tree(tree: Any) -> dict[str, Any]:
    """The nodes of a fitted tree as plain values, of which `tree_of_plain` makes a tree again."""
    whole, real, values = arrays_of(tree)
    classes = np.array(tree.tree_.n_classes, dtype=np.int64)
    return {
        "features": tree.tree_.n_features,
        "classes": classes,
        "whole": whole,
        "real": real,
        "values": values,
    }


def tree_of_plain(plain: Any, features: Any) -> Tree:
    """The tree that `plain_tree` took apart.

    scikit-learn's compiled code follows branches wherever they lead, so they are looked at before.

    Args:
        plain: what a file holds.
        features: number of columns of the rows that it predicts for.

    Raises:
        ValueError: it does not lead from the root to a leaf, or reads columns that there are not.
    """
    if not (isinstance(plain, dict) and plain.keys() == {"features", "classes", "whole", "real", "values"}):
        raise ValueError("a tree lacks its nodes")
    classes, whole, real, values = (plain[name] for name in ("classes", "whole", "real", "values"))
    if not (
        type(features) is int
        and plain["features"] == features > 0
        and _is(classes, np.int64, 1)
        and _is(whole, np.int32, 2)
        and _is(real, np.float64, 2)
        and _is(values, np.float64, 3)
        and whole.shape[1] == len(WHOLE)
        and real.shape == (len(whole), len(REAL))
        and values.shape == (len(whole), len(classes), classes.max())
        and classes.min() > 0
        and _leads_to_leaves(whole, features)
    ):
        raise ValueError("a tree leads nowhere")
    return tree_of(features, classes, whole, real, values)


def _is(value: Any, dtype: Any, dimensions: int) -> bool:
    """Whether it is an array of that type and not empty."""
    return type(value) is np.ndarray and value.dtype == dtype and value.ndim == dimensions and value.size > 0


def _leads_to_leaves(whole: np.ndarray, features: int) -> bool:
    """Whether every node but the root is a branch of one node before it, and reads a column that there is."""
    left, right, feature = whole[:, 0], whole[:, 1], whole[:, 2]
    at = np.flatnonzero(left != TREE_LEAF)
    branches = np.concatenate([left[at], right[at]])
    return bool(
        (right[left == TREE_LEAF] == TREE_LEAF).all()
        and (branches > np.tile(at, 2)).all()
        and np.array_equal(np.sort(branches), np.arange(1, len(whole)))
        and ((feature[at] >= 0) & (feature[at] < features)).all()
    )
