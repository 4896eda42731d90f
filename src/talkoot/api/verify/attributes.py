"""The fitted attributes of an estimator by name, and the relative difference of two values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator

NOT_COMPARED = {
    "n_iter_",
    "dual_gap_",
    "outliers_",
    "n_features_in_",
    "solver_",
}  # they describe the fit, not what was learned


def fitted_attributes(fitted: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Public fitted attributes by name; those of a composition's parts with the part's name in front.

    >>> from sklearn.preprocessing import StandardScaler
    >>> [name for name, _ in fitted_attributes(StandardScaler().fit([[1.0], [2.0]]))]
    ['mean_', 'n_samples_seen_', 'scale_', 'var_']
    """
    parts = dict(_parts(fitted))
    for name in sorted(vars(fitted)):
        value = vars(fitted)[name]
        public = name.endswith("_") and not name.startswith("_") and name not in NOT_COMPARED
        if public and _comparable(value):
            yield prefix + name, value
    for name, part in parts.items():
        if isinstance(part, BaseEstimator):
            yield from fitted_attributes(part, f"{prefix}{name}.")


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


def relative_difference(ours: Any, theirs: Any) -> float:
    """The largest difference of two values relative to the largest number of `theirs`.

    It is infinite where shapes, text, or the places of infinities and NaN differ.

    >>> relative_difference(np.array([1.0, 2.5]), np.array([1.0, 2.0])), relative_difference("a", "b")
    (0.25, inf)
    """
    if _ragged(theirs):
        if not _ragged(ours) or len(ours) != len(theirs):
            return np.inf
        return max((relative_difference(a, b) for a, b in zip(ours, theirs, strict=True)), default=0.0)
    a, b = _dense(ours), _dense(theirs)
    if a.shape != b.shape or (a.dtype.kind in "OSU") != (b.dtype.kind in "OSU"):
        return np.inf
    if a.dtype.kind in "OSU":
        same = (a == b) | ((a != a) & (b != b))  # NaN among objects
        return 0.0 if bool(np.all(same)) else np.inf
    return _array_difference(a.astype(np.float64), b.astype(np.float64))


def _ragged(value: Any) -> bool:
    """Whether it is a sequence of values, such as the edges of the bins of each feature."""
    if isinstance(value, list | tuple):
        return True
    nested = isinstance(value, np.ndarray) and value.dtype == object and value.ndim == 1
    return nested and any(isinstance(entry, np.ndarray) for entry in value)


def _array_difference(a: np.ndarray, b: np.ndarray) -> float:
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


def align_signs(ours: Any, theirs: Any) -> Any:
    """`ours` with the sign of each column as in `theirs`, both (rows, columns)."""
    if np.shape(ours) != np.shape(theirs):
        return ours
    return ours * np.where((ours * theirs).sum(axis=0) < 0, -1.0, 1.0)
