"""What linear models refuse, what they warn of, and how they start again."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from glm_cases import FEATURES, assert_same, dealt, learn, pooled, rows, target, together
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import (
    GammaRegressor,
    HuberRegressor,
    LogisticRegression,
    PoissonRegressor,
    TweedieRegressor,
)
from sklearn.svm import LinearSVC

import talkoot.learners.linear.iterative as iterative
from talkoot.core.errors import DataError, NotDistributable
from talkoot.core.update import Update
from talkoot.data.schema import agree
from talkoot.data.shards import shards
from talkoot.engines.inline import Inline
from talkoot.learners import learner_for


def given(kind: str = "binary", nodes: int = 2) -> Any:
    X, predictor = rows()
    return dealt(X, target(kind, predictor), nodes)


@pytest.mark.parametrize(
    ("estimator", "what", "instead"),
    [
        (LogisticRegression(dual=True, solver="liblinear"), "dual=True", "dual=False"),
        (LogisticRegression(l1_ratio=1), "solver='lbfgs'", "solver='saga'"),
        (LogisticRegression(l1_ratio=0.5, solver="liblinear"), "solver='liblinear'", "solver='saga'"),
        (LogisticRegression(C=np.inf, solver="liblinear"), "solver='liblinear'", "solver='saga'"),
        (LogisticRegression(warm_start=True), "warm_start=True", "warm_start=False"),
        (PoissonRegressor(warm_start=True), "warm_start=True", "warm_start=False"),
        (HuberRegressor(warm_start=True), "warm_start=True", "warm_start=False"),
        (LinearSVC(loss="hinge"), "loss='hinge'", "loss='squared_hinge'"),
        (LinearSVC(multi_class="crammer_singer"), "multi_class='crammer_singer'", "multi_class='ovr'"),
        (LinearSVC(penalty="l1", dual=True), "dual=True", "dual='auto'"),
        (LogisticRegression(C=-1), "'C' parameter", ""),
    ],
    ids=repr,
)
def test_parameters_that_cannot_be_distributed(estimator: Any, what: str, instead: str) -> None:
    with pytest.raises(NotDistributable) as refusal:
        learner_for(estimator)
    assert what in str(refusal.value)
    assert instead in str(refusal.value)


@pytest.mark.parametrize("estimator", [LogisticRegression(), LinearSVC()], ids=repr)
def test_one_class_is_named(estimator: Any) -> None:
    X, _ = rows()
    with pytest.raises(DataError, match="at least 2 classes, but the data contain only one class: 'sick'"):
        together(estimator, shards({"a": (X, np.full(len(X), "sick"))}))


def test_liblinear_with_three_classes() -> None:
    with pytest.raises(DataError, match="separates two classes, and there are 3"):
        together(LogisticRegression(solver="liblinear"), given("multi"))


def test_no_rows_at_any_node() -> None:
    schema, _ = agree(given(), Inline(), labels=True)
    learner = learner_for(LogisticRegression())
    model = learner.init(schema, np.random.default_rng(0))
    with pytest.raises(DataError, match="no node has rows to fit LogisticRegression"):
        learner.outer().apply(model, Update(), None)


def test_all_weights_zero() -> None:
    X, predictor = rows()
    y = target("binary", predictor)
    for estimator in (LogisticRegression(), LogisticRegression(class_weight="balanced")):
        with pytest.raises(DataError, match="all weights are 0"):
            together(estimator, dealt(X, y, 2, np.zeros(len(y))))


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("sparse", [False, True])
def test_missing_and_infinite_numbers_name_node_and_column(bad: float, sparse: bool) -> None:
    X, predictor = rows()
    X[5, 3] = bad
    y, cut = target("binary", predictor), 300
    cast: Any = sp.csr_array if sparse else np.asarray
    parts = {"north": (cast(X[:cut]), y[:cut]), "south": (cast(X[cut:]), y[cut:])}
    for estimator in (LogisticRegression(), LogisticRegression(solver="newton-cholesky")):
        with pytest.raises(DataError, match="missing") as error:
            together(estimator, shards(parts))
        assert (error.value.node, error.value.column) == ("north", "3")


@pytest.mark.parametrize(
    ("estimator", "low"),
    [(PoissonRegressor(), -1.0), (GammaRegressor(), 0.0), (TweedieRegressor(power=3), 0.0)],
)
def test_targets_out_of_range_name_the_node(estimator: Any, low: float) -> None:
    X, predictor = rows()
    y = target("positive", predictor)
    y[7] = low
    with pytest.raises(DataError, match="out of the range") as error:
        together(estimator, shards({"a": (X[20:], y[20:]), "b": (X[:20], y[:20])}))
    assert error.value.node == "b"


def test_negative_weights_and_two_targets() -> None:
    X, predictor = rows()
    y = target("counts", predictor)
    with pytest.raises(DataError, match="negative"):
        together(PoissonRegressor(), dealt(X, y, 2, -np.ones(len(y))))
    with pytest.raises(DataError, match="fits one target, and there are 2"):
        together(PoissonRegressor(), shards({"a": (X, np.column_stack([y, y]))}))


def test_a_class_weight_for_no_class() -> None:
    with pytest.raises(DataError, match="class_weight does not fit"):
        together(LogisticRegression(class_weight={"maybe": 2.0}), given())


def test_a_loss_that_is_infinite_at_the_start() -> None:
    estimator = TweedieRegressor(power=2, link="identity", fit_intercept=False)
    with pytest.raises(DataError, match="infinite at the starting point"):
        together(estimator, given("positive"))


def test_a_hessian_too_large_is_not_summed(monkeypatch: Any) -> None:
    monkeypatch.setattr(iterative, "WIDE", 3)
    for estimator in (
        LogisticRegression(solver="newton-cholesky"),
        LogisticRegression(solver="saga", l1_ratio=1),
    ):
        with pytest.raises(DataError, match="too large to sum"):
            together(estimator, given())
    together(LogisticRegression(), given())


@pytest.mark.parametrize(
    ("estimator", "kind"),
    [
        (LogisticRegression(max_iter=1), "binary"),
        (LogisticRegression(max_iter=1, solver="newton-cholesky"), "multi"),
        (HuberRegressor(max_iter=1), "real"),
    ],
)
def test_iterations_used_up_are_a_warning(estimator: Any, kind: str) -> None:
    with pytest.warns(ConvergenceWarning, match="did not converge in 1 iterations"):
        fitted = together(estimator, given(kind))
    assert np.max(fitted.n_iter_) == 1


def test_metrics_fall() -> None:
    heard = [outcome.metrics for outcome in learn(LogisticRegression(), given()).history]
    assert all(set(metrics) == {"loss", "gradient"} for metrics in heard)
    assert heard[-1]["loss"] < heard[0]["loss"]
    assert heard[-1]["gradient"] <= 1e-4


def test_no_more_rounds_than_scikit_learn_evaluates() -> None:
    X, predictor = rows()
    done = learn(LogisticRegression(), given())
    theirs = pooled(LogisticRegression(), X, target("binary", predictor))
    assert len(done.history) <= theirs.n_iter_[0] + 1


@pytest.mark.parametrize(
    ("estimator", "kind"),
    [
        (LogisticRegression(tol=1e-8, max_iter=500), "multi"),
        (LogisticRegression(tol=1e-8, class_weight="balanced"), "binary"),
        (LogisticRegression(tol=1e-8, solver="saga", l1_ratio=1), "binary"),
        (PoissonRegressor(tol=1e-8), "counts"),
        (TweedieRegressor(tol=1e-8), "real"),
        (LinearSVC(tol=1e-8), "binary"),
        (HuberRegressor(tol=1e-8), "real"),
    ],
    ids=lambda given: type(given).__name__ if hasattr(given, "fit") else given,
)
def test_a_warm_start_arrives_sooner_at_the_same_place(estimator: Any, kind: str) -> None:
    X, predictor = rows()
    y = target(kind, predictor)
    whole = learn(estimator, dealt(X + 3, y, 2))
    rest = shards({"rest": (X[100:] + 3, y[100:])})
    cold = learn(estimator, rest)
    learner: Any = cold.plan.learner
    start = learner.warm(whole.model, cold.schema)
    assert not start.done
    warm = learn(estimator, rest, start)
    assert_same(learner.finish(warm.model), learner.finish(cold.model))
    assert len(warm.history) < len(cold.history)


def test_there_is_no_warm_start_where_classes_or_columns_are_others() -> None:
    done = learn(LogisticRegression(), given("multi"))
    learner: Any = done.plan.learner
    schema = done.schema
    assert learner.warm(done.model, schema) is not None
    assert learner.warm(done.model, replace(schema, classes=np.array([0, 10]))) is None
    assert learner.warm(done.model, replace(schema, classes=None)) is None
    assert learner.warm(done.model, replace(schema, names=tuple("abcde"))) is None
    assert len(schema.kinds) == FEATURES


def test_nothing_warns_on_the_way() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        X, predictor = rows()
        huge = dealt(np.vstack([X, 1e3 * X]), np.tile(target("counts", predictor), 2), 2)
        together(PoissonRegressor(alpha=1e-3, max_iter=1000), huge)
