"""The minimum of a quadratic plus an l1 term, which a (proximal) Newton step is."""

from __future__ import annotations

import warnings

import numpy as np
import scipy.linalg as sla
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import enet_path

NULL = 1e-11  # eigenvalues below this share of the greatest are rounding


def newton_step(gradient: np.ndarray, hessian: np.ndarray) -> np.ndarray:
    """-H^-1 g for a positive semidefinite H, (n, n); the shortest such step where H is singular."""
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
    nonzero = values > NULL * max(values.max(initial=0.0), 0.0)
    return np.asarray((vectors[:, nonzero] / values[nonzero]) @ vectors[:, nonzero].T)


def l1_step(point: np.ndarray, gradient: np.ndarray, hessian: np.ndarray, l1: np.ndarray) -> np.ndarray:
    """The d that minimises g'd + d'Hd/2 + sum(l1 |point + d|).

    Entries with l1 = 0 are eliminated; the rest is a lasso on a factor of the Schur complement of H.

    Args:
        point: (n,) the point about which the quadratic is.
        gradient: (n,).
        hessian: (n, n), positive semidefinite, with the gradient in its range.
        l1: (n,) weights >= 0 of the absolute values.
    """
    free, penalised = l1 == 0, l1 > 0
    inverse = pseudo_inverse(hessian[np.ix_(free, free)])
    cross = hessian[np.ix_(penalised, free)] @ inverse
    rest = hessian[np.ix_(penalised, penalised)] - cross @ hessian[np.ix_(free, penalised)]
    slope = gradient[penalised] - cross @ gradient[free]
    moved = _lasso(rest, rest @ point[penalised] - slope, l1[penalised], point[penalised])
    step = np.empty_like(point)
    step[penalised] = moved - point[penalised]
    step[free] = -inverse @ gradient[free] - cross.T @ step[penalised]
    return step


def _lasso(hessian: np.ndarray, target: np.ndarray, l1: np.ndarray, start: np.ndarray) -> np.ndarray:
    """The x that minimises x'Hx/2 - t'x + sum(l1 |x|)."""
    gram, target = hessian / (l1 * l1[:, None]), target / l1
    values, vectors = sla.eigh(gram, check_finite=False)
    nonzero = values > NULL * max(values.max(initial=0.0), 0.0)
    if not nonzero.any():
        return np.zeros_like(start)
    root = np.sqrt(values[nonzero])
    X, y = root[:, None] * vectors[:, nonzero].T, (vectors[:, nonzero].T @ target) / root
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the next Newton step continues from there
        _, paths, _ = enet_path(
            np.asfortranarray(X),
            y,
            l1_ratio=1.0,
            alphas=[1 / len(X)],
            precompute=np.asfortranarray(X.T @ X),
            Xy=X.T @ y,
            coef_init=start * l1,
            tol=1e-14,
            max_iter=10_000,
        )
    return np.asarray(_polish(gram, target, paths[:, 0]) / l1)


def _polish(gram: np.ndarray, target: np.ndarray, found: np.ndarray) -> np.ndarray:
    """The exact solution for the signs of `found`, if it has the same signs."""
    active = found != 0
    if not active.any():
        return found
    signs = np.sign(found[active])
    exact = found.copy()
    exact[active] = newton_step(signs - target[active], gram[np.ix_(active, active)])
    return exact if (np.sign(exact[active]) == signs).all() else found
