"""Boosting of any table: the predictions of the pooled rows, or a refusal that says why."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boosted import together
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor

import talkoot as tk

pytestmark = pytest.mark.wide
COLUMNS: dict[str, Any] = {
    "many": lambda rng, rows: rng.normal(size=rows),
    "few": lambda rng, rows: rng.integers(0, 3, rows).astype(float),
    "constant": lambda rng, rows: np.full(rows, 7.0),
    "missing": lambda rng, rows: np.full(rows, np.nan),
    "some missing": lambda rng, rows: np.where(rng.random(rows) < 0.4, np.nan, rng.normal(size=rows)),
    "huge": lambda rng, rows: rng.normal(size=rows) * 1e307,
    "tiny": lambda rng, rows: rng.normal(size=rows) * 1e-310,
}


@settings(max_examples=50, deadline=None)
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


@settings(max_examples=40, deadline=None)
@given(
    kinds=st.lists(st.sampled_from(["text", "whole", "yes or no", "number"]), min_size=1, max_size=4),
    rows=st.integers(20, 120),
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
    estimator = HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=2, early_stopping=stops)
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
