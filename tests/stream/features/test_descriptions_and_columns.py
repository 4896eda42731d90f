"""Descriptions that cannot be meant are refused by name; columns of all kinds are read."""

from __future__ import annotations

import datetime as dt
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import talkoot as tk
from talkoot.core.errors import DataError, PlanError

COUNT = tk.window("1h", "count", by="card")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: tk.window("1 hour", "count"), "'1 hour' is not a time"),
        (lambda: tk.window("1h"), "computes nothing"),
        (lambda: tk.window("1h", "median", of="x"), "no aggregate 'median'"),
        (lambda: tk.window("1h", "sum"), "sum of which column"),
        (lambda: tk.window("1h", "sum", of="x", every="7m"), "not a multiple of every='7m'"),
        (lambda: tk.window("1h", "since", every="10m"), "single rows"),
        (lambda: tk.features(time="at"), "no windows"),
        (lambda: tk.features(COUNT, COUNT, time="at"), "'count_1h_by_card' comes out twice"),
        (lambda: tk.features(COUNT, time="at", on_late="keep"), "'count' nor 'drop'"),
        (lambda: tk.features(COUNT, time="at", memory=10), "10 bytes hold no windows"),
        (lambda: tk.features(tk.window("1h", "mean", of="y"), time="at", target="y"), "looks at the target"),
        (
            lambda: tk.features(tk.window("1h", "mean", of="y"), time="at", target="y", arrives="2h"),
            "always be empty: labels arrive 2h after",
        ),
        (lambda: tk.features(COUNT, time="at", arrives="2h"), "there is no `target`"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(build: Any, message: str) -> None:
    with pytest.raises(PlanError, match=message):
        build()


def test_a_target_that_is_named_later_is_checked_then() -> None:
    plan = tk.features(tk.window("1h", "mean", of="y"), time="at")
    plan.check_target("z")
    with pytest.raises(PlanError, match='target="y", arrives="7d"'):
        plan.check_target("y")


START = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)
MINUTES = [START + dt.timedelta(minutes=m) for m in (0, 30, 90)]
SECONDS = [moment.timestamp() for moment in MINUTES]


@pytest.mark.parametrize(
    "times",
    [
        pa.array(MINUTES, pa.timestamp("s", "UTC")),
        pa.array(MINUTES, pa.timestamp("ms", "Europe/Oslo")),
        pa.array(MINUTES, pa.timestamp("us", "America/New_York")),
        pa.array(MINUTES, pa.timestamp("ns", "UTC")),
        pa.array(SECONDS, pa.float64()),
        pa.array(SECONDS, pa.float64()).cast(pa.int64()),
        pa.array(SECONDS, pa.float64()).cast(pa.int64()).dictionary_encode(),
    ],
)
def test_times_of_any_kind(times: pa.Array) -> None:
    plan = tk.features(COUNT, time="at")
    seen = plan.apply(plan.start(), pa.record_batch({"at": times, "card": ["a"] * 3}))
    assert seen.column("count_1h_by_card").to_pylist() == [0, 1, 0]


def test_dates_and_times_before_1970() -> None:
    plan = tk.features(tk.window("2d", "count"), time="at")
    days = pa.array([dt.date(1969, 12, 30), dt.date(1969, 12, 31), dt.date(1970, 1, 2)])
    assert plan.apply(plan.start(), pa.record_batch({"at": days})).column("count_2d").to_pylist() == [0, 1, 0]


@pytest.mark.parametrize(
    "cards",
    [
        pa.array(["7", None, "7", "8"]),
        pa.array([7, None, 7, 8]),
        pa.array([7.0, None, 7.0, 8.0]),
        pa.array([7.0, np.nan, 7.0, 8.0]),
        pa.array(["7", None, "7", "8"]).dictionary_encode(),
        pa.array([7, None, 7, 8], pa.uint8()),
    ],
)
def test_a_key_is_the_same_in_any_type_of_column(cards: pa.Array) -> None:
    plan = tk.features(COUNT, time="at")
    state = plan.start()
    seen = plan.apply(state, pa.record_batch({"at": [0, 1, 2, 3], "card": cards}))
    assert seen.column("count_1h_by_card").to_pylist() == [0, None, 1, 0]
    texts = pa.record_batch({"at": [4, 5], "card": ["7", "8"]})
    assert plan.peek(state, texts).column("count_1h_by_card").to_pylist() == [2, 1]
    assert plan.counts(state)["without_key"] == 1


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"card": ["a"]}, "'at': the rows have no such column"),
        ({"at": ["noon"], "card": ["a"]}, "times were expected, and the rows hold string"),
        ({"at": [1], "card": [1.5]}, "1.5 is no key"),
        ({"at": [1], "card": ["a"], "count_1h_by_card": [1]}, "the rows have a column of this name"),
    ],
)
def test_columns_that_cannot_be_read_are_named(columns: dict[str, Any], message: str) -> None:
    plan = tk.features(COUNT, time="at")
    with pytest.raises(DataError, match=message):
        plan.apply(plan.start(), pa.record_batch(columns))


def test_tables_and_states_of_other_windows_are_refused() -> None:
    plan, other = tk.features(COUNT, time="at"), tk.features(tk.window("2h", "count"), time="at")
    with pytest.raises(DataError, match="a record batch was expected, not Table"):
        plan.apply(plan.start(), pa.table({"at": [1], "card": ["a"]}))
    with pytest.raises(DataError, match="other windows"):
        plan.apply(other.start(), pa.record_batch({"at": [1], "card": ["a"]}))


def test_a_row_a_year_late_and_a_row_without_a_time_are_counted_and_see_nothing() -> None:
    year = 365 * 86400
    for on_late, after in (("count", 1), ("drop", 1)):
        plan = tk.features(COUNT, time="at", grace="5m", on_late=on_late)
        state = plan.start()
        at = pa.array([year, 0.0, None, float("nan"), 1e300, year + 1], pa.float64())
        seen = plan.apply(state, pa.record_batch({"at": at, "card": ["a"] * 6}))
        assert seen.column("count_1h_by_card").to_pylist() == [0, None, None, None, None, after]
        assert plan.counts(state) == {
            "rows": 6,
            "late": 1,
            "without_time": 3,
            "without_key": 0,
            "labels_without_time": 0,
            "keys_dropped": 0,
            "rows_dropped": 0,
            "labels_waiting": 0,
        }


def test_many_distinct_values_are_estimated_from_a_part_of_them() -> None:
    plan = tk.features(tk.window("1d", "distinct", of="shop"), time="at", itself=True)
    shops = np.arange(50_000).astype(str)
    batch = pa.record_batch({"at": np.arange(50_000), "shop": shops})
    seen = plan.apply(plan.start(), batch).column("shop_distinct_1d").to_numpy()
    np.testing.assert_array_equal(seen[:4096], np.arange(1, 4097))
    assert np.max(np.abs(seen / np.arange(1, 50_001) - 1)) < 0.1


def test_no_rows_give_no_rows() -> None:
    plan = tk.features(COUNT, tk.window("1h", "mean", of="y"), time="at", target="y", arrives="1m")
    state = plan.start()
    empty = pa.record_batch({"at": pa.array([], pa.int64()), "card": pa.array([], pa.string())})
    for seen in (plan.apply(state, empty), plan.peek(state, empty)):
        assert seen.num_rows == 0
        assert seen.schema.names == ["at", "card", "count_1h_by_card", "y_mean_1h"]
