"""Reading two streams in one order: rows in blocks, and after each the labels that had arrived by then."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import final

import numpy as np
import pyarrow as pa

from talkoot.stream.follow.cursor import WAIT, Cursor, Quota, size
from talkoot.stream.follow.late.waiting import named, texts_of
from talkoot.stream.follow.passing import Pass, Unknown, lost, more
from talkoot.stream.follow.rows import Label, Rows, readable
from talkoot.stream.sources.source import Chunk

BLOCK = 200  # rows between two times at which labels are learned
ORDER = "labels are not in the order in which they arrived: each waits for those before it"
UNKNOWN = "label: no row that is waiting or was learned has this id"


@final
@dataclass(slots=True, eq=False)
class LateRead:
    """The rows of a round, and the labels that had arrived by then.

    A label has arrived when the rows of its partition have come to its time; when there are no more rows,
    all labels that are there have.

    Args:
        passing: takes rows.
        rows: the stream of rows.
        labels: the stream of labels.
        reading: called before rows are worked on, and with 0 while none come.
    """

    passing: Pass
    rows: Cursor
    labels: Cursor
    reading: Callable[[int], None]
    to_end: bool = True  # labels end where none is left to read just now
    _next: dict[str, float] = field(default_factory=dict)  # the time of the next label, by partition
    _wait: Callable[[], None] | None = None  # called while labels that are there do not come

    def read(self, quota: Quota) -> Label | None:
        """Learn what comes; returns a label that stopped it, which the next one has."""
        assert self.passing.waiting is not None
        left = math.inf if quota.rows is None else quota.rows
        ends = math.inf if quota.seconds is None else time.monotonic() + quota.seconds
        self.rows.over, self.labels.over, self.to_end = set(), set(), quota.to_end
        self._wait = self._look if quota.seconds is None else None
        label = self._labels(self._limits())  # those that a new one stopped in the round before
        if label is not None:
            return label
        while True:
            wanted = int(min(BLOCK, left))
            seconds = None if quota.seconds is None else max(0.0, ends - time.monotonic())
            came = self._rows(replace(quota, rows=wanted, seconds=seconds))
            label = self._labels(self._limits())
            if label is None:
                self.passing.waiting.learn()
            self.passing.changed()
            left -= came
            if label is not None or left <= 0 or (came < wanted and not self.rows.done):
                return label
            if self.rows.done:
                return self._rest(quota, ends)

    def _look(self) -> None:
        self.reading(0)

    def _rows(self, quota: Quota) -> int:
        came = 0
        for partition, chunk in self.rows.read(quota, self._look):
            self.reading(chunk.batch.num_rows)
            self.passing.take(partition, chunk)
            came += size(chunk)
        return came

    def _limits(self) -> Mapping[str, float]:
        """Up to which time labels have arrived, by their partition."""
        clocks = {name: clock for name, (clock, _) in self.passing.report.clocks.items()}
        going = [clocks[name] for name in self.rows.offsets if name in clocks and name not in self.rows.over]
        other = min(going, default=-math.inf)
        same = self.rows.offsets.keys() == self.labels.offsets.keys()
        return {name: clocks.get(name, -math.inf) if same else other for name in self.labels.offsets}

    def _rest(self, quota: Quota, ends: float) -> Label | None:
        """Learn all labels that are there; where more may come, wait for one."""
        limits, before = dict.fromkeys(self.labels.offsets, math.inf), self.passing.report.label_rows
        while True:
            label = self._labels(limits, WAIT)
            came = before != self.passing.report.label_rows
            if label is not None or came or self.labels.done or time.monotonic() >= ends:
                return label
            self.reading(0)

    def _labels(self, limits: Mapping[str, float], patience: float = 0.0) -> Label | None:
        """Learn labels up to a time of each partition; returns a label that stopped it."""
        for partition, limit in limits.items():
            while self._next.get(partition, -math.inf) <= limit:
                chunk = self.labels.next(partition, BLOCK, patience, to_end=self.to_end, wait=self._wait)
                if chunk is None:
                    break
                rows, _ = self._readable(chunk)
                first, when, label = self._stop(rows, limit)
                if first is None:
                    self._join(partition, chunk)
                    continue
                for part in self.labels.again(partition, chunk, first, self._look):
                    self._join(partition, part)
                if label is not None:
                    return label
                self._next[partition] = when
        return None

    def _readable(self, chunk: Chunk) -> tuple[Rows, pa.Array]:
        late = self.passing.rules.late
        assert late is not None
        name = str(late.columns.id)
        batch, at = chunk.batch, chunk.batch.schema.get_field_index(name)
        batch = batch if at < 0 else batch.set_column(at, name, texts_of(batch, name)[0])
        return named(readable(batch, late.columns, self.passing.only), chunk.batch, name)

    def _stop(self, rows: Rows, limit: float) -> tuple[int | None, float, Label | None]:
        """The first label that has not arrived, with its time, or that the model does not know."""
        assert rows.times is not None
        later = np.flatnonzero(rows.times > limit)
        stop = (int(rows.at[later[0]]), float(rows.times[later[0]])) if len(later) else (None, -math.inf)
        try:
            self.passing.targets(rows)
        except Unknown as unknown:
            if stop[0] is None or unknown.row < stop[0]:
                return unknown.row, limit, unknown.label
        return *stop, None

    def _join(self, partition: str, chunk: Chunk) -> None:
        """Learn the rows that labels belong to, and set aside labels that cannot be read or have no row."""
        passing = self.passing
        assert passing.waiting is not None
        rows, ids = self._readable(chunk)
        y = passing.targets(rows)
        assert rows.times is not None
        labels = np.where(np.isfinite(y), y, np.nan)
        unknown = passing.waiting.join(ids, labels, rows.times) if len(ids) else ()
        before = passing.report.label_rows.get(partition, 0)
        aside = [{**line, "reason": f"label: {line['reason']}"} for line in lost(chunk, rows, before)]
        aside += [{"reason": UNKNOWN, "values": {str(passing.rules.columns.id): name}} for name in unknown]
        passing.set_aside(partition, aside)
        self._note_order(partition, rows.times)
        counted = {**passing.report.label_rows, partition: before + size(chunk)}
        passing.report = replace(passing.report, label_rows=counted)
        passing.changed()

    def _note_order(self, partition: str, times: np.ndarray) -> None:
        """Note labels that are older than one before them, for which they had to wait."""
        report, name = self.passing.report, f"labels of {partition}"
        before = report.clocks.get(name, [-math.inf])[0]
        newest = np.maximum.accumulate(np.concatenate([[before], times]))
        older = int((times < newest[:-1]).sum())
        clocks = {**report.clocks, name: [float(newest[-1])] * 2} if len(times) else report.clocks
        notes = more(report.notes, [(ORDER, older)]) if older else report.notes
        self.passing.report = replace(report, clocks=clocks, notes=notes)
