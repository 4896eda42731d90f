"""How a stream is cut into batches, stored and loaded changes no bit; what is looked at changes nothing."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import talkoot as tk
from talkoot.learners.online.state import State, copied, equal

Row = tuple[int | None, str | None, float | None, float | None]
rows = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 60)),
        st.sampled_from(["a", "b", "c", None]),
        st.one_of(st.none(), st.floats(-1e6, 1e6)),
        st.one_of(st.none(), st.sampled_from([0.0, 1.0])),
    ),
    max_size=50,
)
cuts = st.lists(st.integers(0, 50), max_size=5)
PLAN = tk.features(
    tk.window("20s", "count", "sum", "std", "min", "max", "distinct", by="card", of="amount"),
    tk.window("5s", "count", "mean", "max", "distinct", by="card", of="amount"),
    tk.window("20s", "sum", "min", "max", of="amount", every="5s"),
    tk.window("20s", "since", by="card"),
    tk.window("20s", "mean", "count", "distinct", by="card", of="fraud"),
    time="at",
    grace="10s",
    target="fraud",
    arrives="7s",
)


def batch_of(found: list[Row]) -> pa.RecordBatch:
    columns = [list(column) for column in zip(*found, strict=True)] or [[], [], [], []]
    kinds = (pa.int64(), pa.string(), pa.float64(), pa.float64())
    names = ("at", "card", "amount", "fraud")
    return pa.record_batch(
        [pa.array(column, kind) for column, kind in zip(columns, kinds, strict=True)], list(names)
    )


@given(rows, cuts)
def test_cuts_into_batches_change_no_bit(found: list[Row], at: list[int]) -> None:
    whole, batch = PLAN.start(), batch_of(found)
    expected = PLAN.apply(whole, batch)
    parts, state = [], PLAN.start()
    edges = sorted({0, len(found), *(cut for cut in at if cut < len(found))})
    for start, end in pairwise(edges):
        parts.append(PLAN.apply(state, batch.slice(start, end - start)))
        state = loaded(state)
    assert pa.Table.from_batches(parts, expected.schema).equals(pa.Table.from_batches([expected]))
    assert equal(state, whole)


def loaded(state: State) -> State:
    """The state as it was stored, in arrays over bytes that cannot be written."""
    return {
        name: np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)
        for name, array in state.items()
    }


@given(rows, rows)
def test_a_look_gives_what_the_next_row_would_see_and_changes_nothing(
    found: list[Row], more: list[Row]
) -> None:
    state = PLAN.start()
    PLAN.apply(state, batch_of(found))
    before = copied(state)
    looked = PLAN.peek(state, batch_of(more))
    assert equal(state, before)
    for i in range(len(more)):
        single = PLAN.apply(copied(state), batch_of(more[i : i + 1]))
        assert looked.slice(i, 1).to_pydict() == single.to_pydict()


@given(st.lists(st.tuples(st.integers(100, 110), st.sampled_from("ab"), st.floats(-9, 9))), st.randoms())
def test_rows_within_the_grace_come_in_any_order(found: list[tuple[int, str, float]], chance: object) -> None:
    mixed = list(found)
    chance.shuffle(mixed)  # type: ignore[attr-defined]
    ask: list[Row] = [(t, card, None, None) for t in (110, 112, 129) for card in "ab"]
    seen = []
    for order in (found, mixed):
        state = PLAN.start()
        PLAN.apply(state, batch_of([(t, card, x, None) for t, card, x in order]))
        seen.append(PLAN.peek(state, batch_of(ask)))
    assert seen[0].equals(seen[1])


@given(rows)
def test_labels_that_come_apart_are_seen_as_in_the_replay(found: list[Row]) -> None:
    found = sorted((row for row in found if row[0] is not None), key=lambda row: row[0] or 0)
    plan = tk.features(
        tk.window("20s", "mean", "count", by="card", of="fraud"), time="at", target="fraud", arrives="7s"
    )
    replay = plan.apply(plan.start(), batch_of(found))
    state, parts, came = plan.start(), [], 0
    for i, row in enumerate(found):
        while came < i and (found[came][0] or 0) + 7 <= (row[0] or 0):
            plan.add_labels(state, batch_of(found[came : came + 1]))
            came += 1
        parts.append(plan.apply(state, batch_of([row]).drop_columns(["fraud"])))
    for name in plan.names:
        assert [value for part in parts for value in part.column(name).to_pylist()] == replay.column(
            name
        ).to_pylist()


@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from([0.0, 1.0, None]), st.integers(0, 30))))
def test_a_row_sees_only_labels_that_had_arrived(steps: list[tuple[int, float | None, int]]) -> None:
    plan = tk.features(
        tk.window("20s", "count", "sum", of="fraud"), time="at", target="fraud", arrives="known"
    )
    at = np.cumsum([step for step, _, _ in steps], dtype=np.int64)
    labels = [label for _, label, _ in steps]
    known = at + np.array([wait for _, _, wait in steps], np.int64)
    batch = pa.record_batch({"at": at, "fraud": pa.array(labels, pa.float64()), "known": known})
    seen = plan.apply(plan.start(), batch).to_pydict()
    for i in range(len(at)):
        arrived = [
            label
            for j, label in enumerate(labels[:i])
            if label is not None and known[j] <= at[i] and at[j] > at[i] - 20
        ]
        assert seen["fraud_count_20s"][i] == len(arrived)
        assert seen["fraud_sum_20s"][i] == sum(arrived)


def test_many_keys_come_and_go_in_constant_memory() -> None:
    plan = tk.features(
        tk.window("60s", "count", "sum", "max", "distinct", by="card", of="amount"), time="at", grace="5s"
    )
    state, sizes = plan.start(), []
    chance = np.random.default_rng(0)
    for start in range(0, 100_000, 5_000):
        at = start + np.arange(5_000) + chance.integers(-5, 1, 5_000)
        card = (at // 20).astype(str)
        plan.apply(state, pa.record_batch({"at": at, "card": card, "amount": chance.normal(size=5_000)}))
        sizes.append(sum(array.nbytes for array in state.values()))
    assert sizes[0] == sizes[-1] < 200_000
    assert plan.counts(state)["keys_dropped"] == 0


@pytest.mark.parametrize("by", ["card", ()])
def test_a_full_memory_is_counted_and_stays_within_its_bytes(by: str | tuple[()]) -> None:
    window = tk.window("10d", "sum", "distinct", by=by, of="amount")
    plan = tk.features(window, time="at", memory=200_000)
    state = plan.start()
    at = np.arange(20_000)
    batch = pa.record_batch({"at": at, "card": at // 7, "amount": at * 1.0})
    plan.apply(state, batch)
    counts = plan.counts(state)
    assert counts["keys_dropped"] + counts["rows_dropped"] > 1_000
    assert sum(array.nbytes for array in state.values()) < 200_000 + 1_000
    assert counts["rows"] == 20_000
