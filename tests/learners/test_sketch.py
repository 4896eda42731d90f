from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse

from talkoot.core.update import Leaf, Update, total
from talkoot.learners.sums.sketch import K, Sketches

RNG = np.random.default_rng(0)
LEVELS = np.linspace(0, 1, 21)
METHODS = ["linear", "averaged_inverted_cdf", "inverted_cdf", "closest_observation"]
METHODS += ["interpolated_inverted_cdf", "hazen", "weibull", "median_unbiased", "normal_unbiased"]
VALUES = st.lists(st.sampled_from([-3.5, -1.0, 0.0, 0.0, 0.25, 7.0, 1e9]), max_size=30)


def column(values: Any) -> np.ndarray:
    return np.asarray(values, dtype=np.float64).reshape(-1, 1)


def joined(parts: Any) -> Sketches:
    leaves = [Update(values={"s": Sketches.of([p], 1)}, kinds={"s": Leaf.SKETCH}) for p in parts]
    return total(leaves).values["s"]  # type: ignore[no-any-return]


@settings(deadline=None, derandomize=True)
@given(st.lists(VALUES, min_size=1, max_size=5), st.sampled_from(METHODS))
def test_few_values_are_exact_however_they_are_dealt(parts: list[list[float]], method: Any) -> None:
    together = joined([column(part) for part in parts])
    values = [v for part in parts for v in part]
    got = together.quantiles(0, LEVELS, method)
    want = np.quantile(values, LEVELS, method=method) if values else np.full(21, np.nan)
    assert_allclose(got, want, rtol=1e-12)
    assert together.error == 0.0


@settings(deadline=None, derandomize=True)
@given(st.lists(VALUES, min_size=1, max_size=5))
def test_zeros_that_sparse_rows_do_not_store_count(parts: list[list[float]]) -> None:
    together = joined([sparse.csr_array(column(part)) for part in parts])
    values = [v for part in parts for v in part]
    want = np.quantile(values, LEVELS) if values else np.full(21, np.nan)
    assert_allclose(together.quantiles(0, LEVELS), want, rtol=1e-12)
    assert together.counts.tolist() == [len(values)]
    assert together.rows == len(values)


def test_up_to_k_values_nothing_is_forgotten() -> None:
    values = RNG.normal(size=K)
    together = joined([column(part) for part in np.array_split(values, 7)])
    assert_allclose(together.quantiles(0, LEVELS), np.quantile(values, LEVELS), rtol=1e-12)


@pytest.mark.parametrize("draw", [RNG.normal, RNG.exponential, lambda size: RNG.integers(0, 50, size)])
def test_ranks_stay_within_the_stated_error(draw: Any) -> None:
    values = np.asarray(draw(size=200_000), dtype=np.float64)
    together = joined([column(part) for part in np.array_split(values, 7)])
    levels = np.linspace(0, 1, 501)
    found = together.quantiles(0, levels)
    ordered = np.sort(values)
    low = np.searchsorted(ordered, found, "left") / len(values)
    high = np.searchsorted(ordered, found, "right") / len(values)
    off = np.maximum(np.maximum(low - levels, levels - high), 0)
    assert together.error == pytest.approx(0.00071, abs=1e-5)
    assert off.max() <= together.error
    assert found[[0, -1]].tolist() == [values.min(), values.max()]


def test_merging_changes_neither_input_and_empty_changes_nothing() -> None:
    a, b = (Sketches.of([column(RNG.normal(size=9000))], 1) for _ in range(2))
    before = a.quantiles(0, LEVELS).tolist(), b.quantiles(0, LEVELS).tolist()
    assert a.merge(b).counts.tolist() == [18_000]
    assert (a.quantiles(0, LEVELS).tolist(), b.quantiles(0, LEVELS).tolist()) == before
    assert a.merge(a.empty()).quantiles(0, LEVELS).tolist() == before[0]
    assert Leaf.SKETCH.identity(a).rows == 0


def test_missing_values_are_left_out_and_counted_as_rows() -> None:
    sketch = Sketches.of([np.array([[np.nan, np.nan], [2.0, np.nan]], dtype=np.float32)], 2)
    assert sketch.counts.tolist() == [1, 0]
    assert sketch.rows == 2
    assert np.isnan(sketch.quantiles(1, LEVELS)).all()


@pytest.mark.parametrize("size", [0, 5, 20_000])
def test_sketches_travel_by_their_bytes(size: int) -> None:
    sketch = Sketches.of([column(RNG.normal(size=size))], 1)
    sent = pickle.dumps(sketch)
    back = pickle.loads(sent)
    assert_allclose(back.quantiles(0, LEVELS), sketch.quantiles(0, LEVELS))
    assert (back.rows, back.counts.tolist()) == (size, [size])
    assert len(sent) < 100_000
