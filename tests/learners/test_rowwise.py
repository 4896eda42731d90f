"""Functions that look at other rows are refused, by name; those that do not are left alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from composing import TABLE, X, Y, dense, nodes
from scipy import sparse
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import talkoot as tk
from talkoot.core.errors import DataError
from talkoot.learners import learner_for

RNG = np.random.default_rng(0)
WIDE: Any = sparse.random(200, 9, density=0.3, format="csr", random_state=0)


def centre(x: Any) -> Any:
    return x - x.mean(axis=0)


def none(x: Any) -> Any:
    with np.errstate(divide="ignore"):
        return np.log(np.maximum(x, 0.0))


OTHERS: dict[str, Callable[[Any], Any]] = {
    "mean": centre,
    "sum": lambda x: x / x.sum(),
    "cumsum": lambda x: np.cumsum(x, axis=0),
    "ranks": lambda x: rankdata(x, axis=0),
    "sorted": lambda x: np.sort(x, axis=0),
    "before": lambda x: np.vstack([x[:1], x[:-1]]),
    "place": lambda x: np.column_stack([x, np.arange(len(x))]),
    "greatest": lambda x: x / np.abs(x).max(),
    "log of all": lambda x: np.log(np.abs(x) - np.abs(x).min()),
}
OWN: dict[str, Callable[[Any], Any]] = {
    "log": lambda x: np.log1p(np.abs(x)),
    "log of none": none,
    "product": lambda x: x @ np.random.default_rng(0).normal(size=(5, 3)),
    "norm": lambda x: x / np.linalg.norm(x, axis=1, keepdims=True),
    "more": lambda x: np.column_stack([x, x**2]),
    "fewer": lambda x: x[:, :2],
    "single": lambda x: x.astype(np.float32) @ np.ones((5, 2), np.float32),
    "steps": lambda x: np.digitize(x, [0.0, 1.0, 2.0]),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("count", [1, 3])
def test_a_function_that_looks_at_other_rows_is_refused(name: str, count: int) -> None:
    function = FunctionTransformer(OTHERS[name])
    for estimator in (function, make_pipeline(StandardScaler(), function, Ridge())):
        with pytest.raises(DataError, match="does not treat each row by itself") as caught:
            tk.fit(estimator, X, Y, nodes=count, on=tk.Inline())
        assert "StandardScaler()" in str(caught.value.cure)
        assert caught.value.node is not None


@pytest.mark.parametrize("name", OWN)
def test_a_function_of_single_rows_is_left_alone(name: str) -> None:
    estimator = make_pipeline(FunctionTransformer(OWN[name]), StandardScaler(), Ridge())
    if name == "log of none":
        estimator.steps.insert(1, ("fill", FunctionTransformer(lambda x: np.maximum(x, -9.0))))
    got = tk.fit(estimator, nodes(X, Y, 3), on=tk.Inline()).model
    np.testing.assert_allclose(got.predict(X), estimator.fit(X, Y).predict(X), rtol=1e-6, atol=1e-5)


def test_frames_text_and_sparse_rows() -> None:
    def fraction(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(age=table.age / table.age.max())

    def often(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(city=table.city.map(table.city.value_counts()).fillna(0.0))

    def upper(table: pd.DataFrame) -> pd.DataFrame:
        return table.assign(city=table.city.str.upper())

    frame = TABLE[["age", "city"]]
    for wrong in (fraction, often):
        with pytest.raises(DataError, match=rf"FunctionTransformer\({wrong.__name__}\) does not treat"):
            tk.fit(FunctionTransformer(wrong), frame, nodes=2)
    tk.fit(FunctionTransformer(upper), frame, nodes=2)
    sums = FunctionTransformer(lambda x: x / x.sum(), accept_sparse=True)
    with pytest.raises(DataError, match="does not treat each row by itself"):
        tk.fit(sums, WIDE, nodes=2)
    assert dense(tk.fit(FunctionTransformer(np.sqrt), WIDE, nodes=2).model.transform(WIDE)).shape == (200, 9)


@pytest.mark.parametrize(
    "rows",
    [X[:1], np.repeat(X[:1], 50, axis=0), np.vstack([np.repeat(X[:1], 4000, axis=0), X[:9]])],
    ids=["one row", "equal rows", "equal rows first"],
)
def test_nodes_whose_rows_tell_little(rows: np.ndarray) -> None:
    data = {"few": rows, "others": X + 3.0}
    with pytest.raises(DataError, match="node 'few'.*does not treat each row by itself"):
        tk.fit(FunctionTransformer(centre), {**data, "others": X[:1] + 3.0}, on=tk.Inline())
    tk.fit(FunctionTransformer(np.tanh), data)


def test_chance_earlier_calls_and_other_numbers_of_rows_are_refused() -> None:
    calls: list[None] = []

    def counted(x: np.ndarray) -> np.ndarray:
        calls.append(None)
        return x + len(calls)

    for function in (lambda x: x + np.random.normal(size=x.shape), counted):
        with pytest.raises(DataError, match="two results for the same rows"):
            tk.fit(FunctionTransformer(function), X)
    for function in (lambda x: x[x[:, 0] > 0], lambda x: x.sum(axis=1)):
        with pytest.raises(DataError, match="one row for each row"):
            tk.fit(FunctionTransformer(function), X)


def test_a_function_may_write_into_its_rows() -> None:
    def shift(x: np.ndarray) -> np.ndarray:
        x += 1.0
        return x

    rows = X.copy()
    got = tk.fit(make_pipeline(FunctionTransformer(shift), StandardScaler()), rows, nodes=2, on=tk.Inline())
    np.testing.assert_array_equal(rows, X)
    np.testing.assert_allclose(got.model[-1].mean_, X.mean(axis=0) + 1.0)


class Ranked(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Somebody's own transformer that needs no fit."""

    def fit(self, X: Any, y: Any = None) -> Ranked:
        return self

    def transform(self, X: Any) -> Any:
        return rankdata(X, axis=0)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.requires_fit = False
        return tags


def test_transformers_of_others_are_tried_too() -> None:
    union = ColumnTransformer([("ranked", Ranked(), [0])], remainder="passthrough")
    with pytest.raises(DataError, match="in 'ranked': Ranked does not treat each row by itself"):
        tk.fit(union, X, nodes=2)


def test_a_node_can_leave_where_the_fitted_step_is_the_last_that_asked() -> None:
    function = FunctionTransformer(np.tanh)
    assert learner_for(make_pipeline(function, StandardScaler(), "passthrough")).closed
    assert not learner_for(make_pipeline(StandardScaler(), function)).closed
    data = nodes(X, None, 3)
    left = tk.fit(make_pipeline(function, StandardScaler()), data).forget("n1").model
    rest = np.vstack([rows for name, rows in data.items() if name != "n1"])
    np.testing.assert_allclose(left[-1].mean_, np.tanh(rest).mean(axis=0))


def test_random_features_follow_from_the_seed() -> None:
    def features(seed: int, on: Any) -> np.ndarray:
        fitted = tk.fit(make_pipeline(RBFSampler(n_components=4), Ridge()), X, Y, nodes=2, on=on, seed=seed)
        assert fitted.model[0].random_state is None
        return np.asarray(fitted.model[0].random_weights_)

    once = features(0, tk.Inline())
    np.random.seed(7)
    np.testing.assert_array_equal(features(0, tk.Local(2)), once)
    assert (features(1, tk.Inline()) != once).any()
