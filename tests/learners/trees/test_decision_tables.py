"""Decision trees of any table: as good as scikit-learn's, or refused with the reason."""

from __future__ import annotations

import warnings
from typing import Any

import boosted
import numpy as np
import pytest
from decisions import KINDS, X, Y, assert_best_splits, dealt, together
from hypothesis import given
from hypothesis import strategies as st
from sklearn.tree import DecisionTreeClassifier as Classifier
from sklearn.tree import DecisionTreeRegressor as Regressor

import talkoot as tk
from examples import examples

COLUMNS: dict[str, Any] = boosted.COLUMNS | {
    "huge": lambda rng, rows: rng.normal(size=rows) * 1e37,
    "tiny": lambda rng, rows: rng.normal(size=rows) * 1e-7,
}


@pytest.mark.wide
@examples(80)
@given(
    columns=st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4),
    rows=st.integers(1, 60),
    nodes=st.integers(1, 4),
    kind=st.sampled_from(["gini", "entropy", "squared_error"]),
    leaf=st.sampled_from([1, 4]),
    weighted=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_table(
    columns: list[str], rows: int, nodes: int, kind: str, leaf: int, weighted: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    table = np.column_stack([COLUMNS[name](rng, rows) for name in columns])
    y: Any = rng.normal(size=rows) if kind == "squared_error" else rng.integers(0, 3, rows)
    w = rng.uniform(0.1, 2, rows) * (rng.random(rows) > 0.2) if weighted else None
    owner = rng.integers(0, nodes, rows)
    parts = [each for each in (table, y, w) if each is not None]
    data = {f"n{node}": tuple(each[owner == node] for each in parts) for node in range(nodes)}
    make: Any = Regressor if kind == "squared_error" else Classifier
    estimator = make(criterion=kind, min_samples_leaf=leaf)
    if w is not None and not w.any():
        with pytest.raises(tk.DataError, match="weights of all rows add up to 0"):
            together(estimator, data)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert_best_splits(together(estimator, data), estimator, table, y, w)


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (Classifier(splitter="random"), r"splitter='random'\) cannot be distributed.*chance"),
        (Classifier(max_features="sqrt"), r"max_features='sqrt'\) cannot be distributed.*max_features=None"),
        (Regressor(max_features=2), r"max_features=2\) cannot"),
        (Regressor(criterion="absolute_error"), r"criterion='absolute_error'\).*medians.*squared_error"),
    ],
    ids=["splitter", "share of columns", "number of columns", "criterion"],
)
def test_parameters_are_refused(estimator: Any, message: str) -> None:
    with pytest.raises(tk.NotDistributable, match=message):
        together(estimator, dealt(2, X, KINDS))


@pytest.mark.parametrize(
    ("estimator", "rows", "y", "message"),
    [
        (Regressor(), X, np.column_stack([Y, Y]), "one target over nodes, and there are 2"),
        (Regressor(criterion="poisson"), X, Y, "target of at least 0"),
        (Regressor(criterion="poisson"), X, np.zeros(300), "somewhere above 0"),
        (Regressor(), X, np.where(Y > 3, 1e19, Y), "squares cannot be added up"),
        (Regressor(), X, Y + 1e8, "near 1e\\+08 and differ so little.*Subtract 1e\\+08"),
        (Regressor(), np.where(X > 2, np.inf, X), Y, "infinite"),
        (Regressor(), np.where(X > 2, 1e39, X), Y, "trees compare 32 bits"),
        (Classifier(class_weight={"none": 2}), X, KINDS, "class_weight does not fit"),
        (Classifier(monotonic_cst=[1, 0, 0, 0]), X, KINDS, "multiclass"),
        (Regressor(monotonic_cst=[1, 0]), X, Y, "monotonic_cst has shape 2"),
    ],
)
def test_rows_are_refused(estimator: Any, rows: Any, y: Any, message: str) -> None:
    with pytest.raises(tk.TalkootError, match=message):
        together(estimator, dealt(2, rows, y))


def test_weights_are_checked_and_empty_nodes_are_none() -> None:
    weights = np.where(X[:, 0] > 1, -1.0, 1.0)
    with pytest.raises(tk.DataError, match="sample weights are negative"):
        together(Classifier(), dealt(2, X, KINDS, weights))
    with pytest.raises(tk.DataError, match="weights of all rows add up to 0"):
        together(Regressor(), dealt(2, X, Y, np.zeros(300)))


def test_few_rows_behind_sums_are_refused() -> None:
    with pytest.raises(tk.DataError, match="no column can be divided.*40 values"):
        together(Classifier(), dealt(3, X[:30], KINDS[:30]), chain=[tk.fixed()])


def test_one_class_is_one_leaf() -> None:
    model = together(Classifier(), dealt(2, X, np.full(300, "yes")))
    assert model.predict(X[:2]).tolist() == ["yes", "yes"]
    assert model.tree_.node_count == 1
