"""Tables, and boosting over nodes beside scikit-learn's on the pooled rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone, is_classifier

import talkoot as tk

SHAPE = ["feature_idx", "bin_threshold", "missing_go_to_left", "is_leaf", "left", "right", "count", "depth"]
COLUMNS: dict[str, Any] = {  # kinds of columns of random tables
    "many": lambda rng, rows: rng.normal(size=rows),
    "few": lambda rng, rows: rng.integers(0, 3, rows).astype(float),
    "constant": lambda rng, rows: np.full(rows, 7.0),
    "missing": lambda rng, rows: np.full(rows, np.nan),
    "some missing": lambda rng, rows: np.where(rng.random(rows) < 0.4, np.nan, rng.normal(size=rows)),
}


def table(rows: int = 300, *, missing: float = 0.05, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Columns with many and with few values, and a target that depends on several of them."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(rows, 5))
    X[:, 1] = np.round(X[:, 1], 1)
    X[:, 2] = rng.integers(0, 4, rows)
    y = 2 * X[:, 0] + np.sin(3 * X[:, 1]) + 0.3 * X[:, 2] * X[:, 3] + rng.normal(size=rows) * 0.3
    X[rng.random(X.shape) < missing] = np.nan
    return X, y


def dealt(nodes: int, *given: npt.ArrayLike) -> dict[str, Any]:
    """Rows dealt over nodes in turn, and one node more without any."""
    columns = [np.asarray(each) for each in given]
    deal = [np.arange(len(columns[0]))[node::nodes] for node in range(nodes)] + [np.arange(0)]
    return {f"n{i}": tuple(each[part] for each in columns) for i, part in enumerate(deal)}


def together(estimator: Any, data: Any, on: Any = None) -> Any:
    """The model of nodes."""
    return tk.fit(clone(estimator), data, on=on or tk.Inline()).model


def assert_same_trees(got: Any, want: Any, X: Any, close: float = 1e-9) -> None:
    """The same trees with the same thresholds, and the same predictions within `close` of the greatest."""
    assert type(got) is type(want)
    assert got.n_iter_ == want.n_iter_
    for ours, theirs in zip(got._predictors, want._predictors, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one.nodes[SHAPE], other.nodes[SHAPE])
            np.testing.assert_array_equal(one.nodes["num_threshold"], other.nodes["num_threshold"])
    method = "decision_function" if is_classifier(got) else "predict"
    found, wanted = (np.asarray(getattr(model, method)(X)) for model in (got, want))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=close * max(1.0, float(np.abs(wanted).max())))
    if is_classifier(got):
        np.testing.assert_array_equal(got.classes_, want.classes_)
        np.testing.assert_allclose(got.predict_proba(X), want.predict_proba(X), rtol=0, atol=close)
