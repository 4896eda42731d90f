"""Few rows with the same moments as all rows.

Whatever depends on rows only through their mean and X'X can be computed from a handful of synthetic rows with
the same mean and X'X. So scikit-learn's own estimators do the work: answers, ranks and iterations are theirs.
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import LinAlgError, cholesky, eigh, solve_triangular, svd
from scipy.sparse.linalg import svds

from talkoot.learners.sums.scatter import Moments

NOISE = 32 * np.finfo(np.float64).eps  # share of the greatest eigenvalue, per column, that is rounding
CLEAR = 1e-10  # share of its variance that a column must keep beside the others to be surely no rounding
MANY = 500  # columns from which a few of their components are found by iteration
STEEP = 1e-5  # share of the greatest squared singular value above which iteration keeps 11 digits


def factor(scatter: np.ndarray, cross: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows R with R'R = scatter, as few as its rank, and T with R'T = cross.

    Columns are scaled alike first, so that a column of small numbers keeps its digits beside one of great
    numbers. What is left of collinear columns after rounding is dropped.

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
    kept = values > max(values[-1], 0.0) * len(values) * NOISE
    roots, vectors = np.sqrt(values[kept]), vectors[:, kept]
    return (vectors * roots).T * scale, (vectors / roots).T @ cross


def synthetic(
    found: Moments, features: int, *, intercept: bool, residual: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Few rows and targets with the same X'X and X'y, about the mean if there is an intercept.

    Args:
        found: moments of features and targets.
        features: how many columns are features; the others are targets.
        intercept: moments about the mean; else about zero.
        residual: also the same y'y, which iterative solvers read when they decide to stop.

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
    """The same rows and targets and rows of zeros, so that there are at least as many rows as columns."""
    short = max(X.shape[1] - len(X), 0)
    return np.pad(X, ((0, short), (0, 0))), np.pad(Y, ((0, short), (0, 0)))


def leading(rows: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Singular values of rows and their right vectors, the greatest first: all of them, or at least `count`.

    A few of many are found by iteration, if they are not so unequal that it would cost digits.

    Args:
        rows: (m, p).
        count: how many are needed, at most p.

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
