"""HistGradientBoosting over nodes, against scikit-learn's on the pooled rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boosted import assert_same_trees, dealt, table, together
from disturbing import interrupted
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier as Classifier
from sklearn.ensemble import HistGradientBoostingRegressor as Regressor

import talkoot as tk
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.data.schema import agree
from talkoot.learners.trees.boosting.boosting import Boosting

X, Y = table()
LABELS = (Y > 0).astype(int)
KINDS = np.array(["high", "low", "mid"])[np.digitize(Y, [-1, 1])]
LOSSES = {
    "squared_error": (Regressor(max_iter=5), Y),
    "poisson": (Regressor(loss="poisson", max_iter=4), np.round(np.exp(Y / 3))),
    "gamma": (Regressor(loss="gamma", max_iter=4), np.exp(Y / 3)),
    "two classes": (Classifier(max_iter=4), LABELS),
    "three classes": (Classifier(max_iter=3), KINDS),
}
RULES: dict[str, dict[str, Any]] = {
    "monotone": {"monotonic_cst": [1, 0, -1, 0, 0]},
    "interactions": {"interaction_cst": "pairwise", "max_iter": 3},
    "groups": {"interaction_cst": [[0, 1], [1, 2, 3]]},
    "depth": {"max_depth": 2, "max_leaf_nodes": None, "l2_regularization": 2.0},
    "leaves": {"max_leaf_nodes": 4, "min_samples_leaf": 3},
    "bins": {"max_bins": 5, "learning_rate": 0.5},
}


@pytest.mark.parametrize("nodes", [1, 2, 3, 7])
@pytest.mark.parametrize("loss", LOSSES)
def test_trees_are_those_of_the_pooled_rows(loss: str, nodes: int) -> None:
    estimator, y = LOSSES[loss]
    estimator = clone(estimator).set_params(max_iter=2)
    assert_same_trees(together(estimator, dealt(nodes, X, y)), clone(estimator).fit(X, y), X)


@pytest.mark.parametrize("rule", RULES)
def test_rules_of_growth_are_scikit_learns(rule: str) -> None:
    estimator = Regressor(max_iter=5).set_params(**RULES[rule])
    assert_same_trees(together(estimator, dealt(3, X, Y)), clone(estimator).fit(X, Y), X)


def test_constraints_by_name_and_columns_by_name() -> None:
    frame = pd.DataFrame(X, columns=list("abcde"))
    estimator = Regressor(max_iter=4, monotonic_cst={"a": 1, "c": -1})
    got = tk.fit(
        clone(estimator), {"n": (frame[:90], Y[:90]), "m": (frame[90:], Y[90:])}, on=tk.Inline()
    ).model
    assert_same_trees(got, estimator.fit(frame, Y), frame)
    assert got.feature_names_in_.tolist() == list("abcde")


ODD: dict[str, Any] = {
    "constant": lambda X: np.column_stack([X, np.full(len(X), 3.0)]),
    "float32": lambda X: X.astype(np.float32),
    "huge": lambda X: X * [1e300, 1e-300, 1.0, 1e17, -1e8],
    "signs of zero": lambda X: np.where(np.abs(X) < 0.5, np.copysign(0.0, X), X),
    "whole": lambda X: np.nan_to_num(np.round(X * 3)).astype(int),
    "missing in one place": lambda X: np.where(np.arange(len(X))[:, None] % 3 == 1, np.nan, X),
}


@pytest.mark.parametrize("odd", ODD)
def test_odd_columns(odd: str) -> None:
    rows, estimator = ODD[odd](X), Regressor(max_iter=5)
    assert_same_trees(together(estimator, dealt(3, rows, Y)), clone(estimator).fit(rows, Y), rows)


def test_one_class_on_a_node() -> None:
    estimator = Classifier(max_iter=4)
    data = {kind: (X[kind == KINDS], KINDS[kind == KINDS]) for kind in np.unique(KINDS).tolist()}
    assert_same_trees(together(estimator, data), clone(estimator).fit(X, KINDS), X)


def test_one_row_on_a_node_and_few_rows_in_all() -> None:
    estimator = Regressor(max_iter=3)
    for model, y in ((estimator, Y), (Classifier(max_iter=3), LABELS), (Classifier(max_iter=2), KINDS)):
        data = {"one": (X[:1], y[:1]), "more": (X[1:], y[1:])}
        assert_same_trees(together(model, data), clone(model).fit(X, y), X)
    assert_same_trees(together(estimator, dealt(2, X[:3], Y[:3])), clone(estimator).fit(X[:3], Y[:3]), X)
    assert together(estimator, {"n": (X[:1], Y[:1])}).predict(X[:2]).tolist() == [Y[0], Y[0]]


@pytest.mark.wide
@pytest.mark.parametrize(
    ("how", "on"), [("forget", tk.Inline()), ("kill", tk.Local(2))], ids=["forget", "kill"]
)
def test_a_worker_that_loses_its_state_begins_anew(how: str, on: Any, tmp_path: Path) -> None:
    estimator = Classifier(max_iter=3)
    schema, bound = agree(tk.shards(dealt(3, X, KINDS)), tk.Inline(), labels=True)
    learner = interrupted(Boosting(estimator), how, 11, tmp_path / "done")
    done = run(Plan(learner), bound, on, schema=schema)
    assert (tmp_path / "done").exists()
    assert_same_trees(learner.finish(done.model), clone(estimator).fit(X, KINDS), X)


W = np.random.default_rng(1).uniform(0, 3, len(Y)) * (np.random.default_rng(2).random(len(Y)) > 0.2)


@pytest.mark.parametrize("loss", LOSSES)
def test_sample_weights_are_scikit_learns(loss: str) -> None:
    estimator, y = LOSSES[loss]
    estimator = clone(estimator).set_params(max_bins=20)
    want = clone(estimator).fit(X, y, sample_weight=W)
    got = together(estimator, dealt(3, X, y, W))
    assert_same_trees(got, want, X)
    assert got._fitted_with_sw


def test_nodes_with_and_without_weights() -> None:
    estimator, some = Regressor(max_iter=3), np.concatenate([W[:100], np.ones(200)])
    data = {"weighted": (X[:100], Y[:100], W[:100]), "plain": (X[100:], Y[100:])}
    assert_same_trees(together(estimator, data), clone(estimator).fit(X, Y, sample_weight=some), X)


@pytest.mark.parametrize("listed", ["balanced", {0: 2.0, 1: 0.0}], ids=str)
def test_class_weights_are_scikit_learns(listed: Any) -> None:
    numbers = np.digitize(Y, [-1, 1])
    estimator = Classifier(max_iter=3, class_weight=listed, max_bins=30)
    assert_same_trees(together(estimator, dealt(3, X, numbers)), clone(estimator).fit(X, numbers), X)
    want = clone(estimator).fit(X, numbers, sample_weight=W)
    assert_same_trees(together(estimator, dealt(3, X, numbers, W)), want, X)


def test_class_weights_go_by_label() -> None:
    """scikit-learn looks labels up by their number; here they mean what the parameter says."""
    got = together(Classifier(max_iter=3, class_weight={"high": 2.0, "low": 0.5}), dealt(3, X, KINDS))
    weights = np.select([KINDS == "high", KINDS == "low"], [2.0, 0.5], 1.0)
    assert_same_trees(got, Classifier(max_iter=3).fit(X, KINDS, sample_weight=weights), X)


REFUSED: list[tuple[Any, str]] = [
    (Regressor(max_features=0.5), "max_features=0.5"),
]


@pytest.mark.parametrize(("estimator", "words"), REFUSED, ids=lambda value: None)
def test_what_is_not_there_yet_is_refused(estimator: Any, words: str) -> None:
    with pytest.raises(tk.NotDistributable, match=words):
        tk.fit(estimator, X, LABELS, on=tk.Inline())


def test_rows_that_would_be_learned_otherwise_are_refused() -> None:
    with pytest.raises(tk.DataError, match="the weights of all rows add up to 0"):
        tk.fit(Regressor(), {"n": (X, Y, np.zeros(len(Y)))}, on=tk.Inline())
    with pytest.raises(tk.DataError, match="weights are negative"):
        tk.fit(Regressor(), {"n": (X, Y, -np.ones(len(Y)))}, on=tk.Inline())
    with pytest.raises(tk.DataError, match="class_weight does not fit"):
        tk.fit(Classifier(class_weight={"none": 1.0}), X, LABELS, on=tk.Inline())
    with pytest.raises(tk.DataError, match="loss='poisson' needs a target of at least 0"):
        tk.fit(Regressor(loss="poisson"), X, Y, on=tk.Inline())
    with pytest.raises(tk.DataError, match="loss='gamma' needs a target above 0"):
        tk.fit(Regressor(loss="gamma"), X, np.abs(LABELS), on=tk.Inline())
    with pytest.raises(tk.DataError, match="needs a target that is somewhere above 0"):
        tk.fit(Regressor(loss="poisson"), X, np.zeros(len(X)), on=tk.Inline())
    with pytest.raises(tk.DataError, match="at least 2 classes"):
        tk.fit(Classifier(), X, np.zeros(len(X), int), on=tk.Inline())
    with pytest.raises(tk.DataError, match="infinite"):
        tk.fit(Regressor(), np.where(np.isnan(X), np.inf, X), Y, on=tk.Inline())
