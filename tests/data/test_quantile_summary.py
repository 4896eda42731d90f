from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkoot.data.contract.quantile_summary import SIZE, QuantileSummary

LEVELS = np.linspace(0, 1, 201)


def summary(values: np.ndarray, block: int) -> QuantileSummary:
    made = QuantileSummary()
    for start in range(0, len(values), block):
        made.add(values[start : start + block])
    return made


@settings(deadline=None, derandomize=True)
@given(st.lists(st.sampled_from([-3.5, 0.0, 0.25, 7.0, 1e9]), min_size=1, max_size=60), st.integers(1, 70))
def test_few_values_are_all_there(values: list[float], block: int) -> None:
    found = summary(np.array(values), block).quantiles(LEVELS)
    np.testing.assert_array_equal(found, np.quantile(values, LEVELS, method="lower"))


@pytest.mark.parametrize("draw", ["normal", "exponential", "sorted", "few"])
@pytest.mark.parametrize("block", [500, 6000, 300_000])
def test_ranks_of_many_values_stay_within_the_stated_error(draw: str, block: int) -> None:
    rng = np.random.default_rng(0)
    draws: dict[str, Any] = {
        "normal": rng.normal(size=300_001),
        "exponential": rng.exponential(size=300_001),
        "sorted": np.arange(300_001.0),
        "few": rng.integers(0, 50, 300_001).astype(float),
    }
    values = draws[draw]
    found, ordered = summary(values, block).quantiles(LEVELS), np.sort(values)
    low, high = (np.searchsorted(ordered, found, side) / len(values) for side in ("left", "right"))
    off = np.maximum(np.maximum(low - LEVELS, LEVELS - high), 0).max()
    assert off <= np.log2(len(values) / SIZE) / SIZE
    assert found[[0, -1]].tolist() == [values.min(), values.max()]
    np.testing.assert_array_equal(found, summary(values, block).quantiles(LEVELS))


def test_nothing_is_empty() -> None:
    made = QuantileSummary()
    made.add(np.zeros(0))
    assert made.empty
