"""Reasons for a decision: the largest contributions towards an outcome, with the row's own values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

import talkoot as tk
from talkoot.api.explain.reasons import strongest

RNG = np.random.default_rng(1)
X = RNG.normal(size=(200, 4))
Y = X[:, 0] - 2 * X[:, 1] + 0.1 * X[:, 2]
LABELS = np.where(Y > 0, "denied", "approved")
TURNED = ["x3", "x2", "x1", "x0"]
BOOSTED = HistGradientBoostingClassifier(max_iter=10).fit(X, LABELS)
FOREST = RandomForestClassifier(5, random_state=0).fit(X, LABELS)


@given(st.lists(st.integers(-5, 5), min_size=1, max_size=8), st.integers(1, 9))
def test_reasons_are_the_largest_above_zero(values: list[int], k: int) -> None:
    found = strongest(np.array(values, dtype=float), k)
    got = [values[j] for j in found]
    assert got == sorted((value for value in values if value > 0), reverse=True)[:k]
    assert len(set(found)) == len(found)


@pytest.mark.parametrize("model", [BOOSTED, FOREST])
def test_the_two_outcomes_share_all_columns(model: Any) -> None:
    found = tk.explain.contributions(model, X[:30])
    for row in range(30):
        denied, approved = (found.reasons(row, towards=label, k=4) for label in ("denied", "approved"))
        columns = [each.column for each in (*denied.reasons, *approved.reasons)]
        assert sorted(columns) == [f"x{j}" for j in range(4) if found.values[row].reshape(4, -1)[j, 0]]
        assert all(each.contribution > 0 for each in (*denied.reasons, *approved.reasons))
        assert all(each.value == X[row, int(each.column[1])] for each in denied.reasons)


def test_contributions_to_the_first_class_are_those_to_the_second_turned() -> None:
    for model in (BOOSTED, FOREST):
        found = tk.explain.contributions(model, X[:30])
        row = int(model.predict_proba(X[:30])[:, 1].argmax())
        (strongest_reason,) = found.reasons(row, towards="denied", k=1).reasons
        assert strongest_reason.column in ("x0", "x1")
        assert strongest_reason.contribution > 0.05


def test_numbers_have_a_direction() -> None:
    found = tk.explain.contributions(HistGradientBoostingRegressor(max_iter=10).fit(X, Y), X[:5])
    up, down = found.reasons(0, towards="higher"), found.reasons(0, towards="lower")
    assert {each.column for each in up.reasons} == {f"x{j}" for j in np.flatnonzero(found.values[0] > 0)}
    assert {each.column for each in down.reasons} == {f"x{j}" for j in np.flatnonzero(found.values[0] < 0)}


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table])
def test_values_are_the_rows_own(kind: Any) -> None:
    columns = {"age": X[:, 0], "debt": X[:, 1], "income": np.where(np.arange(200) % 2, np.nan, X[:, 2])}
    model = HistGradientBoostingClassifier(max_iter=10).fit(pd.DataFrame(columns), LABELS)
    found = tk.explain.contributions(model, kind(columns))
    for row in (0, 1):
        for label in model.classes_:
            for each in found.reasons(row, towards=label).reasons:
                value = columns[each.column][row]
                assert each.value == value if not np.isnan(value) else each.value is None


def test_categories_are_shown_as_they_were_given() -> None:
    frame = pd.DataFrame({"size": X[:, 0], "job": pd.Categorical(np.where(Y > 0, "none", "nurse"))})
    model = HistGradientBoostingClassifier(max_iter=5, categorical_features="from_dtype").fit(frame, LABELS)
    row = int(np.flatnonzero(Y > 0)[0])
    found = tk.explain.contributions(model, frame)
    frame.loc[:, "size"] = 0.0  # what happens to the rows later changes no reason
    (reason,) = found.reasons(row, towards="denied", k=1).reasons
    assert (reason.column, reason.value) == ("job", "none")
    assert found.X["size"].iloc[row] == X[row, 0]


def test_columns_of_a_model_without_names_are_found_by_place() -> None:
    for rows in (pd.DataFrame(X[:3], columns=TURNED), pl.DataFrame(X[:3], schema=TURNED)):
        with pytest.warns(UserWarning, match="fitted without feature names"):
            found = tk.explain.contributions(BOOSTED, rows)
        for each in found.reasons(0, towards="denied").reasons:
            assert each.value == X[0, int(each.column[1])]


@pytest.mark.parametrize(
    ("options", "kind", "why"),
    [
        ({"row": 5, "towards": "denied"}, tk.DataError, "row=5 is out of range. Take one from 0 to 4"),
        ({"row": -1, "towards": "denied"}, tk.DataError, "row=-1"),
        ({"row": 0.5, "towards": "denied"}, tk.DataError, "no whole number"),
        ({"row": 0, "towards": "denied", "k": 0}, tk.DataError, "k=0"),
        ({"row": 0, "towards": "refused"}, tk.PlanError, r"The classes are \['approved', 'denied'\]"),
        ({"row": 0, "towards": None}, tk.PlanError, "towards=None is no class"),
    ],
)
def test_what_is_not_there_is_refused(options: dict[str, Any], kind: type[Exception], why: str) -> None:
    with pytest.raises(kind, match=why):
        tk.explain.contributions(BOOSTED, X[:5]).reasons(**options)


def test_numbers_have_no_classes() -> None:
    with pytest.raises(tk.PlanError, match="towards='up' is no direction"):
        tk.explain.contributions(RandomForestRegressor(2).fit(X, Y), X[:2]).reasons(0, towards="up")
    both = RandomForestRegressor(2).fit(X, np.stack([Y, -Y], axis=1))
    with pytest.raises(tk.PlanError, match="one target, and there are 2"):
        tk.explain.contributions(both, X[:2]).reasons(0, towards="higher")
