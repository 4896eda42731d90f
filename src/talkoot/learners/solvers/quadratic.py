"""The least point of a quadratic with absolute values: what a proximal Newton step solves at the server."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.linalg as sla
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import enet_path

NULL = 1e-11  # eigenvalues below this share of the greatest are rounding


def newton_step(gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """-H^-1 g; the shortest such step where H is singular.

    Args:
        gradient: (n,).
        hessian: (n, n), positive semidefinite.
    """
    scale = np.sqrt(np.maximum(np.diag(hessian), 0.0))
    scale = 1 / np.where(scale > 0, scale, 1.0)
    scaled, target = hessian * scale * scale[:, None], -gradient * scale
    try:
        factor = sla.cho_factor(scaled, check_finite=False)
        if np.diag(factor[0]).min() > np.sqrt(NULL):
            return np.asarray(scale * sla.cho_solve(factor, target, check_finite=False))
    except sla.LinAlgError:
        pass
    return np.asarray(scale * (pseudo_inverse(scaled) @ target))


def pseudo_inverse(matrix: np.ndarray) -> np.ndarray:
    """(n, n) the inverse of a symmetric positive semidefinite matrix on its own range."""
    values, vectors = sla.eigh(matrix, check_finite=False)
    kept = values > NULL * max(values.max(initial=0.0), 0.0)
    return np.asarray((vectors[:, kept] / values[kept]) @ vectors[:, kept].T)


def l1_step(point: np.ndarray, gradient: np.ndarray, hessian: np.ndarray, l1: np.ndarray) -> np.ndarray:
    """The d that minimises g'd + d'Hd/2 + sum(l1 |point + d|).

    Entries with l1 = 0 are eliminated; the rest is a lasso on a factor of what is left of H.

    Args:
        point: (n,) where the quadratic was taken.
        gradient: (n,).
        hessian: (n, n), positive semidefinite, with the gradient in its range.
        l1: (n,) weights >= 0 of the absolute values.
    """
    free, held = l1 == 0, l1 > 0
    inverse = pseudo_inverse(hessian[np.ix_(free, free)])
    cross = hessian[np.ix_(held, free)] @ inverse
    rest = hessian[np.ix_(held, held)] - cross @ hessian[np.ix_(free, held)]
    slope = gradient[held] - cross @ gradient[free]
    moved = _lasso(rest, rest @ point[held] - slope, l1[held], point[held])
    step = np.empty_like(point)
    step[held] = moved - point[held]
    step[free] = -inverse @ gradient[free] - cross.T @ step[held]
    return step


def _lasso(hessian: np.ndarray, target: np.ndarray, l1: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The x that minimises x'Hx/2 - t'x + sum(l1 |x|)."""
    gram, aim = hessian / (l1 * l1[:, None]), target / l1
    values, vectors = sla.eigh(gram, check_finite=False)
    kept = values > NULL * max(values.max(initial=0.0), 0.0)
    if not kept.any():
        return np.zeros_like(start)
    root = np.sqrt(values[kept])
    factor, seen = root[:, None] * vectors[:, kept].T, (vectors[:, kept].T @ aim) / root
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the next Newton step goes on from there
        _, paths, _ = enet_path(
            np.asfortranarray(factor),
            seen,
            l1_ratio=1.0,
            alphas=[1 / len(factor)],
            precompute=np.asfortranarray(factor.T @ factor),
            Xy=factor.T @ seen,
            coef_init=start * l1,
            tol=1e-14,
            max_iter=10_000,
        )
    return np.asarray(_polished(gram, aim, paths[:, 0]) / l1)


def _polished(gram: np.ndarray, aim: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The exact solution for the signs that were found, where it keeps them."""
    active = found != 0
    if not active.any():
        return found
    signs = np.sign(found[active])
    exact = found.copy()
    exact[active] = newton_step(signs - aim[active], gram[np.ix_(active, active)])
    return exact if (np.sign(exact[active]) == signs).all() else found
