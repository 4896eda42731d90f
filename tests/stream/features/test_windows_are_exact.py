"""What rows see is what a plain loop over the rows before them finds, and what pandas finds."""

from __future__ import annotations

import math
import statistics
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import talkoot as tk
from talkoot.core.errors import DataError

ALL = ("count", "sum", "mean", "std", "min", "max")
Row = tuple[int | None, str | None, float | None]

amounts = st.one_of(
    st.none(),
    st.sampled_from([0.0, -0.0, 0.1, 1e-9, 1e12, -3.5, 2.0**47]),
    st.floats(-1e9, 1e9, allow_subnormal=False),
)
UNIT = 64 * 2.0**-128  # sums hold multiples of 2**-128: below it, a value is 0
rows = st.lists(
    st.tuples(st.one_of(st.none(), st.integers(0, 40)), st.sampled_from(["a", "b", None]), amounts),
    min_size=1,
    max_size=40,
)


def batch_of(found: list[Row]) -> pa.RecordBatch:
    at, card, amount = zip(*found, strict=True)
    return pa.record_batch(
        {
            "at": pa.array(at, pa.int64()),
            "card": pa.array(card, pa.string()),
            "amount": pa.array(amount, pa.float64()),
        }
    )


def expected(found: list[Row], duration: int, every: int, grace: int, drop: bool) -> list[dict[str, Any]]:
    """The aggregates of each row's window, by looking at all rows before it."""
    out: list[dict[str, Any]] = []
    joined: list[tuple[int, str, float]] = []
    clock = -math.inf
    for at, card, amount in found:
        clock = clock if at is None else max(clock, at)
        is_late = at is not None and at < clock - grace
        seen: dict[str, Any] = dict.fromkeys((*ALL, "distinct"))
        if at is not None and card is not None and not is_late:
            pane = at // every
            values = [v for t, c, v in joined if c == card and pane - duration // every < t // every <= pane]
            seen = aggregates(values)
        out.append(seen)
        if at is not None and card is not None and amount is not None and not (is_late and drop):
            joined.append((at, card, amount))
    return out


def aggregates(values: list[float]) -> dict[str, Any]:
    total = float(sum(map(Fraction, values)))
    return {
        "count": len(values),
        "sum": total,
        "mean": total / len(values) if values else None,
        "std": statistics.stdev(map(Fraction, values)) if len(values) > 1 else None,
        "min": min(values, default=None),
        "max": max(values, default=None),
        "distinct": len(set(values)),
    }


def assert_same(got: list[Any], wanted: list[dict[str, Any]], name: str) -> None:
    for one, row in zip(got, wanted, strict=True):
        other = row[name]
        if name == "std" and other is not None:
            assert one == pytest.approx(float(other), rel=1e-9, abs=1e-12)
        elif name in ("sum", "mean") and other is not None:
            assert abs(one - other) <= UNIT, (name, got, [row[name] for row in wanted])
        else:
            assert one == other, (name, got, [row[name] for row in wanted])


@given(rows, st.sampled_from([0, 3, 100]), st.sampled_from(["1s", "5s", "10s"]), st.booleans())
def test_windows_hold_the_rows_before_them_however_late_these_came(
    found: list[Row], grace: int, every: str, drop: bool
) -> None:
    on_late = "drop" if drop else "count"
    sliding = tk.window("10s", *ALL, by="card", of="amount")
    hopping = tk.window("10s", *ALL, by="card", of="amount", every=every)
    short = tk.window("4s", *ALL, by="card", of="amount")
    plan = tk.features(sliding, hopping, short, time="at", grace=f"{grace}s", on_late=on_late)
    seen = plan.apply(plan.start(), batch_of(found)).to_pydict()
    for window, duration, pane in ((sliding, 10, 1), (hopping, 10, int(every[:-1])), (short, 4, 1)):
        wanted = expected(found, duration, pane, grace, drop)
        for name, aggregate in zip(window.names, ALL, strict=True):
            assert_same(seen[name], wanted, aggregate)


@given(rows, st.sampled_from([0, 100]))
def test_distinct_values_are_exact_and_unknown_for_rows_of_the_past(found: list[Row], grace: int) -> None:
    window = tk.window("10s", "distinct", by="card", of="amount")
    plan = tk.features(window, time="at", grace=f"{grace}s")
    seen = plan.apply(plan.start(), batch_of(found)).to_pydict()["amount_distinct_10s_by_card"]
    latest = dict.fromkeys(["a", "b"], -1)
    for i, (row, wanted) in enumerate(zip(found, expected(found, 10, 1, grace, False), strict=True)):
        at, card, amount = row
        if at is None or card is None or at < latest[card]:
            assert seen[i] is None
        else:
            assert seen[i] == wanted["distinct"]
        if at is not None and card is not None and amount is not None:
            latest[card] = max(latest[card], at)


@given(
    st.lists(st.tuples(st.integers(0, 9000), st.sampled_from("ab"), st.integers(-1000, 1000)), min_size=1),
)
def test_it_equals_pandas(found: list[tuple[int, str, int]]) -> None:
    ordered = sorted(found)
    frame = pd.DataFrame(ordered, columns=["at", "card", "amount"])
    frame["amount"] /= 4
    frame["at"] = pd.to_datetime(frame["at"], unit="s", utc=True)
    hour = tk.window("1h", *ALL, by="card", of="amount")
    tumbling = tk.window("1h", *ALL, by="card", of="amount", every="1h")
    plan = tk.features(hour, tumbling, time="at", itself=True)
    batch = pa.RecordBatch.from_pandas(frame)
    seen = plan.apply(plan.start(), batch).to_pandas()
    rolling = frame.groupby("card").rolling("1h", on="at")["amount"]
    for name, aggregate in zip(hour.names, ALL, strict=True):
        wanted = getattr(rolling, aggregate)().reset_index(level=0, drop=True)
        for card in "ab":
            mine = seen.loc[seen.card == card, name].to_numpy(float)
            np.testing.assert_allclose(mine, wanted_of(frame, card, aggregate), rtol=1e-9, atol=1e-9)
        assert len(wanted) == len(frame)
    groups = frame.groupby(["card", frame["at"].dt.floor("h")])["amount"]
    np.testing.assert_array_equal(seen[tumbling.names[0]], groups.cumcount() + 1)
    np.testing.assert_array_equal(seen[tumbling.names[1]], groups.cumsum())
    np.testing.assert_array_equal(seen[tumbling.names[4]], groups.cummin())
    np.testing.assert_array_equal(seen[tumbling.names[5]], groups.cummax())


def wanted_of(frame: pd.DataFrame, card: str, aggregate: str) -> np.ndarray:
    own = frame.loc[frame.card == card].set_index("at")["amount"]
    return np.asarray(getattr(own.rolling("1h"), aggregate)(), float)


def test_a_billion_and_a_cent_leave_no_trace() -> None:
    values = [1e14, 0.01, -1e14, 0.02, 1e-13]
    batch = pa.record_batch({"at": np.arange(5.0), "amount": values})
    plan = tk.features(tk.window("1s", "sum", "std", of="amount"), time="at", itself=True)
    seen = plan.apply(plan.start(), batch)
    assert seen.column("amount_sum_1s").to_pylist() == values
    large = pa.record_batch({"at": np.arange(3.0), "amount": [1e9, 1e9 + 1e-3, 1e9 + 2e-3]})
    plan = tk.features(tk.window("1h", "std", of="amount"), time="at", itself=True)
    deviation = plan.apply(plan.start(), large).column("amount_std_1h")[2].as_py()
    assert deviation == pytest.approx(np.std(large.column("amount").to_numpy() - 1e9, ddof=1), rel=1e-9)


@pytest.mark.parametrize("bad", [math.inf, -math.inf, 1e15])
def test_a_value_that_does_not_fit_is_refused_by_name_and_changes_nothing(bad: float) -> None:
    plan = tk.features(tk.window("1h", "sum", "std", of="amount"), time="at")
    state = plan.start()
    before = {name: array.copy() for name, array in state.items()}
    with pytest.raises(DataError, match=r"'amount': row 1 .*finite numbers below 2.81e\+14"):
        plan.apply(state, pa.record_batch({"at": [1.0, 2.0], "amount": [1.0, bad]}))
    assert all(np.array_equal(state[name], array) for name, array in before.items())


def test_seconds_since_the_last_row_of_the_key() -> None:
    plan = tk.features(tk.window("1h", "since", by=["card", "shop"]), time="at", grace="1h")
    at = [0.0, 10.0, 10.5, 10.5, 5.0, 4000.0]
    batch = pa.record_batch({"at": at, "card": [1] * 6, "shop": ["x"] * 6})
    seen = plan.apply(plan.start(), batch).column("since_1h_by_card_and_shop").to_pylist()
    assert seen == [None, 10.0, 0.5, 0.0, 5.0, None]
