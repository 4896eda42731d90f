"""The private names of scikit-learn's forests; a test says which a new version moved."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.ensemble._base import _partition_estimators
from sklearn.ensemble._forest import MAX_INT
from sklearn.ensemble._iforest import _average_path_length

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
