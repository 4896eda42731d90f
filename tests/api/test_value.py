from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from talkoot.api.fit import fit
from talkoot.core.errors import DataError, PlanError

RNG = np.random.default_rng(0)
X = RNG.normal(size=(150, 3))
NUMBERS = X @ [1.0, -2.0, 0.5] + RNG.normal(size=150)
LABELS = np.where(NUMBERS > 0, "ill", "well")
CUTS = {"a": slice(0, 30), "b": slice(30, 50), "c": slice(50, 150), "none": slice(0, 0)}


def brute_force(estimator: Any, y: np.ndarray, scoring: str) -> dict[str, float]:
    """Leave-one-node-out by scikit-learn on arrays."""
    full, worth = estimator.fit(X, y).predict, {}
    del full
    for node, cut in CUTS.items():
        others = np.setdiff1d(np.arange(150), np.arange(150)[cut])
        score = get_scorer(scoring)
        whole = score(estimator.fit(X, y), X[others], y[others])
        worth[node] = whole - score(estimator.fit(X[others], y[others]), X[others], y[others])
    return worth


@pytest.mark.parametrize(
    ("estimator", "y", "scoring"),
    [
        (Ridge(), NUMBERS, "r2"),
        (LogisticRegression(tol=1e-8, max_iter=1000), LABELS, "accuracy"),
        (LogisticRegression(tol=1e-8, max_iter=1000, solver="newton-cholesky"), LABELS, "neg_log_loss"),
        (make_pipeline(StandardScaler(), Ridge()), NUMBERS, "r2"),
    ],
)
def test_value_is_leave_one_node_out(estimator: Any, y: np.ndarray, scoring: str) -> None:
    done = fit(estimator, {n: (X[s], y[s]) for n, s in CUTS.items()})
    found = done.value(None if scoring != "neg_log_loss" else scoring)
    truth = brute_force(estimator, y, scoring)
    assert found.scoring == scoring
    assert found.to_dict() == pytest.approx(truth, abs=1e-7)
    assert found["none"] == 0.0
    ranked = [worth.value for worth in found.nodes]
    assert ranked == sorted(ranked, reverse=True)


def test_a_node_without_which_nothing_can_be_learned_stands_first() -> None:
    both = LABELS[:60].copy()
    data = {"one": (X[60:], np.full(90, "ill")), "two": (X[:60], both)}
    found = fit(LogisticRegression(), data).value()
    assert found.nodes[0].node == "two"
    assert found["two"] == np.inf
    assert "nothing can be learned without it" in str(found)


def test_what_cannot_be_scored_is_refused() -> None:
    data = {n: (X[s], NUMBERS[s]) for n, s in CUTS.items()}
    with pytest.raises(PlanError, match="'roc_auc' does not add over nodes here. Take r2"):
        fit(Ridge(), data).value("roc_auc")
    with pytest.raises(PlanError, match="StandardScaler predicts nothing"):
        fit(StandardScaler(), data).value()
    with pytest.raises(DataError, match="there is one node"):
        fit(Ridge(), {"a": data["a"]}).value()
