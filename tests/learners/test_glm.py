"""Linear models over nodes reach scikit-learn's optimum on the pooled rows."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from glm_cases import FEATURES, ROWS, assert_same, attributes, dealt, learn, pooled, rows, target, together
from sklearn.linear_model import (
    GammaRegressor,
    HuberRegressor,
    LogisticRegression,
    PoissonRegressor,
    TweedieRegressor,
)
from sklearn.svm import LinearSVC

from talkoot.data.shards import shards

TIGHT: dict[str, Any] = {"tol": 1e-8, "max_iter": 1000}
NEWTON: dict[str, Any] = {"solver": "newton-cholesky", "tol": 1e-12}  # scikit-learn's most exact
LIBLINEAR: dict[str, Any] = {"tol": 1e-12, "max_iter": 100_000}
CASES: list[tuple[Any, str, dict[str, Any]]] = [
    (LogisticRegression(**TIGHT), "binary", NEWTON),
    (LogisticRegression(**TIGHT), "multi", NEWTON),
    (LogisticRegression(solver="newton-cholesky", tol=1e-8), "multi", NEWTON),
    (PoissonRegressor(**TIGHT), "counts", NEWTON),
    (GammaRegressor(alpha=0.1, **TIGHT), "positive", NEWTON),
    (TweedieRegressor(power=1.5, solver="newton-cholesky", tol=1e-8), "counts", NEWTON),
    (LinearSVC(**TIGHT), "binary", LIBLINEAR),
    (LinearSVC(intercept_scaling=3, C=0.1, **TIGHT), "multi", LIBLINEAR),
    (HuberRegressor(**TIGHT), "real", {"tol": 1e-12, "max_iter": 10_000}),
]


def name(case: Any) -> str | None:
    return type(case).__name__ if hasattr(case, "fit") else case if isinstance(case, str) else None


@pytest.mark.parametrize("nodes", [1, 2, 3, 7])
@pytest.mark.parametrize(("estimator", "kind", "best"), CASES, ids=name)
def test_any_number_of_nodes_is_one_machine(
    estimator: Any, kind: str, best: dict[str, Any], nodes: int
) -> None:
    X, predictor = rows()
    y = target(kind, predictor)
    ours, theirs = together(estimator, dealt(X, y, nodes)), pooled(estimator, X, y, **best)
    assert_same(ours, theirs)
    assert {k: v for k, v in attributes(theirs).items() if k != "outliers_"}.items() <= attributes(
        ours
    ).items()
    np.testing.assert_allclose(ours.predict(X[:9]) == y[:9], theirs.predict(X[:9]) == y[:9])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize(
    ("estimator", "kind", "best"),
    [case for case in CASES if not isinstance(case[0], HuberRegressor)],
    ids=name,
)
def test_storage_does_not_matter(
    estimator: Any, kind: str, best: dict[str, Any], sparse: bool, dtype: type
) -> None:
    X, predictor = rows()
    X = np.where(np.abs(X) < 0.3, 0, X).astype(dtype)
    y = target(kind, predictor)
    given = sp.csr_array(X) if sparse else X
    w = np.random.default_rng(2).integers(0, 3, ROWS).astype(float)
    ours = together(estimator, dealt(given, y, 3, w))
    assert_same(ours, pooled(estimator, X.astype(float), y, w, **best))
    assert ours.coef_.dtype == (np.float64 if isinstance(estimator, LinearSVC) else dtype)
    assert set(pickle.loads(pickle.dumps(ours)).predict(X)) <= set(ours.predict(X))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("estimator", "kind", "best"), CASES[:6], ids=name)
def test_columns_far_from_zero_with_unit_variance(
    estimator: Any, kind: str, best: dict[str, Any], dtype: type
) -> None:
    X, predictor = rows()
    far = (1e6 + np.round(X / X.std(axis=0) * 8) / 8).astype(dtype)
    y = target(kind, predictor)
    ours = together(estimator, dealt(far, y, 3))
    theirs = pooled(estimator, far.astype(float) - 1e6, y, **best)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=0, atol=1e-6 * np.abs(theirs.coef_).max())
    moved = theirs.intercept_ - 1e6 * theirs.coef_.sum(axis=-1)
    np.testing.assert_allclose(ours.intercept_, moved, rtol=1e-6)


def test_columns_of_very_different_scales_need_few_rounds() -> None:
    X, predictor = rows()
    y, scales = target("multi", predictor), np.geomspace(1e-4, 1e4, FEATURES)
    done = learn(LogisticRegression(C=np.inf), dealt(X * scales, y, 2))
    assert len(done.history) <= 20  # scikit-learn's own L-BFGS takes hundreds
    best = pooled(LogisticRegression(C=np.inf, **NEWTON), X, y)
    best.coef_ /= scales  # without a penalty only the units change; scikit-learn's Newton gives up here
    assert_same(done.plan.learner.finish(done.model), best, rtol=1e-3, columns=scales)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("kind", ["binary", "multi"])
def test_class_weights_are_scikit_learns(kind: str, fit_intercept: bool) -> None:
    X, predictor = rows()
    y, w = target(kind, predictor), np.random.default_rng(2).uniform(0, 2, ROWS)
    named = {np.unique(y)[1]: 3.0}
    given = dealt(X, y, 3, w)
    for weight in ("balanced", named):
        for estimator, best in ((LogisticRegression(**TIGHT), NEWTON), (LinearSVC(**TIGHT), LIBLINEAR)):
            estimator.set_params(class_weight=weight, fit_intercept=fit_intercept)
            assert_same(together(estimator, given), pooled(estimator, X, y, w, **best))


@pytest.mark.parametrize("estimator", [PoissonRegressor, TweedieRegressor, HuberRegressor])
def test_without_an_intercept(estimator: Any) -> None:
    X, predictor = rows()
    given = estimator(fit_intercept=False, alpha=0.01, tol=1e-8, max_iter=1000)
    y = target("counts", predictor)
    best = {"tol": 1e-12} if estimator is HuberRegressor else NEWTON
    assert_same(together(given, dealt(X, y, 2)), pooled(given, X, y, **best), rtol=2e-6)


@pytest.mark.parametrize("link", ["log", "identity"])
@pytest.mark.parametrize("power", [0, 1, 1.9, 2, 3])
def test_tweedie_powers_and_links(power: float, link: str) -> None:
    X, predictor = rows()
    y = target("positive", predictor / 4) + 3
    estimator = TweedieRegressor(power=power, link=link, alpha=0.1, **TIGHT)
    w = np.random.default_rng(2).uniform(0, 2, ROWS)
    ours, theirs = together(estimator, dealt(X, y, 2, w)), pooled(estimator, X, y, w, **NEWTON)
    assert_same(ours, theirs)
    assert ours.score(X, y) == pytest.approx(theirs.score(X, y), rel=1e-6)


def test_targets_far_from_zero() -> None:
    X, predictor = rows()
    y = 1e8 + target("real", predictor)
    for estimator, best in ((TweedieRegressor(**TIGHT), NEWTON), (HuberRegressor(**TIGHT), {"tol": 1e-12})):
        ours, theirs = together(estimator, dealt(X, y, 2)), pooled(estimator, X, y - 1e8, **best)
        np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-5)
        assert ours.intercept_ - 1e8 == pytest.approx(theirs.intercept_, rel=1e-5)


def test_huber_finds_the_scale_whatever_the_unit() -> None:
    X, predictor = rows()
    y = target("real", predictor)
    theirs = pooled(HuberRegressor(alpha=0, tol=1e-12, max_iter=10_000), X, y)
    for unit in (1e-3, 1.0, 1e4):
        ours = together(HuberRegressor(alpha=0), dealt(X, unit * y, 2))
        assert ours.scale_ == pytest.approx(unit * theirs.scale_, rel=1e-4)
        assert not hasattr(ours, "outliers_")


@pytest.mark.parametrize("penalty", ["l2", "l1"])
def test_liblinear_penalises_the_intercept(penalty: str) -> None:
    X, predictor = rows()
    y = target("binary", predictor)
    for intercept in (True, False):
        estimator = LogisticRegression(
            solver="liblinear",
            l1_ratio=float(penalty == "l1"),
            C=0.05,
            fit_intercept=intercept,
            intercept_scaling=2.0,
            tol=1e-9,
        )
        assert_same(together(estimator, dealt(X + 1, y, 2)), pooled(estimator, X + 1, y, **LIBLINEAR))


@pytest.mark.parametrize("solver", ["newton-cg", "sag", "saga"])
def test_solvers_that_reach_the_same_optimum_give_it(solver: Any) -> None:
    X, predictor = rows()
    y = target("binary", predictor)
    ours = together(LogisticRegression(solver=solver, **TIGHT), dealt(X, y, 2))
    assert_same(ours, pooled(LogisticRegression(), X, y, **NEWTON))
    assert ours.solver == solver


def test_no_penalty_is_infinite_C() -> None:
    X, predictor = rows()
    y = target("multi", predictor)
    theirs = pooled(LogisticRegression(C=np.inf), X, y, **NEWTON)
    for given in ({"C": np.inf}, {"penalty": None}, {"C": np.inf, "solver": "newton-cholesky"}):
        assert_same(together(LogisticRegression(**TIGHT | given), dealt(X, y, 2)), theirs)


def test_more_columns_than_are_sampled_as_a_matrix(monkeypatch: Any) -> None:
    X, predictor = rows()
    y = target("binary", predictor)
    monkeypatch.setattr("talkoot.learners.solvers.passes.DENSE", 3)
    for estimator, best in ((LogisticRegression(**TIGHT), NEWTON), (LinearSVC(**TIGHT), LIBLINEAR)):
        for given in (X, sp.csr_array(X)):
            assert_same(together(estimator, dealt(given, y, 2)), pooled(estimator, X, y, **best))


def test_a_constant_column_and_a_copy_of_a_column_do_no_harm() -> None:
    X, predictor = rows()
    Z = np.column_stack([X, X[:, 0], np.full(ROWS, 7.0), np.zeros(ROWS)])
    y = target("binary", predictor)
    for solver in ("lbfgs", "newton-cholesky"):
        ours = together(LogisticRegression(solver=solver, **TIGHT), dealt(Z, y, 2))
        assert_same(ours, pooled(LogisticRegression(), Z, y, **NEWTON))


def test_float32_rows_at_a_loose_tolerance_are_near() -> None:
    X, predictor = rows()
    y = target("binary", predictor)
    done = learn(LogisticRegression(tol=1e-5), dealt(X.astype(np.float32), y, 2))
    assert done.model.point.dtype == np.float32
    theirs = pooled(LogisticRegression(), X, y, **NEWTON)
    assert_same(done.plan.learner.finish(done.model), theirs, rtol=1e-3)


def test_float32_gives_way_to_float64_where_its_digits_end() -> None:
    X, predictor = rows()
    y = target("binary", predictor)
    scales = 1e4
    done = learn(LogisticRegression(C=np.inf, tol=1e-5), dealt((X * scales).astype(np.float32), y, 2))
    assert done.model.point.dtype == np.float64
    theirs = pooled(LogisticRegression(C=np.inf), X, y, **NEWTON)
    theirs.coef_ /= scales
    assert_same(done.plan.learner.finish(done.model), theirs, rtol=1e-5, columns=scales)


def test_names_come_back() -> None:
    X, predictor = rows()
    table = pd.DataFrame(X, columns=list("abcde"))
    y = target("binary", predictor)
    ours = together(LogisticRegression(), shards({"one": (table, y)}))
    assert ours.feature_names_in_.tolist() == list("abcde")
    ours.predict(table)
