"""Contributions of columns: exact Shapley values, which add up to the prediction."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
import shap
from game import ROWS, chain, exactly, expectation, shapley, trees
from hypothesis import given
from sklearn.base import is_classifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

import talkoot as tk
from talkoot.learners.explain.trees import Tree, shapley_values

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 5))
X[:, 2] = RNG.integers(0, 4, 300)
Y = 2 * X[:, 0] + np.sin(3 * X[:, 1]) + 0.3 * X[:, 2] * X[:, 3]
KINDS = np.array(["high", "low", "mid"])[np.digitize(Y, [-1, 1])]
HOLES = np.where(RNG.random(X.shape) < 0.1, np.nan, X)
MODELS: dict[str, tuple[Any, Any]] = {
    "boosting": (HistGradientBoostingRegressor(max_iter=8), Y),
    "poisson": (HistGradientBoostingRegressor(loss="poisson", max_iter=8), np.exp(Y / 3)),
    "two classes": (HistGradientBoostingClassifier(max_iter=8), Y > 0),
    "three classes": (HistGradientBoostingClassifier(max_iter=4), KINDS),
    "best first": (RandomForestRegressor(4, max_leaf_nodes=20, random_state=0), Y),
    "forest": (RandomForestClassifier(4, random_state=0), KINDS),
    "extra": (ExtraTreesClassifier(4, bootstrap=True, random_state=0), Y > 0),
    "extra numbers": (ExtraTreesRegressor(4, random_state=0), Y),
    "tree": (DecisionTreeClassifier(random_state=0), KINDS),
    "tree of numbers": (DecisionTreeRegressor(max_depth=5, random_state=0), Y),
}


def raw(model: Any, rows: Any) -> np.ndarray:
    """What contributions add up to."""
    if hasattr(model, "decision_function"):
        return np.asarray(model.decision_function(rows))
    if is_classifier(model):
        return np.asarray(model.predict_proba(rows))
    found = np.asarray(model.predict(rows))
    return np.log(found) if getattr(model, "loss", "") == "poisson" else found


@given(trees(), ROWS)
def test_values_are_those_of_the_definition(tree: Tree, rows: np.ndarray) -> None:
    values, base = shapley_values([tree], rows, 2)
    want = np.array([shapley(tree, row) for row in rows])
    np.testing.assert_allclose(values, want, atol=1e-12, rtol=0)
    np.testing.assert_allclose(base, expectation(tree, rows[0], frozenset()), atol=1e-12, rtol=0)


@given(trees(), trees(), ROWS)
def test_values_of_a_sum_of_trees_are_the_sum_of_their_values(one: Tree, two: Tree, rows: np.ndarray) -> None:
    alone = [shapley_values([tree], rows, 3)[0] for tree in (one, two._replace(output=1))]
    together, _ = shapley_values([one, two._replace(output=1)], rows, 3)
    np.testing.assert_allclose(together, sum(alone), atol=1e-12, rtol=0)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("holes", [False, True])
def test_contributions_add_up_to_the_prediction_and_are_those_of_shap(name: str, holes: bool) -> None:
    estimator, y = MODELS[name]
    rows = HOLES if holes else X
    model = estimator.fit(rows, y)
    found = tk.explain.contributions(model, rows[:60])
    np.testing.assert_allclose(found.predictions, raw(model, rows[:60]), atol=1e-12, rtol=0)
    if not holes or hasattr(model, "_predictors"):  # of other trees shap reads no missing values
        want = np.asarray(shap.TreeExplainer(model).shap_values(rows[:60]))
        np.testing.assert_allclose(found.values, want, atol=1e-10, rtol=0)


def test_a_deep_tree_loses_no_digits() -> None:
    for depth in (20, 60):
        rows = np.vstack([np.zeros(depth), np.ones(depth), np.arange(depth) % 2])
        values, base = shapley_values([chain(depth)], rows, 1)
        np.testing.assert_allclose(base + values.sum(axis=1)[:, 0], [1, 2 * depth, 1], atol=1e-11)
        if depth < 30:  # whole fractions take long
            want = [exactly(chain(depth), row) for row in rows]
            np.testing.assert_allclose(values[:, :, 0], want, atol=1e-12, rtol=0)


def test_a_tree_without_splits_gives_its_value_to_the_base() -> None:
    model = DecisionTreeRegressor().fit(X, np.full(len(X), 3.0))
    found = tk.explain.contributions(model, X[:2])
    assert found.base == 3.0
    assert not found.values.any()


def test_rows_are_read_as_the_model_reads_them() -> None:
    model = RandomForestRegressor(3, random_state=0).fit(X.astype(np.float32), Y)
    single = tk.explain.contributions(model, X.astype(np.float32))
    assert (single.values == tk.explain.contributions(model, X).values).all()
    boosted = HistGradientBoostingRegressor(max_iter=3).fit(X, Y)
    single = tk.explain.contributions(boosted, X.astype(np.float32))
    np.testing.assert_allclose(single.predictions, boosted.predict(X.astype(np.float32)), atol=1e-12)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_columns_have_their_names_and_their_order(kind: Any) -> None:
    columns = {name: X[:, j] for j, name in enumerate("abcde")}
    model = HistGradientBoostingRegressor(max_iter=3).fit(pd.DataFrame(columns), Y)
    assert tk.explain.contributions(model, kind(columns)).columns == tuple("abcde")
    turned = {name: columns[name] for name in "bacde"}
    with pytest.raises(tk.DataError, match="cannot read these rows: The feature names should match"):
        tk.explain.contributions(model, kind(turned))
    assert tk.explain.contributions(DecisionTreeRegressor().fit(X, Y), X).columns[1] == "x1"


def test_categories_are_columns_at_their_own_place() -> None:
    kinds = np.array(["red", "green", "blue", "grey"])[X[:, 2].astype(int)]
    frame = pd.DataFrame({"size": X[:, 0], "colour": pd.Categorical(kinds), "age": X[:, 1]})
    y = X[:, 0] + 5 * np.isin(kinds, ["red", "grey"])
    model = HistGradientBoostingRegressor(max_iter=9, categorical_features="from_dtype").fit(frame, y)
    assert any(tree.nodes["is_categorical"].any() for (tree,) in model._predictors)
    odd = frame.head(3).assign(colour=pd.Categorical(["pink", None, "red"]))
    for rows in (frame, odd):
        found = tk.explain.contributions(model, rows)
        np.testing.assert_allclose(found.predictions, model.predict(rows), atol=1e-12)
    turned = frame[["colour", "age", "size"]]
    assert (model.predict(turned) == model.predict(frame)).all()
    moved = tk.explain.contributions(model, turned)
    assert (moved.values == tk.explain.contributions(model, frame).values).all()
    assert moved.columns == tuple(moved.X) == ("size", "colour", "age")
    red = tk.explain.contributions(model, frame).values[kinds == "red"]
    assert (red[:, 1] > 1).all()
    assert np.abs(red[:, 2]).max() < 0.5


def test_models_of_nodes_are_explained_as_any_other() -> None:
    data = {"one": (X[:100], KINDS[:100]), "two": (X[100:], KINDS[100:])}
    model = tk.fit(HistGradientBoostingClassifier(max_iter=3), data, on=tk.Inline()).model
    found = tk.explain.contributions(model, X[:20])
    assert found.values.shape == (20, 5, 3)
    assert found.classes is not None
    assert found.classes.tolist() == ["high", "low", "mid"]
    np.testing.assert_allclose(found.predictions, model.decision_function(X[:20]), atol=1e-12)
    assert repr(found) == "<Contributions: 20 rows x 5 columns x 3 outputs, raw score>"


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        (X[:0], "minimum of 1 is required"),
        (X[:, :3], "expecting 5 features"),
        (X[0], "Expected 2D array"),
        (np.full((2, 5), np.inf), "contains infinity"),
        (np.full((2, 5), "a"), "could not convert string"),
    ],
)
def test_rows_that_the_model_refuses_are_refused(rows: np.ndarray, why: str) -> None:
    model = RandomForestRegressor(2, random_state=0).fit(X, Y)
    with pytest.raises(tk.DataError, match=why):
        tk.explain.contributions(model, rows)


def test_sparse_rows_are_refused() -> None:
    from scipy.sparse import csr_array

    model = RandomForestRegressor(2, random_state=0).fit(X, Y)
    with pytest.raises(tk.DataError, match="sparse"):
        tk.explain.contributions(model, csr_array(X))


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (HistGradientBoostingRegressor(), "HistGradientBoostingRegressor is not fitted"),
        (LogisticRegression(), "LogisticRegression has no contributions.*: DecisionTreeClassifier, "),
        (make_pipeline(StandardScaler(), DecisionTreeRegressor()), "Explain its last step"),
        (DecisionTreeRegressor, "DecisionTreeRegressor is a class"),
        (tk.Distributed(HistGradientBoostingRegressor(max_iter=1)).fit(X, Y), r"Pass its fitted estimator"),
        (GridSearchCV(DecisionTreeRegressor(), {"max_depth": [2]}).fit(X, Y), r"best_estimator_"),
        (None, "NoneType has no contributions"),
        (DecisionTreeClassifier().fit(X, np.stack([Y > 0, Y > 1], axis=1)), "2 targets at once"),
    ],
)
def test_what_cannot_be_explained_is_named(model: Any, why: str) -> None:
    with pytest.raises(tk.PlanError, match=why):
        tk.explain.contributions(model, X)


def test_a_fit_is_not_its_model() -> None:
    fit = tk.fit(HistGradientBoostingRegressor(max_iter=1), X, Y)
    with pytest.raises(tk.PlanError, match=r"Pass its model: fit\.model"):
        tk.explain.contributions(fit, X)
