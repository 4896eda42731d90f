"""Settings under which solvers go on to the optimum, and those that stop before it all the same."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone
from sklearn.linear_model import GammaRegressor, LogisticRegression, PoissonRegressor, TweedieRegressor
from sklearn.preprocessing import KBinsDiscretizer, QuantileTransformer

TOL, ROUNDS = 1e-10, 10_000  # that solvers are given
NEWTON = (LogisticRegression, PoissonRegressor, GammaRegressor, TweedieRegressor)
STALLS = {"lbfgs": 1e-4, "newton-cg": 1e-5}  # how far from the optimum scikit-learn's solvers may stop
ITERATING = ("sparse_cg", "lsqr", "sag", "saga")  # what Ridge may choose by itself
NARROW = 300  # coefficients up to which a Hessian is formed quickly


def tightened(estimator: Any, fitted: Any) -> tuple[Any, str]:
    """The estimator with solvers that stop late and quantiles of all rows, and what was set.

    A Newton method takes the place of L-BFGS where there is one: scikit-learn's L-BFGS stops some 1e-6 from
    the optimum whatever its tolerance. Up to `NARROW` features it is the one that forms the Hessian.

    Args:
        estimator: the estimator as the user set it.
        fitted: the same, fitted to the rows: its parts know how many features reach them.
    """
    params, parts, changes = estimator.get_params(deep=True), fitted.get_params(deep=True), dict[str, Any]()
    for name, tol in params.items():
        stem, last = name[: -len("tol")], name.split("__")[-1]
        if last != "tol" or f"{stem}max_iter" not in params:
            continue
        owner, most = parts[stem.removesuffix("__")] if stem else fitted, params[f"{stem}max_iter"]
        if most is not None:
            changes |= {name: min(tol, TOL), f"{stem}max_iter": max(most, ROUNDS)}
        elif getattr(owner, "solver_", None) in ITERATING:
            changes[name] = min(tol, TOL)
        if isinstance(owner, NEWTON) and owner.solver == "lbfgs" and (solver := _newton(owner)):
            changes[f"{stem}solver"] = solver
    for name, part in {"": estimator, **params}.items():
        if isinstance(part, KBinsDiscretizer | QuantileTransformer):
            changes[f"{name}__subsample".removeprefix("__")] = None
    settings = ", ".join(f"{name}={value!r}" for name, value in changes.items())
    return clone(estimator).set_params(**changes), settings


def _newton(fitted: Any) -> str | None:
    """The Newton method for a fitted model's number of coefficients; None where there is none for so many."""
    if fitted.coef_.size <= NARROW:
        return "newton-cholesky"
    return "newton-cg" if isinstance(fitted, LogisticRegression) else None


def stalling(estimator: Any) -> list[str]:
    """The solvers of the parts that stop before the optimum whatever their tolerance."""
    parts = (estimator, *estimator.get_params(deep=True).values())
    return [part.solver for part in parts if isinstance(part, NEWTON) and part.solver in STALLS]
