"""DecisionTree over nodes, against scikit-learn's on the pooled rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from decisions import (
    KINDS,
    W,
    X,
    Y,
    assert_best_splits,
    assert_same_tree,
    bits,
    dealt,
    pooled,
    together,
)
from disturbing import interrupted
from sklearn.base import clone
from sklearn.tree import DecisionTreeClassifier as Classifier
from sklearn.tree import DecisionTreeRegressor as Regressor

import talkoot as tk
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.data.schema import agree
from talkoot.learners.trees.decision import growing
from talkoot.learners.trees.decision.decision import DecisionTree

HOLES = np.where(np.random.default_rng(1).random(X.shape) < 0.1, np.nan, X)
CRITERIA: dict[str, tuple[Any, Any]] = {
    "gini": (Classifier(), KINDS),
    "entropy": (Classifier(criterion="entropy"), KINDS),
    "log_loss": (Classifier(criterion="log_loss"), KINDS == "low"),
    "squared_error": (Regressor(), Y),
    "poisson": (Regressor(criterion="poisson"), np.exp(Y / 3)),
}
LABELS: dict[str, dict[str, Any]] = {
    "depth": {"max_depth": 3},
    "rows of a leaf": {"min_samples_leaf": 9},
    "share of a leaf": {"min_samples_leaf": 0.03},
    "rows of a split": {"min_samples_split": 30},
    "share of a split": {"min_samples_split": 0.1},
    "weight of a leaf": {"min_weight_fraction_leaf": 0.04},
    "leaves": {"max_leaf_nodes": 13},
    "decrease": {"min_impurity_decrease": 0.004},
    "balanced": {"class_weight": "balanced"},
    "weights of classes": {"class_weight": {"high": 1.0, "low": 2.5, "mid": 0.3}},
    "a class without weight": {"class_weight": {"high": 1.0, "low": 0, "mid": 2.0}},
    "pruned": {"ccp_alpha": 0.005},
    "pruned best first": {"ccp_alpha": 0.004, "max_leaf_nodes": 20},
}
NUMBERS: dict[str, dict[str, Any]] = {
    "leaves": {"max_leaf_nodes": 20},
    "decrease": {"min_impurity_decrease": 0.01},
    "pruned": {"ccp_alpha": 0.01},
    "monotonic": {"monotonic_cst": [1, 0, 0, -1]},
    "monotonic best first": {"monotonic_cst": [-1, 0, 1, 0], "max_leaf_nodes": 12},
}


@pytest.mark.parametrize("nodes", [1, 2, 3, 7])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_whole_trees_of_one_column_are_scikit_learns(criterion: str, nodes: int) -> None:
    estimator, y = CRITERIA[criterion]
    one = X[:, :1]
    assert_same_tree(together(estimator, dealt(nodes, one, y)), pooled(estimator, one, y), one)


@pytest.mark.parametrize("rows", [X, HOLES], ids=["whole", "holes"])
@pytest.mark.parametrize("criterion", CRITERIA)
def test_trees_of_weighted_rows_are_scikit_learns(criterion: str, rows: Any) -> None:
    """Weights are by chance, so that no two columns divide as well."""
    estimator, y = CRITERIA[criterion]
    estimator = clone(estimator).set_params(min_samples_leaf=8)
    assert_same_tree(together(estimator, dealt(3, rows, y, W)), pooled(estimator, rows, y, W), rows)


@pytest.mark.parametrize("rule", LABELS)
def test_rules_for_classes_are_scikit_learns(rule: str) -> None:
    estimator = Classifier(min_samples_leaf=8).set_params(**LABELS[rule])
    assert_same_tree(together(estimator, dealt(3, X, KINDS, W)), pooled(estimator, X, KINDS, W), X)


@pytest.mark.parametrize("weights", [None, W], ids=["alike", "weighted"])
@pytest.mark.parametrize("rule", NUMBERS)
def test_rules_for_numbers_are_scikit_learns(rule: str, weights: Any) -> None:
    estimator = Regressor(min_samples_leaf=8).set_params(**NUMBERS[rule])
    assert_same_tree(together(estimator, dealt(3, X, Y, weights)), pooled(estimator, X, Y, weights), X)


def test_monotonic_classes_are_scikit_learns() -> None:
    estimator = Classifier(min_samples_leaf=5, monotonic_cst=[1, -1, 0, 0])
    y = Y > 0
    assert_same_tree(together(estimator, dealt(3, X, y, W)), pooled(estimator, X, y, W), X)


@pytest.mark.parametrize("criterion", ["gini", "entropy", "squared_error"])
def test_of_equal_splits_one_is_taken_that_is_as_good(criterion: str) -> None:
    estimator, y = CRITERIA[criterion]
    rows, y = HOLES[:150], y[:150]
    assert_best_splits(together(estimator, dealt(3, rows, y)), estimator, rows, y)


def test_of_equal_columns_the_first_is_taken() -> None:
    twice = np.column_stack([X[:, 0], X[:, 0], -X[:, 0]])
    model = together(Classifier(), dealt(2, twice, KINDS))
    assert set(model.tree_.feature.tolist()) == {-2, 0}


@pytest.mark.parametrize("chain", [[], [tk.fixed()]], ids=["plain", "fixed"])
@pytest.mark.parametrize("case", ["classes", "numbers", "best first"])
def test_any_number_of_nodes_gives_the_same_bits(case: str, chain: list[Any]) -> None:
    many = np.random.default_rng(3).normal(size=(150, 3))
    estimator: Any = Classifier(class_weight="balanced") if case == "classes" else Regressor()
    if case == "best first":
        estimator = Regressor(max_leaf_nodes=25)
    y, w, kinds = (KINDS if case == "classes" else Y)[:150], W[:150], KINDS[:150]
    found = {bits(together(estimator, dealt(nodes, many, y, w), chain=chain)) for nodes in (1, 2, 3, 7)}
    assert len(found) == 1
    sites = {str(k): (many[k == kinds], y[k == kinds], w[k == kinds]) for k in np.unique(kinds)}
    assert bits(together(estimator, sites, chain=chain)) in found  # a node has one class


def test_workers_and_masks_give_the_same_bits() -> None:
    many = np.random.default_rng(3).normal(size=(150, 3))
    data = dealt(3, many, Y[:150])
    want = bits(together(Regressor(), data))
    assert bits(together(Regressor(), data, on=tk.Local(2))) == want
    del data["n3"]  # without rows nothing hides
    plain = bits(together(Regressor(), data, chain=[tk.fixed()]))
    assert bits(together(Regressor(), data, chain=[tk.fixed(), tk.mask()])) == plain


def test_few_leaves_a_round_give_the_same_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    data, estimators = dealt(2, X, Y), (Regressor(), Regressor(max_leaf_nodes=30))
    want = [bits(together(each, data)) for each in estimators]
    monkeypatch.setattr(growing, "BYTES", 10_000)
    assert [bits(together(each, data)) for each in estimators] == want


@pytest.mark.parametrize("how", ["kill", "forget"])
@pytest.mark.parametrize("at", [1, 3, 6])
def test_a_node_that_lost_its_state_gets_all_splits(how: str, at: int, tmp_path: Path) -> None:
    estimator = Regressor(min_samples_leaf=3)
    learner = interrupted(DecisionTree(estimator), how, at, tmp_path / "happened")
    engine = tk.Local(2) if how == "kill" else tk.Inline()
    schema, bound = agree(tk.shards(dealt(3, X, Y)), tk.Inline())
    done = run(Plan(learner), bound, engine, schema=schema)
    assert (tmp_path / "happened").exists()
    assert bits(learner.finish(done.model)) == bits(together(estimator, dealt(3, X, Y)))


def test_columns_with_more_values_than_bins_are_divided_at_quantiles() -> None:
    rng = np.random.default_rng(5)
    many = np.column_stack([rng.normal(size=2000), rng.integers(0, 9, 2000)])
    y = (many[:, 0] + many[:, 1] > 4) ^ (rng.random(2000) < 0.1)
    data = dealt(3, many, y)
    with pytest.warns(UserWarning, match=r"more than 255 values \('0'\) at 254 quantiles"):
        got = tk.fit(Classifier(max_depth=6), data, on=tk.Inline()).model
    want = Classifier(max_depth=6, random_state=0).fit(many, y)
    assert abs(got.score(many, y) - want.score(many, y)) < 0.01
    assert got.tree_.feature[0] == want.tree_.feature[0]


def test_names_and_single_precision_are_scikit_learns() -> None:
    close = np.float32(1) + np.arange(6, dtype=np.float32) * np.float32(2**-23)  # neighbours in 32 bits
    rows = np.column_stack([np.tile(close, 50).astype(np.float64) + 1e-9, np.tile([0.0, 5e-8], 150)])
    y = (np.arange(300) % 6 > 2).astype(int)
    frame = pd.DataFrame(rows, columns=["dose", "tiny"])
    data = {"a": (frame[:100], y[:100]), "b": (frame[100:], y[100:])}
    got, want = together(Classifier(), data), Classifier(random_state=0).fit(frame, y)
    assert_same_tree(got, want, frame)
    assert got.feature_names_in_.tolist() == ["dose", "tiny"]


@pytest.mark.parametrize("size", [0.0, 0.1, 1000.1, 1e15])
def test_equal_targets_are_one_leaf(size: float) -> None:
    model = together(Regressor(), dealt(3, X, np.full(len(X), size)))
    assert model.get_n_leaves() == 1
    np.testing.assert_allclose(model.predict(X), size, rtol=1e-15)


@pytest.mark.parametrize("scale", [1e-6, 1e8, 1e17])
def test_targets_of_any_size(scale: float) -> None:
    estimator = Regressor(min_samples_leaf=20)
    got, want = together(estimator, dealt(3, X, Y * scale)), pooled(estimator, X, Y * scale)
    assert_same_tree(got, want, X)


def test_a_model_is_explained_and_verified_and_saved(tmp_path: Path) -> None:
    fit = tk.fit(Regressor(min_samples_leaf=5), dealt(3, X, Y), on=tk.Inline())
    found = tk.explain.contributions(fit.model, X[:9])
    np.testing.assert_allclose(found.values.sum(axis=1) + found.base, fit.model.predict(X[:9]))
    fit.save(tmp_path / "tree")
    assert bits(tk.load(tmp_path / "tree")) == bits(fit.model)
    assert tk.verify(Regressor(min_samples_leaf=8), X, Y, nodes=[3], on=tk.Inline()).ok
