"""Few synthetic rows with the same mean and X'X as all rows.

scikit-learn's own estimators are fitted to them wherever rows matter only through their mean and X'X.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cholesky, eigh, solve_triangular, svd
from scipy.sparse.linalg import svds

from talkoot.learners.sums.scatter import ProductMoments

NOISE = 32 * np.finfo(np.float64).eps  # share of the greatest eigenvalue, per column, that is rounding
CLEAR = 1e-10  # smallest squared pivot of scaled columns for which Cholesky is precise
MANY = 500  # columns from which few components are computed by iteration
STEEP = 1e-5  # below this ratio cancellation leaves under 11 digits; all components are computed


def factor(scatter: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows R with R'R = scatter, as few as its rank, and T with R'T = cross.

    Columns are scaled to equal size first, so that small ones are as precise as large ones. Directions that
    are zero up to rounding are dropped.

    Args:
        scatter: (p, p) X'X: symmetric, positive semi-definite.
        cross: (p, q) X'Y.

    Returns:
        R (rank, p) and T (rank, q).

    >>> R, T = factor(np.array([[4.0, 4.0], [4.0, 4.0]]), np.array([[2.0], [2.0]]))
    >>> R.shape, np.allclose(R.T @ R, 4.0), np.allclose(R.T @ T, 2.0)
    ((1, 2), True, True)
    """
    scale = np.sqrt(np.maximum(np.diagonal(scatter), 0.0))
    scale[scale == 0] = 1.0
    alike, cross = scatter / np.outer(scale, scale), cross / scale[:, None]
    try:
        upper = cholesky(alike)
        if np.diagonal(upper).min() ** 2 > CLEAR:
            return upper * scale, np.asarray(solve_triangular(upper, cross, trans="T"))
    except LinAlgError:
        pass  # collinear, or nearly so
    values, vectors = eigh(alike)
    nonzero = values > max(values[-1], 0.0) * len(values) * NOISE
    roots, vectors = np.sqrt(values[nonzero]), vectors[:, nonzero]
    return (vectors * roots).T * scale, (vectors / roots).T @ cross


def synthetic(
    found: ProductMoments, features: int, *, intercept: bool, residual: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Few rows and targets with the same X'X and X'y, about the mean if there is an intercept.

    Args:
        found: moments of features and targets.
        features: number of features; the other columns are targets.
        intercept: moments about the mean; else about zero.
        residual: also the same y'y, which iterative solvers need to decide when to stop.

    Returns:
        X (m, features) and Y (m, outputs).
    """
    p, outputs = features, len(found.mean) - features
    R, T = factor(found.scatter[:p, :p], found.scatter[:p, p:])
    X, Y = [R], [T]
    if not intercept:
        row = np.sqrt(found.weight) * found.mean[None]
        X.append(row[:, :p])
        Y.append(row[:, p:])
    if residual:
        left = np.diagonal(found.scatter)[p:] - (T**2).sum(axis=0)
        X.append(np.zeros((outputs, p)))
        Y.append(np.diag(np.sqrt(np.maximum(left, 0.0))))
    if not sum(map(len, X)):
        return np.zeros((1, p)), np.zeros((1, outputs))
    return np.vstack(X), np.vstack(Y)


def tall(X: np.ndarray, Y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows and targets, padded with zeros to at least as many rows as columns."""
    short = max(X.shape[1] - len(X), 0)
    return np.pad(X, ((0, short), (0, 0))), np.pad(Y, ((0, short), (0, 0)))


def leading(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Singular values of rows and right singular vectors, descending: all of them, or at least `count`.

    Few of many are computed by iteration, if their ratios allow it to be precise.

    Args:
        rows: (m, p).
        count: number needed, at most p.

    Returns:
        (k,) values and (k, p) orthonormal vectors; k is p or `count`.

    >>> values, vectors = leading(np.array([[0.0, 2.0, 0.0]]), 1)
    >>> values.tolist(), np.abs(vectors[0]).tolist()
    ([2.0, 0.0, 0.0], [0.0, 1.0, 0.0])
    """
    p = rows.shape[1]
    if p >= MANY and 0 < count <= min(p, len(rows)) // 10:
        begin = np.random.default_rng(0).normal(size=min(rows.shape))
        _, values, vectors = svds(rows, count, v0=begin)
        if values[0] ** 2 > STEEP * values[-1] ** 2:
            return values[::-1], vectors[::-1]
    _, values, vectors = svd(rows)
    return np.pad(values, (0, p - len(values))), vectors
