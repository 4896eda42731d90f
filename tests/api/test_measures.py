"""Measures from tallies against the metrics of scikit-learn, with each jackknife group left out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, average_precision_score, log_loss, r2_score, roc_auc_score

from talkoot.learners.held_out.measures import (
    GROUPS,
    R2,
    Accuracy,
    AveragePrecision,
    LogLoss,
    Measure,
    RocAuc,
)

RNG = np.random.default_rng(0)
N = 120
X = RNG.normal(size=(N, 4))
Y = X @ [1.0, -2.0, 0.5, 0.0] + RNG.normal(size=N)
GRADES = np.array(["high", "low", "mid"])[np.digitize(Y, [0, 2])]
SICK = (Y > 0).astype(int)
W = RNG.uniform(0.1, 2.0, N)
GROUP = RNG.integers(0, GROUPS, N)
SUBSETS: list[np.ndarray] = [np.ones(N, dtype=bool), *(np.asarray(g != GROUP) for g in range(GROUPS))]


def scores(measure: Measure, model: Any, y: np.ndarray, w: np.ndarray | None = None) -> np.ndarray:
    """From the tallies of three nodes, one of them without rows."""
    parts = [slice(0, 50), slice(50, 50), slice(50, N)]
    tallies = [
        measure.tally(model, X[p], y[p], None if w is None else w[p], GROUP[p]) for p in parts if len(X[p])
    ]
    joined = measure.join(tallies)
    assert measure.present(joined).all()
    return measure.scores(joined)


@pytest.mark.parametrize("w", [None, W], ids=["plain", "weights"])
def test_classifiers_score_as_in_scikit_learn(w: np.ndarray | None) -> None:
    model = LogisticRegression().fit(X, GRADES)
    weights = np.ones(N) if w is None else w
    predicted, proba = model.predict(X), model.predict_proba(X)
    accuracy = [accuracy_score(GRADES[s], predicted[s], sample_weight=weights[s]) for s in SUBSETS]
    loss = [-log_loss(GRADES[s], proba[s], sample_weight=weights[s], labels=model.classes_) for s in SUBSETS]
    assert scores(Accuracy(), model, GRADES, w) == pytest.approx(accuracy, rel=1e-12)
    assert scores(LogLoss(), model, GRADES, w) == pytest.approx(loss, rel=1e-9)


@pytest.mark.parametrize("w", [None, W], ids=["plain", "weights"])
def test_rankings_score_as_in_scikit_learn(w: np.ndarray | None) -> None:
    model = LogisticRegression().fit(X, SICK)
    response, weights = model.decision_function(X).round(1), np.ones(N) if w is None else w
    model.decision_function = lambda rows: LogisticRegression.decision_function(model, rows).round(1)
    for measure, metric in ((RocAuc(1), roc_auc_score), (AveragePrecision(1), average_precision_score)):
        expected = [metric(SICK[s], response[s], sample_weight=weights[s]) for s in SUBSETS]
        assert scores(measure, model, SICK, w) == pytest.approx(expected, rel=1e-9)


def test_a_class_that_the_model_has_not_seen_has_the_probability_0() -> None:
    seen = GRADES != "mid"
    model = LogisticRegression().fit(X[seen], GRADES[seen])
    proba = np.zeros((N, 3))
    proba[:, [0, 1]] = model.predict_proba(X)
    expected = [-log_loss(GRADES[s], proba[s], labels=["high", "low", "mid"]) for s in SUBSETS]
    assert scores(LogLoss(), model, GRADES) == pytest.approx(expected, rel=1e-9)
    accuracy = [accuracy_score(GRADES[s], model.predict(X[s])) for s in SUBSETS]
    assert scores(Accuracy(), model, GRADES) == pytest.approx(accuracy)


@pytest.mark.parametrize("w", [None, W], ids=["plain", "weights"])
@pytest.mark.parametrize("y", [Y + 1e8, np.column_stack([Y, X[:, 0] ** 2])], ids=["far from 0", "outputs"])
def test_r2_is_that_of_scikit_learn(y: np.ndarray, w: np.ndarray | None) -> None:
    model = LinearRegression().fit(X, y)
    weights = np.ones(N) if w is None else w
    expected = [r2_score(y[s], model.predict(X[s]), sample_weight=weights[s]) for s in SUBSETS]
    assert scores(R2(np.atleast_1d(y.mean(axis=0))), model, y, w) == pytest.approx(expected, rel=1e-6)


def test_a_constant_target_is_predicted_exactly_or_not() -> None:
    flat = np.full(N, 3.0)
    assert (scores(R2(np.array([3.0])), DummyRegressor().fit(X, flat), flat) == 1.0).all()
    assert (scores(R2(np.array([3.0])), Ridge().fit(X, Y), flat) == 0.0).all()
