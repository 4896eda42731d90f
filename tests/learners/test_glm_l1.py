"""Penalties by absolute values: the optimum of saga and liblinear, zeros included."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from glm_cases import ROWS, assert_same, dealt, learn, pooled, rows, target, together
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import scale
from sklearn.svm import LinearSVC

SAGA: dict[str, Any] = {"tol": 1e-12, "max_iter": 20_000}
LIBLINEAR: dict[str, Any] = {
    "tol": 1e-11,
    "max_iter": 200_000,
    "random_state": 1,
}  # not all of its random orders arrive


def scaled() -> tuple[np.ndarray, np.ndarray]:
    """Rows of unit variance, as saga needs them to arrive, with two columns that say nothing."""
    X, predictor = rows()
    noise = np.random.default_rng(5).standard_normal((ROWS, 2))
    return np.asarray(scale(np.column_stack([X, noise]))), predictor


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize("l1_ratio", [1.0, 0.5])
@pytest.mark.parametrize("kind", ["binary", "multi"])
def test_saga(kind: str, l1_ratio: float, nodes: int) -> None:
    X, predictor = scaled()
    y = target(kind, predictor)
    estimator = LogisticRegression(solver="saga", l1_ratio=l1_ratio, C=0.03, tol=1e-9)
    ours, theirs = together(estimator, dealt(X, y, nodes)), pooled(estimator, X, y, **SAGA)
    assert_same(ours, theirs)
    np.testing.assert_array_equal(ours.coef_ == 0, np.abs(theirs.coef_) < 1e-9)
    assert (ours.coef_ == 0).any()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_sparse_rows_weights_and_no_intercept(dtype: type) -> None:
    X, predictor = scaled()
    X = np.where(np.abs(X) < 0.3, 0, X).astype(dtype)
    y, w = target("binary", predictor), np.random.default_rng(2).uniform(0, 2, ROWS)
    estimator = LogisticRegression(
        solver="saga", l1_ratio=1, C=0.03, tol=1e-9, fit_intercept=False, class_weight="balanced"
    )
    theirs = pooled(estimator, X.astype(float), y, w, solver="liblinear", **LIBLINEAR)
    theirs.intercept_ = np.zeros(1)  # liblinear's own is a plain 0.0
    for given in (X, sp.csr_array(X)):
        assert_same(together(estimator, dealt(given, y, 3, w)), theirs)


def hinge(fitted: Any, X: np.ndarray, y: np.ndarray) -> float:
    """The objective of LinearSVC(penalty="l1"), classes summed."""
    positive = fitted.classes_ if len(fitted.classes_) > 2 else fitted.classes_[1:]
    sign = np.where(y[:, None] == positive, 1, -1)
    short = np.maximum(0, 1 - sign * (X @ fitted.coef_.T + fitted.intercept_))
    absolute = np.abs(fitted.coef_).sum() + np.abs(fitted.intercept_).sum() / fitted.intercept_scaling
    return float(fitted.C * (short**2).sum() + absolute)


@pytest.mark.parametrize("kind", ["binary", "multi"])
def test_support_vectors(kind: str) -> None:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((ROWS, 5)) + 0.5
    y = target(kind, X @ np.array([1.0, -1.0, 0.5, 0.0, 0.0]))
    estimator = LinearSVC(penalty="l1", C=0.02, intercept_scaling=2.0, tol=1e-9)
    assert_same(together(estimator, dealt(X, y, 3)), pooled(estimator, X, y, **LIBLINEAR))


@pytest.mark.parametrize("kind", ["binary", "multi"])
def test_support_vectors_of_columns_alike_are_no_worse_than_liblinears(kind: str) -> None:
    X, predictor = scaled()
    y = target(kind, predictor)
    estimator = LinearSVC(penalty="l1", C=0.1, intercept_scaling=2.0, tol=1e-9)
    theirs = pooled(
        estimator, X, y, tol=1e-6, max_iter=2000, random_state=0
    )  # it may stop short of the optimum
    assert hinge(together(estimator, dealt(X, y, 3)), X, y) <= hinge(theirs, X, y) * (1 + 1e-12)


def test_columns_far_from_zero() -> None:
    X, predictor = scaled()
    y = target("binary", predictor)
    estimator = LogisticRegression(solver="saga", l1_ratio=0.7, C=0.03, tol=1e-9)
    ours, theirs = together(estimator, dealt(X + 1e6, y, 2)), pooled(estimator, X, y, **SAGA)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=1e-6)


def test_a_strong_penalty_leaves_the_intercept_alone() -> None:
    X, predictor = scaled()
    y = target("binary", predictor)
    ours = together(LogisticRegression(solver="saga", l1_ratio=1, C=1e-6, tol=1e-9), dealt(X, y, 2))
    assert not ours.coef_.any()
    share = np.mean(y == ours.classes_[1])
    assert ours.intercept_[0] == pytest.approx(np.log(share / (1 - share)))


def test_it_takes_few_rounds() -> None:
    X, predictor = scaled()
    done = learn(
        LogisticRegression(solver="saga", l1_ratio=1, C=0.1), dealt(X, target("multi", predictor), 2)
    )
    assert len(done.history) <= 8


def test_the_old_name_of_the_penalty_is_understood() -> None:
    X, predictor = scaled()
    given = dealt(X, target("binary", predictor), 2)
    for old, new in (("l1", 1.0), ("elasticnet", 0.4), ("l2", 0.0)):
        with_old = LogisticRegression(penalty=old, l1_ratio=new, solver="saga", C=0.1, tol=1e-8)
        assert_same(
            together(with_old, given),
            together(LogisticRegression(l1_ratio=new, solver="saga", C=0.1, tol=1e-8), given),
        )
