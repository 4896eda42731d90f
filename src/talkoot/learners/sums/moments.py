"""Counts, sums and sums of squares of each column about a center, which makes them precise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy.sparse import issparse

from talkoot.core.update import Update
from talkoot.learners.common.estimator import better_center


def sums(X: Any, w: np.ndarray | None, center: np.ndarray, *, squares: bool = True) -> Update:
    """The leaves n, s and ss of (rows, features): sums of 1, x - c and (x - c)^2; NaN is missing.

    `w`, (rows,), are weights, and `center`, (features,), is c; ss is left out without `squares`.
    """
    rows = X.shape[0]
    n, s, ss = _sparse(X, w, center) if issparse(X) else _dense(X, w, center)
    return Update(values={"n": n, "s": s, "ss": ss} if squares else {"n": n, "s": s}, weight=float(rows))


def _dense(X: np.ndarray, w: np.ndarray | None, center: np.ndarray) -> tuple[np.ndarray, ...]:
    D = X - center
    total = float(len(D)) if w is None else w.sum(dtype=np.float64)
    n, s = np.full(D.shape[1], total), _over_rows(D, w)
    if np.isnan(s).any():
        missing = np.isnan(D)
        D[missing] = 0.0
        n, s = n - _over_rows(missing, w), _over_rows(D, w)
    return n, s, _over_rows(np.square(D, out=D), w)


def _over_rows(D: np.ndarray, w: np.ndarray | None) -> np.ndarray:
    return np.asarray(D.sum(axis=0, dtype=np.float64) if w is None else w.astype(np.float64) @ D)


def _sparse(X: Any, w: np.ndarray | None, center: np.ndarray) -> tuple[np.ndarray, ...]:
    """As `_dense`; values that are not stored are 0."""
    rows, features = X.shape
    weight = np.ones(rows) if w is None else w.astype(np.float64)
    each = np.repeat(weight, np.diff(X.indptr))
    missing = np.isnan(X.data)
    D = np.where(missing, 0.0, X.data - center[X.indices])

    def over_rows(values: np.ndarray) -> np.ndarray:
        return np.bincount(X.indices, weights=values, minlength=features)

    zeros = weight.sum() - over_rows(each)
    n = zeros + over_rows(each * ~missing)
    return n, over_rows(each * D) - zeros * center, over_rows(each * D * D) + zeros * center**2


@final
@dataclass(frozen=True, slots=True, eq=False)
class ColumnMoments:
    """Count, mean and variance of each column, from merged sums."""

    n: np.ndarray  # (features,) total weight of the values that are not missing
    offset: np.ndarray  # (features,) mean - center; 0 for a column without values
    var: np.ndarray  # (features,) population variance; 0 for a column without values
    center: np.ndarray  # (features,) center of the sums

    @staticmethod
    def of(update: Update, center: np.ndarray) -> ColumnMoments:
        """From the leaves of `sums`."""
        n, s = update.values["n"], update.values["s"]
        ss = update.values.get("ss", np.zeros_like(s))
        some = np.where(n > 0, n, 1.0)
        offset = s / some
        return ColumnMoments(n=n, offset=offset, var=np.maximum(ss / some - offset**2, 0.0), center=center)

    @property
    def mean(self) -> np.ndarray:
        """(features,) mean; NaN for a column without values."""
        return np.where(self.n > 0, self.center + self.offset, np.nan)

    @property
    def variance(self) -> np.ndarray:
        """(features,) variance; NaN for a column without values."""
        return np.where(self.n > 0, self.var, np.nan)

    def next_center(self) -> np.ndarray | None:
        """A better center if this one is not precise enough, else None."""
        return better_center(1.0, self.offset, self.var + self.offset**2, self.center)
