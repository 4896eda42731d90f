"""Exact sums: in any order, over any division, the correctly rounded total."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkoot.core.errors import DataError
from talkoot.learners.sums.exact import exact_count, exact_sum, exact_total

FLOATS = st.floats(-(2.0**100), 2.0**100, allow_subnormal=False).filter(lambda x: x == 0 or abs(x) > 1e-100)


@given(st.lists(FLOATS, max_size=30), st.integers(0, 30))
def test_order_and_division_never_matter(values: list[float], at: int) -> None:
    whole = exact_sum(np.array(values))
    mixed = sorted(values)
    np.testing.assert_array_equal(exact_sum(np.array(mixed[:at])) + exact_sum(np.array(mixed[at:])), whole)


@given(st.lists(FLOATS, max_size=30))
def test_the_total_is_rounded_once(values: list[float]) -> None:
    assert exact_total(exact_sum(np.array(values))) == pytest.approx(math.fsum(values), rel=1e-15, abs=1e-120)


@pytest.mark.parametrize("count", [0, 1, 2**40])
def test_counts(count: int) -> None:
    assert exact_total(exact_count(count)) == count


@pytest.mark.parametrize("value", [np.nan, np.inf, -(2.0**126)])
def test_what_cannot_be_added_is_refused(value: float) -> None:
    with pytest.raises(DataError, match="not finite, or is"):
        exact_sum(np.array([1.0, value]))
