"""The private names of scikit-learn's trees and forests; a test says which a new version moved."""

from __future__ import annotations

from copy import copy
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble._base import _partition_estimators
from sklearn.ensemble._forest import MAX_INT
from sklearn.ensemble._iforest import _average_path_length
from sklearn.tree._tree import NODE_DTYPE, TREE_LEAF, Tree

WHOLE = ("left_child", "right_child", "feature", "n_node_samples", "missing_go_to_left")
REAL = ("threshold", "impurity", "weighted_n_node_samples")
OF_ROWS = (
    "_n_samples",
    "_n_samples_bootstrap",
    "_sample_weight",
)  # what `estimators_samples_` reads


def jobs(forest: Any) -> int:
    """The number of threads that a forest takes on a machine of its own."""
    return int(_partition_estimators(forest.n_estimators, forest.n_jobs)[0])


def random_state_at(seed: int, tree: int) -> np.random.RandomState:
    """The random numbers of a forest where it draws the seed of its tree of this index."""
    state = np.random.RandomState(seed)
    state.randint(MAX_INT, size=tree)
    return state


def tree_seeds(seed: int, trees: int) -> np.ndarray:
    """(trees,) the seeds that a forest draws."""
    return np.asarray(np.random.RandomState(seed).randint(MAX_INT, size=trees))


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


def isolating(estimator: Any, X: np.ndarray, w: np.ndarray | None, seed: int, first: int, rows: int) -> Any:
    """IsolationForest with `n_estimators` trees from the index `first` on, each of so many of the rows."""
    made = clone(estimator).set_params(random_state=random_state_at(seed, first))
    made.n_features_in_ = X.shape[1]
    y = np.random.RandomState(seed).uniform(size=len(X))
    depth = int(np.ceil(np.log2(max(rows, 2))))
    return made._fit(X, y, max_samples=rows, max_depth=depth, sample_weight=w, check_input=False)


def with_isolating_trees(made: Any, trees: list[Any], columns: list[np.ndarray], seed: int, rows: int) -> Any:
    """A fitted IsolationForest with other trees, each of so many rows."""
    made.estimators_, made.estimators_features_ = trees, columns
    made.max_samples_ = made._max_samples = rows
    made.estimator_.max_depth = int(np.ceil(np.log2(max(rows, 2))))
    made._seeds = tree_seeds(seed, len(trees))
    made._average_path_length_per_tree = tuple(
        _average_path_length(tree.tree_.n_node_samples) for tree in trees
    )
    made._decision_path_lengths = tuple(tree.tree_.compute_node_depths() for tree in trees)
    return without_rows(made)


def isolation_scores(made: Any, X: np.ndarray) -> np.ndarray:
    """(rows,) the scores from which the offset of a fitted IsolationForest is taken."""
    return np.asarray(made._score_samples(X), dtype=np.float64)


def without_rows(made: Any) -> Any:
    """A fitted forest that does not claim to know which rows its trees have seen."""
    for name in OF_ROWS:
        vars(made).pop(name, None)
    return made
