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
    if _ragged(theirs):
        if not _ragged(ours) or len(ours) != len(theirs):
            return np.inf
        return max((apart(a, b) for a, b in zip(ours, theirs, strict=True)), default=0.0)
    a, b = _dense(ours), _dense(theirs)
    if a.shape != b.shape or (a.dtype.kind in "OSU") != (b.dtype.kind in "OSU"):
        return np.inf
    if a.dtype.kind in "OSU":
        same = (a == b) | ((a != a) & (b != b))  # NaN among objects
        return 0.0 if bool(np.all(same)) else np.inf
    return _far(a.astype(np.float64), b.astype(np.float64))


def _ragged(value: Any) -> bool:
    """Whether it is a sequence of values, such as the edges of the bins of each feature."""
    if isinstance(value, list | tuple):
        return True
    nested = isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 1
    return nested and any(isinstance(entry, np.ndarray) for entry in value)


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
