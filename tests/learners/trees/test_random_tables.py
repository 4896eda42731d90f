"""Boosting of any table: the predictions of the pooled rows, or a refusal that says why."""

from __future__ import annotations

import warnings
from typing import Any

import boosted
import numpy as np
import pandas as pd
import pytest
from boosted import together
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

import talkoot as tk
from examples import examples

pytestmark = pytest.mark.wide
COLUMNS: dict[str, Any] = boosted.COLUMNS | {
    "huge": lambda rng, rows: rng.normal(size=rows) * 1e307,
    "tiny": lambda rng, rows: rng.normal(size=rows) * 1e-310,
}


@examples(200)
@given(
    columns=st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4),
    rows=st.integers(1, 60),
    nodes=st.integers(1, 4),
    bins=st.sampled_from([2, 5, 255]),
    weighted=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_table(columns: list[str], rows: int, nodes: int, bins: int, weighted: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    X = np.column_stack([COLUMNS[kind](rng, rows) for kind in columns])
    y, w = rng.normal(size=rows), rng.uniform(0.1, 2, rows) * (rng.random(rows) > 0.2)
    owner = rng.integers(0, nodes, rows)
    table = (X, y, w) if weighted else (X, y)
    data = {f"n{node}": tuple(each[owner == node] for each in table) for node in range(nodes)}
    estimator = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=2, max_bins=bins)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            want = clone(estimator).fit(X, y, *table[2:]).predict(X)
        except (ValueError, ZeroDivisionError):
            want = None
        if weighted and not w.any():
            with pytest.raises(tk.DataError, match="weights of all rows add up to 0"):
                together(estimator, data)
            return
        found = together(estimator, data).predict(X)
    if want is not None:  # scikit-learn does not take columns without any value
        np.testing.assert_allclose(found, want, rtol=0, atol=1e-9)
    assert np.isfinite(found).all()


@examples(200)
@given(
    columns=st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4),
    rows=st.integers(4, 60),
    classes=st.integers(2, 4),
    nodes=st.integers(1, 4),
    by_class=st.booleans(),
    dtype=st.sampled_from([np.float64, np.float32, np.int8]),
    leaf=st.sampled_from([1, 3, 20]),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_table_of_classes(
    columns: list[str],
    rows: int,
    classes: int,
    nodes: int,
    by_class: bool,
    dtype: Any,
    leaf: int,
    seed: int,
) -> None:
    """Weights are by chance: of equal gains the last digit decides. A node may have one class only."""
    rng = np.random.default_rng(seed)
    with np.errstate(all="ignore"):
        X = np.column_stack([COLUMNS[kind](rng, rows) for kind in columns])
        X = np.nan_to_num(X, posinf=9, neginf=-9).clip(-9, 9).astype(dtype) if dtype is np.int8 else X
        X = np.where(np.isinf(X.astype(dtype)), 1, X).astype(dtype)
    y, w = np.array(["no", "yes", "maybe", "?"])[rng.integers(0, classes, rows)], rng.uniform(0.1, 2, rows)
    y[:2] = "no", "yes"
    w[4:] *= rng.random(rows - 4) > 0.2
    owner = np.unique(y, return_inverse=True)[1] % nodes if by_class else rng.integers(0, nodes, rows)
    data = {f"n{node}": (X[owner == node], y[owner == node], w[owner == node]) for node in range(nodes)}
    estimator = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=leaf)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = together(estimator, data)
        try:
            want = clone(estimator).fit(X, y, w)
        except (ValueError, ZeroDivisionError):  # scikit-learn does not take columns without any value
            assert np.isfinite(found.decision_function(X)).all()
            return
    assert found.classes_.tolist() == want.classes_.tolist()
    np.testing.assert_allclose(found.decision_function(X), want.decision_function(X), rtol=0, atol=1e-9)


@pytest.mark.parametrize("values", [256, 5000])
def test_more_categories_than_bins_are_refused_as_scikit_learn_does(values: int) -> None:
    rng = np.random.default_rng(0)
    place = np.append(np.arange(values), rng.integers(0, values, values))
    frame, y = pd.DataFrame({"code": pd.Categorical([f"c{i}" for i in place])}), rng.normal(size=len(place))
    with pytest.raises(ValueError, match="cardinality"):
        HistGradientBoostingRegressor(max_iter=2).fit(frame, y)
    data = {f"n{k}": (frame[k::2], y[k::2]) for k in range(2)}
    with pytest.raises(tk.DataError, match=r"code.*categories.*255"):
        together(HistGradientBoostingRegressor(max_iter=2), data)


@pytest.mark.parametrize("scale", [1e-30, 1e12, 1e30])
def test_targets_of_any_size(scale: float) -> None:
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(80, 3)), rng.normal(size=80) * scale
    estimator = HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=4)
    data = {f"n{k}": (X[k::3], y[k::3]) for k in range(3)}
    with np.errstate(all="ignore"):
        want = clone(estimator).fit(X, y).predict(X)
    np.testing.assert_allclose(together(estimator, data).predict(X), want, rtol=0, atol=1e-9 * scale)


@examples(80)
@given(
    kinds=st.lists(st.sampled_from(["text", "whole", "yes or no", "number"]), min_size=1, max_size=4),
    rows=st.integers(20, 80),
    nodes=st.integers(1, 4),
    most=st.integers(2, 12),
    missing=st.sampled_from([0.0, 0.3]),
    stops=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_table_of_categories(
    kinds: list[str], rows: int, nodes: int, most: int, missing: float, stops: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({f"c{j}": category(kind, rows, most, missing, rng) for j, kind in enumerate(kinds)})
    y, owner = rng.normal(size=rows), np.sort(rng.integers(0, nodes, rows))
    data = {f"n{node}": (frame[owner == node], y[owner == node]) for node in range(nodes)}
    estimator = HistGradientBoostingRegressor(max_iter=2, min_samples_leaf=2, early_stopping=stops)
    found = together(estimator, data)
    want = together(estimator, {"n": (frame, y)}) if stops else clone(estimator).fit(frame, y)
    np.testing.assert_allclose(found.predict(frame), want.predict(frame), rtol=0, atol=1e-9)
    new = frame.assign(c0=pd.Categorical([f"new {i}" for i in range(rows)])) if kinds[0] == "text" else frame
    np.testing.assert_allclose(found.predict(new), want.predict(new), rtol=0, atol=1e-9)


def category(kind: str, rows: int, most: int, missing: float, rng: np.random.Generator) -> Any:
    """A column of categories, of two at least, or of numbers."""
    if kind == "number":
        return np.where(rng.random(rows) < missing, np.nan, rng.normal(size=rows))
    place = rng.integers(0, most, rows)
    place[:2] = 0, 1
    values: Any = place % 2 == 1 if kind == "yes or no" else 10 * place - 30
    values = pd.Series(np.array([f"{value} mg" for value in place]) if kind == "text" else values)
    gone = rng.random(rows) < missing
    gone[:2] = False
    return values.mask(gone).astype(values.dtype if kind == "text" else object).astype("category")
