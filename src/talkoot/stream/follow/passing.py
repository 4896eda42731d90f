"""What a node does with the rows of one round: read, predict, learn, and count what it came across."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
import pyarrow as pa

from talkoot.learners.online.features import Encoder
from talkoot.stream.follow.cursor import size
from talkoot.stream.follow.late.waiting import AGAIN, Waiting, named
from talkoot.stream.follow.learning import Learning
from talkoot.stream.follow.outputs.outputs import CHANGES, output_of, predictions
from talkoot.stream.follow.question import Report
from talkoot.stream.follow.rows import Label, Rows, readable
from talkoot.stream.follow.rules import Rules
from talkoot.stream.follow.windows import Windows
from talkoot.stream.sources.source import Chunk

BINARY = 2
UNDECODED = "the message cannot be decoded"
KINDS = 100  # reasons that are counted one by one


@final
@dataclass(slots=True, eq=False)
class Unknown(Exception):
    """A label that the model does not know.

    Args:
        label: the label.
        row: of the first row that has it, in its batch.
    """

    label: Label
    row: int


@final
@dataclass(slots=True, eq=False)
class Pass:
    """Rows on their way to a model.

    Args:
        learning: the model, and what was counted.
        writes: whether what is predicted and found goes to a sink.
    """

    learning: Learning
    writes: bool = False
    rejected: list[Mapping[str, Any]] = field(default_factory=list)  # rows that could not be read
    outputs: dict[str, list[pa.RecordBatch]] = field(default_factory=dict)  # rows for a sink, by output
    encoder: Encoder = field(init=False)
    windows: Windows | None = field(init=False)  # columns that are computed of the rows before
    waiting: Waiting | None = field(init=False)  # rows whose labels come later

    def __post_init__(self) -> None:
        self.encoder = Encoder(self.learning.layout)
        late = self.rules.late
        features = self.rules.features
        self.windows = None if features is None else Windows(features, self.learning.state)
        self.waiting = None if late is None else Waiting(self.learning, late.labels, self.windows)

    @property
    def rules(self) -> Rules:
        """How the stream is followed."""
        return self.learning.rules

    @property
    def report(self) -> Report:
        """What was counted so far."""
        return self.learning.report

    @report.setter
    def report(self, report: Report) -> None:
        self.learning.report = report

    def take(self, partition: str, chunk: Chunk) -> None:
        """Learn the rows of a chunk.

        Raises:
            Unknown: a row has a label that the model does not know; nothing was learned.
        """
        rows = readable(chunk.batch, self.rules.columns, self.only)
        y = self.targets(rows)
        rows, y = self._in_time(partition, rows, y)
        if self.windows is not None and len(rows.at):
            before = rows.at
            rows = self.windows.add(partition, rows, self._batch(chunk))
            y = y[np.isin(before, rows.at)]
        ids = None
        if self.waiting is not None:
            rows, ids = named(rows, chunk.batch, str(self.rules.columns.id))
        if len(rows.at):
            features = self.encoder.encode(rows.batch)
            if self.waiting is None:
                predicted = self.learning.learn(features, y)
            else:
                keys = self.waiting.keys_of(partition, rows, chunk.batch)
                predicted = self.waiting.arrive(ids, rows.times, features, keys)
            if self.writes:
                self._write(partition, chunk, rows, predicted)
        self._count(partition, chunk, rows)
        self.changed()

    def _batch(self, chunk: Chunk) -> pa.RecordBatch:
        """The columns of a chunk, without a target whose values come later."""
        late = self.rules.late
        names = [name for name in chunk.batch.schema.names if late is None or name != late.columns.target]
        return chunk.batch.select(names)

    @property
    def only(self) -> tuple[Label, ...] | None:
        """The labels that can be read, where there can be no other."""
        labels = self.learning.labels
        return labels if self.rules.model.task == "binary" and len(labels) == BINARY else None

    def targets(self, rows: Rows) -> np.ndarray:
        """The target as the model learns it: NaN where it is not known.

        Raises:
            Unknown: a row has a label that the model does not know.
        """
        if rows.y is None:
            return np.full(len(rows.at), np.nan)
        if self.rules.columns.labels is None:
            return rows.y
        known = {label: code for code, label in enumerate(self.learning.labels)}
        codes = np.array([*(known.get(label, -1) for label in rows.labels), np.nan])
        y: np.ndarray = codes[rows.y]
        if (y == -1).any():
            first = int(np.argmax(y == -1))
            raise Unknown(rows.labels[rows.y[first]], int(rows.at[first]))
        return y

    def changed(self) -> None:
        """Write what was found since the last time."""
        changes, self.learning.changes = self.learning.changes, []
        if changes and self.writes:
            self._add(CHANGES, pa.RecordBatch.from_pydict({"change": pa.array(changes, pa.string())}))

    def set_aside(self, partition: str, lines: Iterable[Mapping[str, Any]]) -> None:
        """Count rows or labels that could not be read, and add them to those that are written."""
        lost = [{"partition": partition, **line} for line in lines]
        self.rejected += lost
        reasons = [(line["reason"], 1) for line in lost]
        self.report = replace(self.report, rejected=more(self.report.rejected, reasons))

    def _in_time(self, partition: str, rows: Rows, y: np.ndarray) -> tuple[Rows, np.ndarray]:
        """The rows that are not too old, with their targets; time is the newest that a partition has seen."""
        if rows.times is None or not len(rows.times):
            return rows, y
        newest = self.report.newest.get(partition, -np.inf)
        seen = np.maximum.accumulate(np.concatenate([[newest], rows.times]))
        older = seen[:-1] - rows.times
        self.report = replace(
            self.report,
            newest={**self.report.newest, partition: float(seen[-1])},
            clocks={**self.report.clocks, partition: _clock(self.report.clocks.get(partition), rows.times)},
            backwards=self.report.backwards + int((older > 0).sum()),
        )
        late = np.zeros(0, bool) if self.rules.grace is None else older > self.rules.grace
        if not late.any():
            return rows, y
        why = f"it is more than grace={self.rules.grace:g} older than the newest row of its partition"
        return rows.without(late, why), y[~late]

    def _write(self, partition: str, chunk: Chunk, rows: Rows, predicted: np.ndarray) -> None:
        """Add predictions to the output of a partition."""
        count, before = len(rows.at), self.report.rows.get(partition, 0)
        columns = {
            "partition": pa.array([partition] * count, pa.string()),
            "row": pa.array(before + rows.at, pa.int64()),
            **predictions(predicted, self.rules.columns, self.learning.labels, rows, chunk.batch),
        }
        self._add(output_of(partition), pa.RecordBatch.from_pydict(columns))

    def _add(self, output: str, batch: pa.RecordBatch) -> None:
        self.outputs.setdefault(output, []).append(batch)

    def _count(self, partition: str, chunk: Chunk, rows: Rows) -> None:
        """Count rows that were read, read otherwise, or could not be read."""
        before = self.report.rows.get(partition, 0)
        again = [] if self.waiting is None else self.waiting.again()
        name = str(self.rules.columns.id)
        repeated = [{"reason": AGAIN, "values": {name: value}} for value in again]
        self.set_aside(partition, [*lost(chunk, rows, before), *repeated])
        self.report = replace(
            self.report,
            rows={**self.report.rows, partition: before + size(chunk)},
            notes=more(self.report.notes, rows.notes.items()),
        )


def lost(chunk: Chunk, rows: Rows, before: int) -> list[dict[str, Any]]:
    """The rows of a chunk that could not be read, with the reason; `before` is how many came before it."""
    unreadable: list[dict[str, Any]] = [
        {"row": before + row, "reason": reason, "values": chunk.batch.slice(row, 1).to_pylist()[0]}
        for row, reason in rows.rejected.items()
    ]
    return unreadable + [
        {"offset": one.offset, "reason": UNDECODED, "cause": one.cause, "values": one.value}
        for one in chunk.rejected
    ]


def more(counts: Mapping[str, int], found: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Counts by reason; of very many reasons, the later ones are counted together."""
    counts = dict(counts)
    for reason, number in found:
        name = reason if reason in counts or len(counts) < KINDS else "other reasons"
        counts[name] = counts.get(name, 0) + number
    return counts


def _clock(before: Any, times: np.ndarray) -> list[float]:
    """The highest time that two rows in a row have reached, and the time of the last row."""
    clock, last = before or (-np.inf, times[0])
    moves = np.minimum(times, np.concatenate([[last], times[:-1]]))
    return [float(max(clock, moves.max())), float(times[-1])]
