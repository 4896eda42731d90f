"""Settings under which solvers reach the optimum, and solvers that stop before it whatever their settings."""

from __future__ import annotations

from typing import Any

from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import GammaRegressor, LogisticRegression, PoissonRegressor, TweedieRegressor
from sklearn.preprocessing import KBinsDiscretizer, QuantileTransformer

TOL, MAX_ITER = 1e-10, 10_000  # settings for solvers
BOOSTED = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)  # max_iter is the number of trees
NEWTON = (LogisticRegression, PoissonRegressor, GammaRegressor, TweedieRegressor)
STALLS = {"lbfgs": 1e-4, "newton-cg": 1e-5}  # how far from the optimum scikit-learn's solvers may stop
ITERATIVE = ("sparse_cg", "lsqr", "sag", "saga")  # solvers that Ridge may choose by itself
HESSIAN_SIZE = 300  # coefficients up to which computing a Hessian is fast


def tightened(estimator: Any, fitted: Any) -> tuple[Any, str]:
    """The estimator with tight tolerances and quantiles of all rows, and the changed settings as text.

    A Newton method replaces L-BFGS where there is one: scikit-learn's L-BFGS stops about 1e-6 from
    the optimum whatever its tolerance. Up to `HESSIAN_SIZE` coefficients it is the one with a full Hessian.

    Args:
        estimator: the estimator with the user's settings.
        fitted: the same, fitted to the rows: its parts know their number of features.
    """
    params, parts, changes = estimator.get_params(deep=True), fitted.get_params(deep=True), dict[str, Any]()
    for name, tol in params.items():
        stem, last = name[: -len("tol")], name.split("__")[-1]
        if last != "tol" or f"{stem}max_iter" not in params:
            continue
        owner, most = parts[stem.removesuffix("__")] if stem else fitted, params[f"{stem}max_iter"]
        if isinstance(owner, BOOSTED):
            continue
        if most is not None:
            changes |= {name: min(tol, TOL), f"{stem}max_iter": max(most, MAX_ITER)}
        elif getattr(owner, "solver_", None) in ITERATIVE:
            changes[name] = min(tol, TOL)
        if isinstance(owner, NEWTON) and owner.solver == "lbfgs" and (solver := _newton(owner)):
            changes[f"{stem}solver"] = solver
    for name, part in {"": estimator, **params}.items():
        if isinstance(part, KBinsDiscretizer | QuantileTransformer):
            changes[f"{name}__subsample".removeprefix("__")] = None
    settings = ", ".join(f"{name}={value!r}" for name, value in changes.items())
    return clone(estimator).set_params(**changes), settings


def seeded(estimator: Any, seed: int) -> Any:
    """The estimator with a random state wherever it has none."""
    params = estimator.get_params(deep=True).items()
    states = [name for name, value in params if name.endswith("random_state") and value is None]
    return clone(estimator).set_params(**dict.fromkeys(states, seed))


def _newton(fitted: Any) -> str | None:
    """The Newton method that suits a fitted model's number of coefficients; None where there is none."""
    if fitted.coef_.size <= HESSIAN_SIZE:
        return "newton-cholesky"
    return "newton-cg" if isinstance(fitted, LogisticRegression) else None


def stalling(estimator: Any) -> list[str]:
    """The solvers of its parts that stop before the optimum whatever their tolerance."""
    parts = (estimator, *estimator.get_params(deep=True).values())
    return [part.solver for part in parts if isinstance(part, NEWTON) and part.solver in STALLS]
