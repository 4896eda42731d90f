"""Rows of a batch as steps of the kernel, group by group."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from talkoot.learners.online.state import State
from talkoot.stream.features.columns import NEVER, found, hashes_of, keys_of, mixed, times_of, values_of
from talkoot.stream.features.group import Group
from talkoot.stream.features.labels import Labels, due, set_waiting, waiting

if TYPE_CHECKING:
    from talkoot.kernels.window_arrays import Steps

Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Clock:
    """When rows happened, and how late each came."""

    times: Ints  # (rows,) microseconds; NEVER: missing
    latest: Ints  # (rows,) the latest time so far
    grace: int  # microseconds

    @property
    def known(self) -> Flags:
        """Rows that have a time."""
        return self.times != NEVER

    @property
    def late(self) -> Flags:
        """Rows that came later than the grace."""
        return self.known & (self.times < self.latest - self.grace)

    @classmethod
    def of(cls, batch: pa.RecordBatch, time: str, grace: int, latest: np.int64, *, moves: bool) -> Clock:
        """The clock of a batch that begins at `latest`, and does not go on where it does not move."""
        times = times_of(batch, time)
        so_far = np.maximum.accumulate(times) if moves else np.full(len(times), latest)
        return cls(times, np.maximum(so_far, latest), grace)

    def take(self, rows: NDArray[np.intp]) -> Clock:
        """The same of rows in another order."""
        return replace(self, times=self.times[rows], latest=self.latest[rows])


@final
@dataclass(frozen=True, slots=True, eq=False)
class GroupRows:
    """What a group reads of rows; as many of each."""

    key: NDArray[np.uint64]  # 0: missing
    pane: Ints
    value: NDArray[np.float64]  # nan: missing
    item: NDArray[np.uint64]
    arrival: Ints | None = None  # of labels; NEVER: not known

    @property
    def labelled(self) -> NDArray[np.intp]:
        """Rows whose label arrives, and joins a key."""
        assert self.arrival is not None
        there = (self.key != 0) & (self.pane != NEVER) & ~np.isnan(self.value) & (self.arrival != NEVER)
        return np.flatnonzero(there)

    def take(self, rows: NDArray[np.intp]) -> GroupRows:
        """The same rows in another order."""
        arrays = (None if array is None else array[rows] for array in (self.value, self.item, self.arrival))
        return GroupRows(self.key[rows], self.pane[rows], *arrays)  # type: ignore[arg-type]

    def labels(self, rows: NDArray[np.intp]) -> Labels:
        """The labels of some rows."""
        assert self.arrival is not None
        return Labels(self.arrival[rows], self.key[rows], self.pane[rows], self.value[rows], self.item[rows])


def read(group: Group, batch: pa.RecordBatch, times: Ints) -> GroupRows:
    """What a group reads of a batch.

    Raises:
        DataError: a column is missing or cannot be read.
    """
    key = keys_of(batch, group.by)
    item, value = np.zeros(len(key), np.uint64), np.ones(len(key))
    if group.of is not None and group.distinct:
        hashes = hashes_of(batch, group.of, is_key=False)
        item, value = mixed(key, hashes), np.where(hashes == 0, np.nan, 0.0)
    elif group.of is not None and group.reads_numbers:
        value = values_of(batch, group.of, group.limit)
    elif group.of is not None:
        missing = found(batch, group.of).is_null(nan_is_null=True).to_numpy(zero_copy_only=False)
        value = np.where(missing, np.nan, 1.0)
    return GroupRows(key, np.where(times == NEVER, NEVER, times // group.pane), value, item)


def without_values(group: Group, batch: pa.RecordBatch, times: Ints) -> GroupRows:
    """The same of rows whose labels are not there."""
    rows = read(replace(group, of=None, distinct=False), batch, times)
    return replace(rows, value=np.full(len(rows.key), np.nan), arrival=np.full(len(rows.key), NEVER))


def row_steps(group: Group, rows: GroupRows, clock: Clock, *, adds: bool, drop_late: bool) -> Steps:
    """Each row sees its windows, and joins them where it `adds`."""
    from talkoot.kernels.window_arrays import Steps

    valid = clock.known & (rows.key != 0)
    horizon = (clock.latest - clock.grace) // group.pane
    joins = valid & ~np.isnan(rows.value) & (rows.pane > horizon - max(group.spans)) & adds
    if drop_late:
        joins &= ~clock.late
    key = np.where(valid, rows.key, np.uint64(0))
    return Steps(key, rows.pane, horizon, rows.value, rows.item, valid & ~clock.late, joins)


def label_steps(group: Group, labels: Labels, horizon: Ints) -> Steps:
    """Each label joins the windows that its row is in."""
    from talkoot.kernels.window_arrays import Steps

    joins = labels.pane > horizon - max(group.spans)
    asks = np.zeros(len(joins), bool)
    return Steps(labels.key, labels.pane, horizon, labels.value, labels.item, asks, joins)


def with_labels(
    group: Group, state: State, prefix: str, rows: GroupRows, clock: Clock, *, adds: bool
) -> tuple[Steps, NDArray[np.intp]]:
    """Rows and the labels that arrive among them as steps, and which steps are rows.

    A row of the past sees nothing where labels have joined that arrived after it.
    """
    steps = row_steps(group, rows, clock, adds=False, drop_late=False)
    seen = rows.labelled if adds else np.empty(0, np.intp)
    released = state[f"{prefix}waiting/released"][0]
    now = np.maximum(clock.latest, clock.times)
    found = due(waiting(state, prefix), rows.labels(seen), seen, now, released)
    steps = steps._replace(asks=steps.asks & (clock.times >= found.released))
    both = zip(label_steps(group, found.labels, steps.horizon[found.before]), steps, strict=True)
    order = np.argsort(np.append(2 * found.before, 2 * np.arange(len(rows.key)) + 1), kind="stable")
    merged = steps._make(np.concatenate(arrays)[order] for arrays in both)
    if adds and len(rows.key):
        set_waiting(state, prefix, found.later, found.released[-1])
    return merged, np.flatnonzero(order >= len(found.before))
