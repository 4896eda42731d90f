"""Labels find their rows however both are cut; what is late, unknown or repeated is counted and named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import talkoot as tk
from examples import examples
from talkoot.core.errors import DataError
from talkoot.learners.online.state import State, equal
from talkoot.stream.labels.labelled import Labelled

DAY = 86_400.0


def batch(ids: list[Any], times: list[Any] | None = None) -> pa.RecordBatch:
    columns = {"id": ids, "amount": [float(i) for i in range(len(ids))]}
    return pa.record_batch(columns | ({} if times is None else {"t": times}))


def arrive(labels: tk.Labels, state: State, rows: pa.RecordBatch, start: int = 0) -> Labelled:
    positions = np.arange(start, start + rows.num_rows)
    return labels.arrive(state, rows, positions / 100, positions)


FLAGS = st.sampled_from([0.0, 1.0, float("nan")])


def plain(found: Labelled) -> list[tuple[Any, ...]]:
    """What was labelled, in a form that can be compared."""
    columns = (found.positions, found.y, np.nan_to_num(found.was, nan=-1), found.predictions)
    return list(zip(*(column.tolist() for column in columns), strict=True))


STEPS = st.lists(
    st.one_of(
        st.lists(st.tuples(st.integers(0, 12), st.integers(0, 40)), min_size=1, max_size=8),
        st.lists(
            st.tuples(st.integers(0, 14), st.sampled_from([0.0, 1.0, float("nan")])), min_size=1, max_size=8
        ).map(lambda some: {"labels": some}),
    ),
    max_size=8,
)


@given(
    steps=STEPS,
    mature=st.sampled_from([None, 3, 10]),
    negative=st.sampled_from([0.0, None]),
    time=st.sampled_from(["t", None]),
)
@examples(300)
def test_cuts_do_not_matter(
    steps: list[Any], mature: float | None, negative: float | None, time: str | None
) -> None:
    labels = tk.Labels(id="id", time=time, mature=mature, negative=negative, pending=5)
    whole, parts = labels.start(), labels.start()
    one: list[Any] = []
    other: list[Any] = []
    seen = 0
    for step in steps:
        if isinstance(step, dict):
            ids, y = [name for name, _ in step["labels"]], np.array([value for _, value in step["labels"]])
            found = labels.join(whole, ids, y)
            one += [*plain(found), found.unknown]
            singles = [labels.join(parts, [name], y[i : i + 1]) for i, name in enumerate(ids)]
            other += [x for found in singles for x in plain(found)]
            other.append(tuple(name for found in singles for name in found.unknown))
            continue
        rows = batch([name for name, _ in step], [float(when) for _, when in step])
        one += plain(arrive(labels, whole, rows, seen))
        for i in range(len(step)):
            other += plain(arrive(labels, parts, rows.slice(i, 1), seen + i))
        seen += len(step)
    assert one == other
    assert labels.counts(whole) == labels.counts(parts)
    assert equal(whole, parts)


def test_a_row_that_is_censored_is_still_known_when_it_is_repeated() -> None:
    labels = tk.Labels(id="id", time="t", mature=3, negative=None)
    whole, parts = labels.start(), labels.start()
    rows = batch([0, 1, 2, 0], [0.0, 3.0, 3.0, 3.0])  # the first matures at the third
    arrive(labels, whole, rows)
    for i in range(4):
        arrive(labels, parts, rows.slice(i, 1), i)
    assert equal(whole, parts)
    assert labels.counts(whole)["repeated"] == labels.counts(whole)["censored"] == 1
    assert labels.join(whole, [0], np.ones(1)).unknown == ("0",)


def test_an_infinite_label_is_refused_by_name() -> None:
    labels = tk.Labels(id="id")
    state = labels.start()
    arrive(labels, state, batch([7]))
    with pytest.raises(DataError, match="the label of '7' is infinite"):
        labels.join(state, [7], np.array([np.inf]))


def test_a_label_finds_its_row_whatever_type_the_id_has() -> None:
    labels = tk.Labels(id="id")
    state = labels.start()
    arrive(labels, state, batch([7, 8]))
    found = labels.join(state, ["8"], np.array([1.0]))
    assert found.rows.to_pydict() == {"id": [8], "amount": [1.0]}
    assert plain(found) == [(1, 1.0, -1.0, 0.01)]
    assert labels.counts(state)["waiting"] == 1


def test_a_label_for_an_unknown_id_is_counted_and_named() -> None:
    labels = tk.Labels(id="id")
    state = labels.start()
    assert labels.join(state, ["x"], np.ones(1)).unknown == ("x",)
    arrive(labels, state, batch(["a"]))
    found = labels.join(state, ["y", "a", "z"], np.ones(3))
    assert found.unknown == ("y", "z")
    assert labels.counts(state)["unknown"] == 3


def test_no_label_in_thirty_days_is_negative_and_may_be_corrected_later() -> None:
    labels = tk.Labels(id="id", time="t", mature=30 * DAY, pending=100)
    state = labels.start()
    start = datetime(2026, 1, 1, tzinfo=UTC)
    assert not len(arrive(labels, state, batch(["a", "b"], [start, start])))
    later = [start + timedelta(days=31)] * 2
    assert plain(arrive(labels, state, batch(["c", "d"], later), 2)) == [
        (0, 0.0, -1.0, 0.0),
        (1, 0.0, -1.0, 0.01),
    ]
    assert plain(labels.join(state, ["a"], np.ones(1))) == [(0, 1.0, 0.0, 0.0)]
    assert labels.counts(state)["corrected"] == 1
    assert not len(labels.join(state, ["a"], np.ones(1)))  # the same again


def test_a_clock_that_goes_backwards_and_a_row_a_year_late() -> None:
    labels = tk.Labels(id="id", time="t", mature=30 * DAY, pending=100)
    state = labels.start()
    now = 400 * DAY
    arrive(labels, state, batch(["a", "b"], [now, now + 60]))
    assert not len(arrive(labels, state, batch(["old", "c"], [now - 365 * DAY, now + 50]), 2))
    counts = labels.counts(state)
    assert (counts["backwards"], counts["late"], counts["waiting"]) == (1, 1, 4)
    assert plain(labels.join(state, ["old"], np.ones(1))) == [(2, 1.0, -1.0, 0.02)]


def test_one_row_from_the_future_matures_nothing() -> None:
    labels = tk.Labels(id="id", time="t", mature=30 * DAY, pending=100)
    state = labels.start()
    rows = batch(["a", "b", "c", "d"], [0.0, 10.0, 9999 * DAY, 20.0])
    assert not len(arrive(labels, state, rows))
    assert labels.counts(state)["matured"] == 0


def test_what_waits_is_bounded_and_what_leaves_is_counted() -> None:
    labels = tk.Labels(id="id", pending=10)
    state = labels.start()
    for start in range(0, 1000, 7):
        arrive(labels, state, batch(list(range(start, start + 7))), start)
    assert labels.counts(state)["waiting"] == 10
    assert labels.counts(state)["overflowed"] == 1001 - 10
    assert len(state["pending"]) < 10_000


def test_rows_that_come_twice_count_once_and_censored_rows_are_left_out() -> None:
    labels = tk.Labels(id="id", mature=50, negative=None)
    state = labels.start()
    arrive(labels, state, batch(["a", "b", "a"]))
    arrive(labels, state, batch(["b"]), 3)
    assert labels.counts(state)["repeated"] == 2
    assert not len(labels.join(state, ["a"], np.array([np.nan])))
    arrive(labels, state, batch([str(i) for i in range(60)]), 4)
    counts = labels.counts(state)
    assert (counts["censored"], counts["matured"]) == (2 + 10, 0)


def test_a_new_class_widens_what_was_predicted() -> None:
    labels = tk.Labels(id="id")
    state = labels.start()
    labels.arrive(state, batch(["a"]), np.array([[0.4, 0.6]]), np.arange(1))
    labels.arrive(state, batch(["b"]), np.array([[0.4, 0.5, 0.1]]), np.arange(1))
    assert labels.join(state, ["a", "b"], np.ones(2)).predictions.tolist() == [
        [0.4, 0.6, 0.0],
        [0.4, 0.5, 0.1],
    ]


def test_a_column_that_changes_its_type_is_refused_by_name() -> None:
    labels = tk.Labels(id="id")
    state = labels.start()
    arrive(labels, state, batch(["a"]))
    with pytest.raises(tk.DataError, match="amount"):
        arrive(labels, state, pa.record_batch({"id": ["b"], "amount": ["much"]}))


def test_what_cannot_be_read_is_refused_by_name() -> None:
    labels = tk.Labels(id="id", time="t")
    for rows, words in (
        (batch([None, "a"], [1.0, 2.0]), "ids are missing"),
        (batch([1.5, 2.5], [1.0, 2.0]), "ids of type double"),
        (batch(["a", "b"], ["noon", "one"]), "time cannot be read from string"),
    ):
        state = labels.start()
        with pytest.raises(tk.DataError, match=words):
            arrive(labels, state, rows)
        assert equal(state, labels.start())
    with pytest.raises(tk.PlanError, match="above 0"):
        tk.Labels(id="id", mature=0)
