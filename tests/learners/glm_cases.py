"""Rows for linear models, and their fits: together over nodes, and by scikit-learn on the pooled rows."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.optimize as so
from sklearn.base import clone, is_classifier

from talkoot.core.engine import Run
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.data.schema import agree
from talkoot.data.shards import Shards, shards
from talkoot.engines.inline import Inline
from talkoot.learners import learner_for

ROWS, FEATURES = 900, 5


def rows(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(rows, features) normal features, not all alike, and the predictor of their targets."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((ROWS, FEATURES)) @ rng.uniform(-1, 1, (FEATURES, FEATURES))
    X *= np.array([1, 2, 0.5, 1, 4])
    return X, X @ (rng.uniform(0.3, 1, FEATURES) * [1, -1, 1, 1, -0.25])


def target(kind: str, predictor: np.ndarray, seed: int = 0) -> np.ndarray:
    """A target of some kind: "binary", "multi", "counts", "positive" or "real"."""
    rng = np.random.default_rng(seed + 1)
    noisy = predictor + rng.logistic(size=len(predictor))
    match kind:
        case "binary":
            return np.where(noisy > 0.5, "yes", "no")
        case "multi":
            return np.digitize(noisy, [-1.5, 1.5]) * 10
        case "counts":
            return rng.poisson(np.exp(predictor / 3)).astype(float)
        case "positive":
            return np.asarray(rng.gamma(3.0, np.exp(predictor / 3) / 3) + 1e-3)
        case _:
            return np.asarray(100 + 10 * predictor + 5 * rng.standard_t(2, len(predictor)))


def dealt(X: Any, y: np.ndarray, nodes: int, w: np.ndarray | None = None) -> Shards:
    """Rows dealt over nodes in turn, and one node more that has none.

    With more than two nodes the first has only rows of one class, or the smallest targets.
    """
    order = np.argsort(y, kind="stable") if nodes > 2 else np.arange(len(y))
    home = np.concatenate([np.zeros(len(y) // 6, int), np.arange(len(y) - len(y) // 6) % nodes])
    deal = [order[home == node] for node in range(nodes)] + [np.arange(0)]
    parts = {f"node{i}": (X[at], y[at]) if w is None else (X[at], y[at], w[at]) for i, at in enumerate(deal)}
    return shards(parts)


def learn(estimator: Any, given: Shards, start: Any = None) -> Run:
    """A run over the nodes."""
    schema, bound = agree(given, Inline(), labels=is_classifier(estimator))
    return run(Plan(learner_for(estimator)), bound, Inline(), schema=schema, model=start)


def together(estimator: Any, given: Shards) -> Any:
    """The estimator fitted over nodes."""
    done = learn(estimator, given)
    return done.plan.learner.finish(done.model)


def pooled(estimator: Any, X: Any, y: np.ndarray, w: np.ndarray | None = None, **better: Any) -> Any:
    """The estimator fitted by scikit-learn at its optimum, whatever it warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = clone(estimator).set_params(**better).fit(X, y, sample_weight=w)
    return polished(fitted, X, y, np.ones(len(y)) if w is None else w) if "scale_" in vars(fitted) else fitted


def polished(fitted: Any, X: np.ndarray, y: np.ndarray, w: np.ndarray) -> Any:
    """HuberRegressor at its optimum: scikit-learn stops where its objective changes by less than 2e-9."""
    epsilon, width = fitted.epsilon, X.shape[1]

    def objective(vector: np.ndarray) -> tuple[float, np.ndarray]:
        coef, intercept, scale = vector[:width], vector[width] * fitted.fit_intercept, np.exp(vector[-1])
        error = y - X @ coef - intercept
        inner = np.clip(error, -epsilon * scale, epsilon * scale)
        value = w @ (scale + (2 * error - inner) * inner / scale) + fitted.alpha * coef @ coef
        slope = -2 * w * inner / scale
        free = slope.sum() * fitted.fit_intercept
        turn = w @ (scale - inner**2 / scale)
        return float(value) / w.sum(), np.r_[X.T @ slope + 2 * fitted.alpha * coef, free, turn] / w.sum()

    start = np.r_[fitted.coef_, fitted.intercept_, np.log(fitted.scale_)]
    options: Any = {"ftol": 0, "gtol": 1e-11, "maxiter": 10_000, "maxcor": 30}
    best: Any = so.minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
    fitted.coef_, fitted.scale_ = best.x[:width], np.exp(best.x[-1])
    fitted.intercept_ = best.x[width] if fitted.fit_intercept else 0.0
    return fitted


def assert_same(ours: Any, theirs: Any, *, rtol: float = 1e-6, columns: Any = 1.0) -> None:
    """Coefficients, in units of the columns' deviations, and intercepts agree to `rtol` of the greatest."""
    for mine, golden in (
        (ours.coef_ * columns, theirs.coef_ * columns),
        (ours.intercept_, theirs.intercept_),
    ):
        assert np.shape(mine) == np.shape(golden)
        scale = max(np.abs(theirs.coef_ * columns).max(), np.abs(golden).max(initial=0))
        np.testing.assert_allclose(mine, golden, rtol=0, atol=rtol * scale)
    public = {name for name in vars(theirs) if name.endswith("_")}
    assert public <= set(vars(ours)) | {"outliers_"}
    for name in ("classes_", "n_features_in_", "feature_names_in_"):
        if hasattr(theirs, name):
            np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


def attributes(estimator: Any) -> Mapping[str, Any]:
    """The fitted attributes by name: shape and dtype of arrays, else the type."""
    kept = {name: value for name, value in vars(estimator).items() if name.endswith("_")}
    return {
        name: (value.shape, value.dtype) if isinstance(value, np.ndarray) else type(value)
        for name, value in kept.items()
    }
