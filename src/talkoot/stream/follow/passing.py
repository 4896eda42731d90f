"""What a node does with the rows of one round: read, predict, learn, and count what it came across."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, final

import numpy as np
import pyarrow as pa

from talkoot.learners.online.features import Encoder, Features, Layout
from talkoot.learners.online.state import State, replace_under, under
from talkoot.stream.drift.finding import Finding
from talkoot.stream.follow.cursor import size
from talkoot.stream.follow.outputs import CHANGES, output_of, predictions
from talkoot.stream.follow.question import Report
from talkoot.stream.follow.rows import Label, Rows, readable
from talkoot.stream.follow.rules import Rules
from talkoot.stream.follow.score import EVALUATION
from talkoot.stream.sources.source import Chunk

STATE = "model/"  # prefix of the model's part of a node's state
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
@dataclass(slots=True, eq=False, kw_only=True)
class Pass:
    """A model on its way through rows.

    Args:
        rules: how the stream is followed.
        node: the node's name.
        state: what the model has learned, under "model/", and the node's other parts; changed in place.
        labels: the labels that the model knows, by their codes.
        report: what was counted so far.
        seed: of models that begin anew.
        writes: whether what is predicted and found goes to a sink.
    """

    rules: Rules
    node: str
    state: State
    labels: tuple[Label, ...]
    report: Report
    seed: int = 0
    writes: bool = False
    rejected: list[Mapping[str, Any]] = field(default_factory=list)  # rows that could not be read
    outputs: dict[str, list[pa.RecordBatch]] = field(default_factory=dict)  # rows for a sink, by output
    layout: Layout = field(init=False)
    encoder: Encoder = field(init=False)

    def __post_init__(self) -> None:
        self.layout = self.rules.layout(len(self.labels))
        self.encoder = Encoder(self.layout)
        self._begin("evaluation/", lambda: EVALUATION.start(self.layout.classes))
        if self.rules.watch is not None:
            watch = self.rules.watch
            self._begin("drift/", lambda: watch.start(self.layout, self.seed))

    def _begin(self, prefix: str, start: Callable[[], State]) -> None:
        """Begin a part, also where classes have come that it does not know."""
        part = under(self.state, prefix)
        if not part or int(part["classes"][0]) != self.layout.classes:
            replace_under(self.state, prefix, start())

    def scores(self) -> State:
        """The sums that scores are made of."""
        if self.rules.model.task == "clusters":
            return {}
        return EVALUATION.sums(under(self.state, "evaluation/"))

    def take(self, partition: str, chunk: Chunk) -> None:
        """Learn the rows of a chunk.

        Raises:
            Unknown: a row has a label that the model does not know; nothing was learned.
        """
        only = self.labels if self.rules.model.task == "binary" and len(self.labels) == BINARY else None
        rows = readable(chunk.batch, self.rules.columns, only)
        y = self._targets(rows)
        rows, y = self._in_time(partition, rows, y)
        if len(rows.at):
            predicted, changes = self._learn(rows.batch, y)
            if self.writes:
                self._write(partition, chunk, rows, predicted)
            if changes and self.writes:
                self._add(CHANGES, pa.RecordBatch.from_pydict({"change": pa.array(changes, pa.string())}))
        self._count(partition, chunk, rows)

    def _targets(self, rows: Rows) -> np.ndarray:
        """The target as the model learns it: NaN where it is not known."""
        if rows.y is None:
            return np.full(len(rows.at), np.nan)
        if self.rules.columns.labels is None:
            return rows.y
        known = {label: code for code, label in enumerate(self.labels)}
        codes = np.array([*(known.get(label, -1) for label in rows.labels), np.nan])
        y: np.ndarray = codes[rows.y]
        if (y == -1).any():
            first = int(np.argmax(y == -1))
            raise Unknown(rows.labels[rows.y[first]], int(rows.at[first]))
        return y

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
            backwards=self.report.backwards + int((older > 0).sum()),
        )
        late = np.zeros(0, bool) if self.rules.grace is None else older > self.rules.grace
        if not late.any():
            return rows, y
        why = f"it is more than grace={self.rules.grace:g} older than the newest row of its partition"
        return rows.without(late, why), y[~late]

    def _learn(self, batch: pa.RecordBatch, y: np.ndarray) -> tuple[np.ndarray, list[str]]:
        at = self.report.predicted + np.arange(len(y))
        predicted, findings, done = self._predicted(self.encoder.encode(batch), y, at)
        changes = [*map(str, findings), *done]
        known = ~np.isnan(y)
        if known.any():
            part = under(self.state, "evaluation/")
            EVALUATION.update(part, y[known], predicted[known])
            replace_under(self.state, "evaluation/", part)
        self.report = replace(
            self.report,
            learned=self.report.learned + int(known.sum()),
            unlabelled=self.report.unlabelled + int((~known).sum()),
            changes=[*self.report.changes, *changes][-KINDS:],
            findings=[*self.report.findings, *map(asdict, findings)][-KINDS:],
        )
        return predicted, changes

    def _write(self, partition: str, chunk: Chunk, rows: Rows, predicted: np.ndarray) -> None:
        """Add predictions to the output of a partition."""
        count, before = len(rows.at), self.report.rows.get(partition, 0)
        columns = {
            "partition": pa.array([partition] * count, pa.string()),
            "row": pa.array(before + rows.at, pa.int64()),
            **predictions(predicted, self.rules.columns, self.labels, rows, chunk.batch),
        }
        self._add(output_of(partition), pa.RecordBatch.from_pydict(columns))

    def _add(self, output: str, batch: pa.RecordBatch) -> None:
        self.outputs.setdefault(output, []).append(batch)

    def _predicted(
        self, rows: Features, y: np.ndarray, at: np.ndarray
    ) -> tuple[np.ndarray, list[Finding], list[str]]:
        """What was predicted for each row before it was learned, what changed, and what was done about it."""
        model, watch = self.rules.model, self.rules.watch
        if watch is None:
            part = under(self.state, STATE)
            predicted = model.learn(part, rows, y)
            replace_under(self.state, STATE, part)
            return predicted, [], []
        predicted, findings, done = watch.learn(
            model, self.state, rows, y, at, layout=self.layout, seed=self.seed, name=self.node
        )
        return predicted, findings, [f"{self.node}: {text}" for text in done]

    def _count(self, partition: str, chunk: Chunk, rows: Rows) -> None:
        """Count rows that were read, read otherwise, or could not be read."""
        before = self.report.rows.get(partition, 0)
        lost: list[dict[str, Any]] = [
            {"row": before + row, "reason": reason, "values": chunk.batch.slice(row, 1).to_pylist()[0]}
            for row, reason in rows.rejected.items()
        ]
        lost += [
            {"offset": one.offset, "reason": UNDECODED, "cause": one.cause, "values": one.value}
            for one in chunk.rejected
        ]
        self.rejected += [{"partition": partition, **line} for line in lost]
        self.report = replace(
            self.report,
            rows={**self.report.rows, partition: before + size(chunk)},
            rejected=_more(self.report.rejected, [(line["reason"], 1) for line in lost]),
            notes=_more(self.report.notes, rows.notes.items()),
        )


def _more(counts: Mapping[str, int], found: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Counts by reason; of very many reasons, the later ones are counted together."""
    counts = dict(counts)
    for reason, number in found:
        name = reason if reason in counts or len(counts) < KINDS else "other reasons"
        counts[name] = counts.get(name, 0) + number
    return counts
