"""Whole gradients: the same trees whichever node has which rows, on any engine, and under masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from boosted import dealt, table, together
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from examples import examples
from talkoot.core.errors import DataError, PlanError

pytestmark = pytest.mark.wide
REGRESSOR = HistGradientBoostingRegressor(max_iter=4, min_samples_leaf=5)
CLASSIFIER = HistGradientBoostingClassifier(max_iter=3, min_samples_leaf=5)


def fitted(estimator: Any, data: Any, *chain: Any, on: Any = None) -> Any:
    return tk.fit(estimator, data, chain=list(chain), on=on or tk.Inline()).model


def assert_same_bits(one: Any, other: Any) -> None:
    for ours, theirs in zip(one._predictors, other._predictors, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.nodes.tobytes() == b.nodes.tobytes()
    assert one._baseline_prediction.tobytes() == other._baseline_prediction.tobytes()
    for a, b in zip(one._bin_mapper.bin_thresholds_, other._bin_mapper.bin_thresholds_, strict=True):
        assert a.tobytes() == b.tobytes()


@examples(60)
@given(
    data=st.data(),
    nodes=st.integers(1, 6),
    loss=st.sampled_from(["squared_error", "poisson", "gamma"]),
    weighted=st.booleans(),
    exact=st.booleans(),
)
def test_which_node_has_which_rows_never_matters(
    data: st.DataObject, nodes: int, loss: str, weighted: bool, exact: bool
) -> None:
    X, y = table(120, seed=data.draw(st.integers(0, 99)))
    y = np.abs(y) * 1e3 + 0.1
    columns = [X, y, np.random.default_rng(0).random(120)] if weighted else [X, y]
    of = np.array(data.draw(st.lists(st.integers(0, nodes - 1), min_size=120, max_size=120)))
    spread = {f"n{k}": tuple(column[of == k] for column in columns) for k in range(nodes)}
    estimator = HistGradientBoostingRegressor(loss=loss, max_iter=2, min_samples_leaf=5)
    chain = [tk.fixed()] if exact else []
    assert_same_bits(fitted(estimator, {"one": tuple(columns)}, *chain), fitted(estimator, spread, *chain))


@pytest.mark.parametrize("labels", [2, 3])
def test_masks_change_no_bit(labels: int) -> None:
    X, y = table(240)
    y = np.digitize(y, np.quantile(y, np.arange(1, labels) / labels))
    X[:, 2] = X[:, 2] > 1  # a column of two values
    three = {name: rows for name, rows in dealt(3, X, y).items() if len(rows[0])}
    masked = fitted(CLASSIFIER, three, tk.fixed(), tk.mask())
    assert_same_bits(masked, fitted(CLASSIFIER, three, tk.fixed()))
    assert_same_bits(masked, fitted(CLASSIFIER, {"one": (X, y)}, tk.fixed()))
    assert len(np.unique(masked.predict(X))) == labels


def test_masks_in_a_pipeline() -> None:
    X, y = table(200, missing=0)
    three = {name: rows for name, rows in dealt(3, X, y).items() if len(rows[0])}
    piped = make_pipeline(StandardScaler(), REGRESSOR)
    masked, plain = (fitted(piped, three, *chain) for chain in ([tk.fixed(), tk.mask()], [tk.fixed()]))
    assert_same_bits(masked[-1], plain[-1])


def test_processes_give_the_same_bits() -> None:
    X, y = table(150)
    assert_same_bits(fitted(REGRESSOR, {"one": (X, y)}), fitted(REGRESSOR, dealt(3, X, y), on=tk.Local(2)))


def test_edges_from_counts_are_no_values_of_rows() -> None:
    """But for columns of few values, whose ranges end at a value that many rows have."""
    X, y = table(2000, missing=0)
    model = fitted(REGRESSOR, dealt(3, X, y), tk.fixed())
    for j, edges in enumerate(model._bin_mapper.bin_thresholds_):
        shared = [np.sum(X[:, j] == edge) for edge in edges]
        assert all(count == 0 or count >= 20 for count in shared), j
    continuous = model._bin_mapper.bin_thresholds_[0]
    counts = np.histogram(X[:, 0], np.concatenate([[-np.inf], continuous, [np.inf]]))[0]
    assert counts.max() <= 2 * 20 + 20
    assert counts.sum() == 2000


@pytest.mark.parametrize("load", [load_breast_cancer, load_wine, load_digits, load_iris])
def test_edges_from_counts_learn_as_well(load: Any) -> None:
    X, y = load(return_X_y=True)
    test = np.arange(len(y)) % 3 == 0
    if (classes := len(np.unique(y))) > 2:
        y = (y >= classes // 2).astype(int)
    one = {"one": (X[~test], y[~test])}
    exact, agreed = (fitted(HistGradientBoostingClassifier(max_iter=20), one, *c) for c in ([], [tk.fixed()]))
    found, wanted = (roc_auc_score(y[test], m.predict_proba(X[test])[:, 1]) for m in (agreed, exact))
    assert found > wanted - 0.01  # one pair of rows in so small a table is more than .001


def test_edges_from_counts_regress_as_well() -> None:
    X, y = load_diabetes(return_X_y=True)
    exact, agreed = (fitted(REGRESSOR, {"one": (X, y)}, *chain) for chain in ([], [tk.fixed()]))
    assert r2_score(y, agreed.predict(X)) > r2_score(y, exact.predict(X)) - 0.02


def test_two_nodes_hide_nothing() -> None:
    X, y = table(60)
    two = {name: rows for name, rows in dealt(2, X, y).items() if len(rows[0])}
    with pytest.raises(PlanError, match="2 nodes|two nodes"):
        fitted(REGRESSOR, two, tk.fixed(), tk.mask())


def test_a_far_offset_costs_no_digits() -> None:
    X, y = table(300)
    far = together(REGRESSOR, dealt(3, X, y + 1e9))
    near = REGRESSOR.fit(X, y + 1e9)
    np.testing.assert_allclose(far.predict(X), near.predict(X), rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-35, 1e-30, 1e30])
def test_units_of_the_target_cost_no_digits(scale: float) -> None:
    X, y = table(300)
    found = together(REGRESSOR, dealt(3, X, y * scale))
    want = REGRESSOR.fit(X, y * scale).predict(X)
    np.testing.assert_allclose(found.predict(X), want, rtol=0, atol=1e-9 * np.abs(want).max())


def test_gradients_that_grow_without_bound_are_named() -> None:
    X, y = table(200, missing=0)
    wild = HistGradientBoostingRegressor(loss="poisson", learning_rate=60.0, max_iter=30, min_samples_leaf=5)
    with pytest.raises(DataError, match="gradients have grown many times"):
        together(wild, dealt(2, X, np.exp(3 * y)))


def test_behind_fixed_sums_nothing_is_gathered_of_single_nodes() -> None:
    """Categories, and counts of each node's rows, would tell more than sums."""
    site = pd.DataFrame({"site": pd.Categorical(["a", "b"] * 50)})
    y = np.arange(100.0)
    with pytest.raises(tk.DataError, match=r"'site'.*gather its categories from each node.*OneHotEncoder"):
        tk.fit(HistGradientBoostingRegressor(), site, y, nodes=3, chain=[tk.fixed()], on=tk.Inline())
    stops = HistGradientBoostingRegressor(early_stopping=True, max_iter=3)
    with pytest.raises(tk.DataError, match="counts the rows of each node.*early_stopping=False"):
        tk.fit(stops, y[:, None], y, nodes=3, chain=[tk.fixed()], on=tk.Inline())
    stops.set_params(validation_fraction=None)
    model = tk.fit(stops, y[:, None], y, nodes=3, chain=[tk.fixed()], on=tk.Inline()).model
    assert len(model.train_score_) == 4


def test_rows_too_few_for_edges_from_counts_are_refused() -> None:
    X, y = table(39, missing=0)
    with pytest.raises(DataError, match=r"a column needs 40 values, and there are 39 rows"):
        fitted(REGRESSOR, {"one": (X, y)}, tk.fixed())
