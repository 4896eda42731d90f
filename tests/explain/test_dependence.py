"""Partial dependence over nodes: that of the pooled rows by scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import is_classifier
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.inspection import partial_dependence
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

import talkoot as tk
from talkoot.core.plan import Plan
from talkoot.core.shard import UNKNOWN
from talkoot.formats.plans import plan_to_bytes
from talkoot.learners.explain.dependence import DependenceSums

RNG = np.random.default_rng(3)
X = RNG.normal(size=(210, 4))
X[:, 3] = RNG.integers(0, 2, 210)
Y = 2 * X[:, 0] * X[:, 3] - X[:, 1] ** 2
KINDS = np.array(["high", "low", "mid"])[np.digitize(Y, [-1, 1])]
GRID = [-1.0, 0.0, 0.5, 2.0]
MODELS: dict[str, Any] = {
    "linear": LinearRegression().fit(X, Y),
    "trees": HistGradientBoostingRegressor(max_iter=9).fit(X, Y),
    "two targets": LinearRegression().fit(X, np.stack([Y, -Y], axis=1)),
    "two classes": HistGradientBoostingClassifier(max_iter=9).fit(X, Y > 0),
    "three classes": LogisticRegression().fit(X, KINDS),
    "pipeline": make_pipeline(StandardScaler(), LogisticRegression()).fit(X, KINDS),
    "margins": LinearSVC().fit(X, Y > 0),
}


def split(nodes: int, rows: Any = X) -> dict[str, Any]:
    """Rows dealt over nodes of different sizes, and one node without any."""
    cuts = np.array_split(np.arange(len(rows)), [5, 90][: nodes - 1])
    return {f"n{i}": rows[cut[0] : cut[-1] + 1] for i, cut in enumerate(cuts)} | {"none": rows[:0]}


@pytest.mark.parametrize("nodes", [1, 2, 3])
@pytest.mark.parametrize("name", MODELS)
def test_it_is_that_of_the_pooled_rows(name: str, nodes: int) -> None:
    model = MODELS[name]
    found = tk.explain.dependence(model, split(nodes), 0, GRID)
    want = partial_dependence(model, X, 0, custom_values={0: GRID}, method="brute", kind="average")
    got = found.average.reshape(len(GRID), -1).T
    np.testing.assert_allclose(got, want["average"].reshape(got.shape), atol=1e-12, rtol=0)
    assert found.grid.tolist() == [[value] for value in GRID]
    assert found.columns == ("x0",)
    assert (found.classes is None) != is_classifier(model)


def test_several_columns_take_all_combinations() -> None:
    grid = {3: [0.0, 1.0], 0: GRID}
    found = tk.explain.dependence(MODELS["trees"], split(3), [3, 0], grid)
    want = partial_dependence(MODELS["trees"], X, [3, 0], custom_values=grid, method="brute")
    np.testing.assert_allclose(found.average.reshape(2, 4), want["average"][0], atol=1e-12)
    assert found.columns == ("x3", "x0")
    assert found.grid[:2].tolist() == [[0.0, -1.0], [0.0, 0.0]]


def test_weights_count() -> None:
    w = RNG.integers(0, 3, len(X)).astype(float)
    found = tk.explain.dependence(MODELS["trees"], tk.shards(X, Y, weight=w, nodes=3), 0, GRID)
    want = partial_dependence(MODELS["trees"], X, 0, custom_values={0: GRID}, method="brute", sample_weight=w)
    np.testing.assert_allclose(found.average, want["average"][0], atol=1e-12)


@pytest.mark.parametrize("nodes", [1, 3])
def test_quantiles_of_all_rows_are_the_grid_where_none_is_given(nodes: int) -> None:
    found = tk.explain.dependence(MODELS["trees"], split(nodes), 0)
    want = np.quantile(X[:, 0], np.linspace(0.05, 0.95, 19))
    np.testing.assert_allclose(found.grid[:, 0], want, rtol=1e-12)
    assert tk.explain.dependence(MODELS["trees"], split(nodes), 3).grid.ravel().tolist() == [0.0, 1.0]
    assert len(tk.explain.dependence(MODELS["trees"], X[:2], 0).grid) == 2


def test_columns_of_frames_may_hold_text() -> None:
    frame = pd.DataFrame({"size": X[:, 0], "colour": KINDS})
    encode = make_column_transformer((OneHotEncoder(), ["colour"]), remainder="passthrough")
    model = make_pipeline(encode, LinearRegression()).fit(frame, Y)
    data = {"one": frame[:70].assign(y=KINDS[:70]), "two": frame[70:].assign(y=KINDS[70:])}
    found = tk.explain.dependence(model, data, "colour", ["low", "high"], target="y")
    want = partial_dependence(
        model, frame, ["colour"], custom_values={"colour": ["low", "high"]}, categorical_features=["colour"]
    )
    np.testing.assert_allclose(found.average, want["average"][0], atol=1e-12)
    assert str(found).splitlines()[0].split() == ["colour", "mean", "prediction"]
    with pytest.raises(tk.DataError, match="quantiles of the rows are not known"):
        tk.explain.dependence(model, data, "size", target="y")
    with pytest.raises(tk.DataError, match="'colour': the grid has a value that is no text"):
        tk.explain.dependence(model, data, "colour", [1.0], target="y")


def test_missing_values_may_be_asked_about() -> None:
    found = tk.explain.dependence(MODELS["trees"], split(2), 0, [0.0, np.nan])
    blank = X.copy()
    blank[:, 0] = np.nan
    assert found.average[1] == pytest.approx(MODELS["trees"].predict(blank).mean(), abs=1e-12)


def test_it_prints_one_line_a_point() -> None:
    found = tk.explain.dependence(MODELS["three classes"], split(2), [0, 3], {0: [1.0], 3: [0.0, 1.0]})
    head, *lines = str(found).splitlines()
    assert head.split() == ["x0", "x3", "of", "'high'", "of", "'low'", "of", "'mid'"]
    assert len(lines) == 2
    assert "of True" in str(tk.explain.dependence(MODELS["two classes"], split(2), 0, [0.0]))


@pytest.mark.parametrize(
    ("columns", "grid", "why"),
    [
        (4, GRID, "there is no column 4. The columns are x0, x1, x2, x3"),
        ("age", GRID, "there is no column 'age'"),
        ([0, 0], {0: GRID}, "no different columns"),
        ([], GRID, "no different columns"),
        ([0, 1], GRID, "a grid of several columns"),
        ([0, 1], {0: GRID}, "the grid has"),
        (0, [], "the grid has no values"),
        (0, ["low"], "no number"),
        (0, np.zeros(10_001), "10,001 points"),
    ],
)
def test_what_is_no_grid_is_refused(columns: Any, grid: Any, why: str) -> None:
    with pytest.raises(tk.DataError, match=why):
        tk.explain.dependence(MODELS["linear"], split(2), columns, grid)


def test_other_columns_and_other_organisations_are_refused() -> None:
    frame = pd.DataFrame(X[:, :2], columns=["a", "b"])
    model = LinearRegression().fit(frame, Y)
    with pytest.raises(tk.DataError, match="they have 'y' besides"):
        tk.explain.dependence(model, frame.assign(y=Y), "a", GRID)
    with pytest.raises(tk.DataError, match="they have 'b' where it has 'a'"):
        tk.explain.dependence(model, frame[["b", "a"]], "a", GRID)
    with pytest.raises(
        tk.DataError, match="LinearRegression cannot predict these rows: Input X contains NaN"
    ):
        tk.explain.dependence(model, frame, "a", [0.0, np.nan])
    with pytest.raises(tk.PlanError, match="no query that the sites of a federation answer"):
        tk.explain.dependence(model, tk.dataset("patients"), "a", GRID)
    with pytest.raises(tk.PlanError, match="DependenceSums is no part that Talkoot knows"):
        plan_to_bytes(Plan(DependenceSums(model=model, schema=UNKNOWN, points=())))
    with pytest.raises(tk.PlanError, match="is not fitted"):
        tk.explain.dependence(LinearRegression(), X, 0, GRID)
