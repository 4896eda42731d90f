from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import chi2_contingency

from talkoot.data.contract.column import RANKS, Column
from talkoot.data.contract.node_profile import (
    ColumnProfile,
    contingency_table,
    p_value,
    stability_index,
    total_variation,
)

COUNTS = arrays(np.float64, (3, 4), elements=st.integers(1, 500).map(float))


def number(values: np.ndarray) -> ColumnProfile:
    column = Column()
    for block in np.array_split(values, 3):
        column.add(block)
    said = column.leaves("0")
    rows, missing, infinite = said["0.facts"].tolist()
    counts = (
        dict(zip(said["0.values"].tolist(), said["0.counts"].tolist(), strict=True))
        if "0.values" in said
        else None
    )
    return ColumnProfile(
        kind="number", rows=rows, missing=missing, infinite=infinite, grid=said.get("0.grid"), values=counts
    )


@given(COUNTS)
def test_chance_is_the_chi_square_test_of_scipy(counts: np.ndarray) -> None:
    assert p_value(counts) == pytest.approx(chi2_contingency(counts, correction=False)[1])


def test_chance_of_too_little_is_certain() -> None:
    assert p_value(np.array([[1.0, 0.0], [3.0, 0.0]])) == 1
    assert p_value(np.array([[1.0, 2.0], [0.0, 0.0]])) == 1


@given(COUNTS)
def test_measures_of_difference_are_symmetric_and_nothing_between_likes(counts: np.ndarray) -> None:
    a, b, _ = counts
    assert stability_index(a, b) == pytest.approx(stability_index(b, a))
    assert total_variation(a, b) == pytest.approx(total_variation(b, a))
    assert total_variation(a, 3 * a) == pytest.approx(0)
    assert 0 <= total_variation(a, b) <= 1
    assert stability_index(a, b) >= -1e-12


def test_few_values_are_counted_and_many_are_cut_at_shared_deciles() -> None:
    few = [number(np.array([0.0, 1, 1])), number(np.array([1.0, 2, 2, np.nan]))]
    np.testing.assert_array_equal(contingency_table(few), [[1, 2, 0], [0, 1, 2]])
    rng = np.random.default_rng(0)
    many = [number(rng.normal(size=4000)), number(rng.normal(size=2000))]
    counts = contingency_table(many)
    assert counts.shape == (2, 10)
    np.testing.assert_allclose(counts.sum(axis=1), [4000, 2000])
    np.testing.assert_allclose(counts / counts.sum(axis=1, keepdims=True), 0.1, atol=0.03)
    assert contingency_table([many[0], number(np.zeros(50))]).sum(axis=1).tolist() == [4000, 50]


def test_a_profile_of_numbers_is_exact_while_it_is_small_and_close_beyond() -> None:
    values = np.random.default_rng(0).permutation(np.arange(50_000.0))
    values[:100], values[100] = np.nan, np.inf
    view = number(values)
    assert (view.rows, view.missing, view.infinite, view.known) == (50_000, 100, 1, 49_899)
    assert view.values is None
    np.testing.assert_allclose(view.quantiles, RANKS * 50_000, atol=0.015 * 50_000)
    assert number(np.array([3.0, 1, 3])).values == {1.0: 1, 3.0: 2}


def test_text_is_read_as_numbers_where_it_is_numbers() -> None:
    text = ColumnProfile(kind="text", rows=10, missing=1, values={"1": 4, "2.5": 3, "?": 2})
    plain = text.as_number()
    assert (plain.missing, plain.known, dict(plain.strays)) == (3, 7, {"?": 2})
    assert plain.values == {1.0: 4, 2.5: 3}
    assert plain.share(1.0) == pytest.approx(4 / 7)
    assert ColumnProfile(kind="text", rows=3, values={"x": 3}).as_number().known == 0


def test_text_of_many_kinds_stays_bounded() -> None:
    column = Column()
    for i in range(3):
        column.add(np.array([f"{i}-{j}" for j in range(30_000)], dtype=object))
        column.add(np.array(["often"] * 500, dtype=object))
    said = column.leaves("0")
    assert len(said["0.values"]) == 1000
    assert said["0.values"][0] == "often"
    assert said["0.counts"][0] == 1500
    assert column.counts is not None
    assert len(column.counts) <= 50_000
