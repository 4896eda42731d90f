"""Windows over a stream: one pass for replay, training and serving."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from talkoot.core.errors import DataError, PlanError
from talkoot.learners.online.state import State, copied, placed
from talkoot.stream.features.columns import NEVER, times_of
from talkoot.stream.features.group import Group, groups_of
from talkoot.stream.features.labels import none_waiting, set_waiting, waiting
from talkoot.stream.features.passing import (
    Clock,
    GroupRows,
    read,
    row_steps,
    with_labels,
    without_values,
)
from talkoot.stream.features.window import Window, microseconds

COUNTS = ("rows", "late", "without_time", "without_key", "labels_without_time")
MEMORY = 256 * 2**20


@final
@dataclass(frozen=True, slots=True)
class WindowFeatures:
    """What `tk.features` makes: a description, with methods over a state of flat arrays."""

    windows: tuple[Window, ...]
    time: str
    grace: str = "0s"
    on_late: str = "count"
    itself: bool = False
    target: str | None = None
    arrives: str | None = None
    memory: int = MEMORY

    def __post_init__(self) -> None:
        if not self.windows:
            raise PlanError("there are no windows", cure='Give some, such as tk.window("1h", "count").')
        for window in self.windows:
            if not isinstance(window, Window):
                raise PlanError(f"{window!r} is no window", cure='Make it with tk.window("1h", ...).')
        twice = sorted({name for name in self.names if self.names.count(name) > 1})
        if twice:
            raise PlanError(f"the column {twice[0]!r} comes out twice", cure="Leave one of them out.")
        if self.on_late not in ("count", "drop"):
            raise PlanError(f"on_late={self.on_late!r} is neither 'count' nor 'drop'")
        microseconds(self.grace)
        if self.target is not None:
            self.check_target(self.target)
        elif self.arrives is not None:
            raise PlanError("`arrives` says when labels arrive, and there is no `target`")
        self.start()

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that come out."""
        return tuple(name for window in self.windows for name in window.names)

    @property
    def groups(self) -> tuple[Group, ...]:
        """The windows by the entries that they share."""
        return groups_of(self.windows)

    @property
    def delay(self) -> int | None:
        """Microseconds from a row to its label; None where a column says when it arrives."""
        try:
            return None if self.arrives is None else microseconds(self.arrives)
        except PlanError:
            return None

    def check_target(self, target: str) -> None:
        """See that windows over the target know when labels arrive.

        Raises:
            PlanError: they do not, or a label always arrives after its window.
        """
        over = [window for window in self.windows if window.of == target]
        if over and (self.target != target or self.arrives is None):
            raise PlanError(
                f"{over[0].names[0]} looks at the target, whose values are not known when rows come",
                cure=f'Say when they arrive: target="{target}", arrives="7d", or the name of a column with '
                "their times.",
            )
        for window in over:
            if self.delay is not None and window.duration_us <= self.delay:
                raise PlanError(
                    f"{window.names[0]} would always be empty: labels arrive {self.arrives} after "
                    f"their rows, and the window reaches back {window.duration}",
                    cure="Take a window that is longer than the delay.",
                )
            if "since" in window.aggregates:
                raise PlanError("`since` is not for the target", cure="Take it in a window without `of`.")

    def start(self) -> State:
        """A state before the first row."""
        groups = self.groups
        state: State = {"clock": np.array([NEVER]), "counts": np.zeros(len(COUNTS), np.int64)}
        for number, group in enumerate(groups):
            part = group.start(self.memory // len(groups))
            if group.of is not None and group.of == self.target:
                part.update(none_waiting())
            state.update(placed(part, f"{number}/"))
        return state

    def apply(self, state: State, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with what each row sees, row after row; each then joins its windows.

        Args:
            state: changed in place.
            batch: rows in the order in which they came. The target may be missing: see `add_labels`.

        Raises:
            DataError: a column is missing, or holds what windows cannot read; the state is as before.
        """
        clock, read_rows = self._read(state, batch, moves=True)
        found: dict[str, pa.Array] = {}
        for number, (group, rows) in enumerate(zip(self.groups, read_rows, strict=True)):
            prefix = f"{number}/"
            if rows.arrival is None:
                drop = self.on_late == "drop"
                steps = row_steps(group, rows, clock, adds=True, drop_late=drop)
                out = group.run(state, prefix, steps, self.itself, self._share)
            else:
                steps, at = with_labels(group, state, prefix, rows, clock, adds=True)
                out = group.run(state, prefix, steps, False, self._share)[at]
            found.update(_columns(group, out))
        self._note(state, clock, read_rows)
        return self._with(batch, found)

    def peek(self, state: State, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch with what each row would see if it came next; the state stays as it is.

        Args:
            state: what is known so far.
            batch: rows, each by itself.

        Raises:
            DataError: a column is missing, or holds what windows cannot read.
        """
        clock, read_rows = self._read(state, batch, moves=False)
        order = np.argsort(clock.times, kind="stable")
        found: dict[str, pa.Array] = {}
        for number, (group, rows) in enumerate(zip(self.groups, read_rows, strict=True)):
            prefix = f"{number}/"
            if rows.arrival is None:
                steps = row_steps(group, rows, clock, adds=False, drop_late=False)
                out = group.run(state, prefix, steps, self.itself, self._share)
            else:
                in_time = clock.take(order)
                steps, at = with_labels(group, state, prefix, rows.take(order), in_time, adds=False)
                store = copied(state) if steps.adds.any() else state
                out = group.run(store, prefix, steps, False, self._share)[at][np.argsort(order)]
            found.update(_columns(group, out))
        return self._with(batch, found)

    def add_labels(self, state: State, batch: pa.RecordBatch) -> None:
        """Add labels that came apart from their rows.

        Args:
            state: changed in place.
            batch: the rows' times, keys and labels, and when these arrived where a column says so; in
                the order in which they came.

        Raises:
            DataError: a column is missing or cannot be read; the state is as before.
        """
        if self.target is None or self.target not in batch.schema.names:
            raise DataError("there are no labels", column=self.target, cure="Name the target in tk.features.")
        self._check(state, batch)
        times = times_of(batch, self.time)
        read_rows = {
            number: self._read_group(group, batch, times)
            for number, group in enumerate(self.groups)
            if group.of == self.target
        }
        for number, rows in read_rows.items():
            if rows.arrival is not None:
                prefix = f"{number}/"
                labels = waiting(state, prefix).and_then(rows.labels(rows.labelled))
                in_order = labels.take(np.argsort(labels.arrival, kind="stable"))
                set_waiting(state, prefix, in_order, state[f"{prefix}waiting/released"][0])

    def counts(self, state: State) -> dict[str, int]:
        """How many rows there were, and what could not be counted as it should.

        ``rows``; ``late``: later than the grace; ``without_time`` and ``without_key``: in no window, or not
        in all; ``keys_dropped`` and ``rows_dropped``: forgotten before their time, since `memory` was full;
        ``labels_without_time``: labels that never join; ``labels_waiting``: those that join later.
        """
        found = dict(zip(COUNTS, map(int, state["counts"]), strict=True))
        heads = [state[f"{number}/heads"] for number in range(len(self.groups))]
        found["keys_dropped"] = sum(int(head[4]) for head in heads)
        found["rows_dropped"] = sum(int(head[5]) for head in heads)
        found["labels_waiting"] = max([0, *(len(state[k]) for k in state if k.endswith("waiting/key"))])
        return found

    @property
    def _share(self) -> int:
        """The bytes of each group."""
        return self.memory // len(self.groups)

    def _read(
        self, state: State, batch: pa.RecordBatch, *, moves: bool
    ) -> tuple[Clock, tuple[GroupRows, ...]]:
        """What is read of a batch, before anything changes."""
        self._check(state, batch)
        clock = Clock.of(batch, self.time, microseconds(self.grace), state["clock"][0], moves=moves)
        return clock, tuple(self._read_group(group, batch, clock.times) for group in self.groups)

    def _read_group(self, group: Group, batch: pa.RecordBatch, times: NDArray[np.int64]) -> GroupRows:
        if group.of is None or group.of != self.target:
            return read(group, batch, times)
        if self.target not in batch.schema.names:
            return without_values(group, batch, times)
        rows = read(group, batch, times)
        if self.delay is None:
            return replace(rows, arrival=times_of(batch, str(self.arrives)))
        return replace(rows, arrival=np.where(times == NEVER, NEVER, times + self.delay))

    def _check(self, state: State, batch: pa.RecordBatch) -> None:
        if not isinstance(batch, pa.RecordBatch):
            raise DataError(
                f"a record batch was expected, not {type(batch).__name__}",
                cure="Take the batches of a table: for batch in table.to_batches().",
            )
        for number, group in enumerate(self.groups):
            spans = state.get(f"{number}/spans")
            if spans is None or tuple(spans) != group.spans or len(self.groups) < len(_numbers_in(state)):
                raise DataError("this state belongs to other windows", cure="Start with `start()`.")
        for name in self.names:
            if name in batch.schema.names:
                raise DataError("the rows have a column of this name", column=name, cure="Rename it.")

    def _note(self, state: State, clock: Clock, rows: tuple[GroupRows, ...]) -> None:
        """Move the clock on and count."""
        if not len(clock.times):
            return
        state["clock"] = clock.latest[-1:].copy()
        keyless = np.any([part.key == 0 for part in rows], axis=0)
        unlabelled = [~np.isnan(p.value) & (p.arrival == NEVER) for p in rows if p.arrival is not None]
        more = (
            len(clock.times),
            clock.late.sum(),
            (~clock.known).sum(),
            keyless.sum(),
            np.any(unlabelled, axis=0).sum() if unlabelled else 0,
        )
        state["counts"] = state["counts"] + np.array(more, np.int64)

    def _with(self, batch: pa.RecordBatch, found: dict[str, pa.Array]) -> pa.RecordBatch:
        for name in self.names:
            batch = batch.append_column(name, found[name])
        return batch


def _numbers_in(state: State) -> set[str]:
    return {name.split("/")[0] for name in state if name.endswith("/spans")}


def _columns(group: Group, out: NDArray[np.float64]) -> dict[str, pa.Array]:
    """The columns of a group; missing where a row has no time or no key, or came too late."""
    found = {}
    for name, k, place, aggregate in group.columns():
        values = out[:, k, place]
        missing = np.isnan(values)
        if aggregate in ("count", "distinct"):
            values = np.where(missing, 0, values).astype(np.int64)
        elif aggregate == "since":
            values = values / 1e6
        found[name] = pa.array(values, mask=missing)
    return found


def features(
    *windows: Window,
    time: str,
    grace: str = "0s",
    on_late: str = "count",
    itself: bool = False,
    target: str | None = None,
    arrives: str | None = None,
    memory: int = MEMORY,
) -> WindowFeatures:
    """Describe what rows shall know about the rows before them: windows of time over the rows of a key.

    `start()` makes a state, `apply(state, batch)` gives the batch with the new columns and lets its rows
    join, `peek(state, batch)` only looks. How a stream is cut into batches changes no bit of it.

    Args:
        windows: made with `tk.window`.
        time: the column with each row's time: timestamps, dates, or seconds since 1970.
        grace: rows that are late by at most this see their own windows; later ones see nothing.
        on_late: whether rows that are later than that still ``"count"`` in the windows of rows after them, or
            are left out (``"drop"``).
        itself: whether a row is a part of what it sees.
        target: the column to be predicted. Windows over it use only labels that had arrived.
        arrives: when labels arrive: a time after their rows, such as ``"7d"``, or a column of times.
        memory: bytes that windows may fill; beyond, keys that were silent longest are forgotten, and counted.

    Raises:
        PlanError: windows that cannot be computed, or look at labels before these arrive.

    >>> import pyarrow as pa
    >>> import talkoot as tk
    >>> spent = tk.features(tk.window("1h", "count", "sum", by="card", of="amount"), time="at")
    >>> state = spent.start()
    >>> batch = pa.record_batch({"at": [0, 60, 4000], "card": ["a", "a", "a"], "amount": [5.0, 7.0, 1.0]})
    >>> spent.apply(state, batch).column("amount_sum_1h_by_card").to_pylist()
    [0.0, 5.0, 0.0]
    >>> later = pa.record_batch({"at": [4100], "card": ["a"], "amount": [None]})
    >>> spent.peek(state, later).column("amount_sum_1h_by_card").to_pylist()
    [1.0]
    """
    return WindowFeatures(windows, time, grace, on_late, itself, target, arrives, memory)
