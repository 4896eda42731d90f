"""What a fitted estimator learned, as named arrays, and how far two of them are apart."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

BESIDE = {
    "n_iter_",
    "dual_gap_",
    "outliers_",
    "n_features_in_",
    "solver_",
}  # how, and from what, it was learned


def learned(fitted: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Public fitted attributes by their names, those of a composition's parts behind the parts' names.

    >>> from sklearn.preprocessing import StandardScaler
    >>> [name for name, _ in learned(StandardScaler().fit([[1.0], [2.0]]))]
    ['mean_', 'n_samples_seen_', 'scale_', 'var_']
    """
    parts = dict(_parts(fitted))
    for name in sorted(vars(fitted)):
        value = vars(fitted)[name]
        public = name.endswith("_") and not name.startswith("_") and name not in BESIDE
        if public and _comparable(value):
            yield prefix + name, value
    for name, part in parts.items():
        if isinstance(part, BaseEstimator):
            yield from learned(part, f"{prefix}{name}.")


def _parts(fitted: Any) -> Iterator[tuple[str, Any]]:
    """The parts of a composition by name."""
    if hasattr(fitted, "steps"):
        yield from fitted.steps
    elif hasattr(fitted, "transformers_"):
        yield from ((name, part) for name, part, _ in fitted.transformers_)
    elif hasattr(fitted, "transformer_list"):
        yield from fitted.transformer_list


def _comparable(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return bool(value) and all(_comparable(v) and not isinstance(v, str) for v in value)
    return sparse.issparse(value) or isinstance(value, np.ndarray | np.generic | int | float | str)


def apart(ours: Any, theirs: Any) -> float:
    """The largest difference of two values relative to the largest number of `theirs`; inf if unlike.

    Infinities and NaN must stand at the same places. Text must be equal.

    >>> apart(np.array([1.0, 2.5]), np.array([1.0, 2.0])), apart("a", "b")
    (0.25, inf)
    """
    if isinstance(theirs, list | tuple):
        if len(ours) != len(theirs):
            return np.inf
        return max((apart(a, b) for a, b in zip(ours, theirs, strict=True)), default=0.0)
    a, b = _dense(ours), _dense(theirs)
    if a.shape != b.shape or (a.dtype.kind in "OSU") != (b.dtype.kind in "OSU"):
        return np.inf
    if a.dtype.kind in "OSU":
        same = (a == b) | ((a != a) & (b != b))  # NaN among objects
        return 0.0 if bool(np.all(same)) else np.inf
    return _far(a.astype(np.float64), b.astype(np.float64))


def _far(a: np.ndarray, b: np.ndarray) -> float:
    finite = np.isfinite(b)
    if not np.array_equal(np.isfinite(a), finite) or not np.array_equal(
        a[~finite], b[~finite], equal_nan=True
    ):
        return np.inf
    a, b = a[finite], b[finite]
    gap, size = np.abs(a - b).max(initial=0.0), np.abs(b).max(initial=0.0)
    return float(gap / size) if size > 0 else float(gap)


def _dense(value: Any) -> np.ndarray:
    return np.asarray(value.toarray() if hasattr(value, "toarray") else value)


def up_to_signs(ours: Any, theirs: Any) -> Any:
    """`ours` with the sign of each column turned to that of `theirs`, both (rows, columns)."""
    if np.shape(ours) != np.shape(theirs):
        return ours
    return ours * np.where((ours * theirs).sum(axis=0) < 0, -1.0, 1.0)


def ranks_apart(ours: Any, theirs: Any, X: np.ndarray) -> float:
    """The largest difference between the ranks of two sets of quantiles among the rows, as a share of them.

    Args:
        ours: (features,), (quantiles, features), or an object array of (quantiles,) for each feature.
        theirs: likewise.
        X: (rows, features); missing values (NaN) are left out.

    >>> X = np.arange(10.0)[:, np.newaxis]
    >>> ranks_apart(np.array([4.0]), np.array([5.5]), X)
    0.1
    """
    if np.shape(ours) != np.shape(theirs):
        return np.inf
    pairs = zip(_by_feature(ours), _by_feature(theirs), X.T, strict=True)
    return max(_column_ranks_apart(a, b, np.sort(column[~np.isnan(column)])) for a, b, column in pairs)


def _by_feature(value: Any) -> list[np.ndarray]:
    if value.dtype == object:
        return [np.asarray(edges, dtype=np.float64) for edges in value]
    return list(np.atleast_2d(value).T)


def _column_ranks_apart(a: np.ndarray, b: np.ndarray, column: np.ndarray) -> float:
    """A value that some rows equal has a range of ranks; where two ranges meet there is no difference."""
    if a.shape != b.shape:
        return np.inf
    (a_low, a_high), (b_low, b_high) = (
        (np.searchsorted(column, v, "left"), np.searchsorted(column, v, "right")) for v in (a, b)
    )
    gap = np.maximum(a_low - b_high, b_low - a_high).max(initial=0)
    return float(max(gap, 0) / max(1, len(column)))
