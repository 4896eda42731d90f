"""What nodes and the loop tell each other in a round of following a stream."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, final

import numpy as np

from talkoot.core.update import Update
from talkoot.learners.online.state import State, placed, under
from talkoot.stream.follow.rows import Label

MODEL = "model:"  # prefix of the leaves of a model's state, or of its change
SCORES = "scores:"  # prefix of the leaves that scores are made of
LOSSES = "losses:"  # prefix of what both candidates of the last merge lost
REPORT = "report"  # the leaf that holds a node's report


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Question:
    """What nodes must know.

    Args:
        states: the state of the model that nodes share under "", or of each node's own under its name.
        other: of a state that nodes share, the one that another merge would have given, if it differs.
        bold: whether the state is of the bold merge, and `other` of the careful one.
        labels: the labels of classes that are known, in the order of their codes.
        counted: for each node how many of its answers the model holds.
        left: for each node how many rows it may read in this round; none named without a limit.
        seconds: how long they may still read; None without a limit.
        to_end: nodes stop where nothing is left to read just now.
        seed: of models that begin anew.
    """

    states: Mapping[str, State]
    labels: tuple[Label, ...]
    counted: Mapping[str, int]
    other: State = field(default_factory=dict)
    bold: bool = False
    left: Mapping[str, int] = field(default_factory=dict)
    seconds: float | None = None
    to_end: bool = True
    seed: int = 0


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """How far a node is after an answer; all counts are since the beginning.

    Args:
        number: of the answer, from 1.
        rows: rows read of each partition.
        learned: rows among them that were learned from.
        unlabelled: rows among them whose target is not known, and is not waited for.
        rejected: rows among them that could not be read, by reason.
        notes: rows that were read in another way than the first ones, by what was different.
        offsets: where each partition goes on.
        over: nothing will come of its partitions.
        label: a label that is not known yet; the next row has it.
        changes: the last changes that were found, and what was done about them, in words.
        findings: the last changes that were found, as plain data of `Finding`.
        newest: time of the newest row of each partition.
        backwards: rows older than one before them in their partition.
        gone: offsets of which the rows were gone, and where it went on, by partition.
        labels: where labels come later, counts of what became of rows and labels; see `Labels.counts`.
        label_rows: labels read of each partition of their stream.
        label_offsets: where each partition of that stream goes on.
        clocks: of each partition the highest time that two rows in a row have reached, and the last time.
        keys: of each partition the smallest hashes of the keys of windows.
    """

    number: int = 0
    rows: Mapping[str, int] = field(default_factory=dict)
    learned: int = 0
    unlabelled: int = 0
    rejected: Mapping[str, int] = field(default_factory=dict)
    notes: Mapping[str, int] = field(default_factory=dict)
    offsets: Mapping[str, str | None] = field(default_factory=dict)
    over: bool = False
    label: Label | None = None
    changes: Sequence[str] = ()
    findings: Sequence[Mapping[str, Any]] = ()
    newest: Mapping[str, float] = field(default_factory=dict)
    backwards: int = 0
    gone: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, int] = field(default_factory=dict)
    label_rows: Mapping[str, int] = field(default_factory=dict)
    label_offsets: Mapping[str, str | None] = field(default_factory=dict)
    clocks: Mapping[str, Sequence[float]] = field(default_factory=dict)
    keys: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Rows read of all partitions."""
        return sum(self.rows.values())

    @property
    def predicted(self) -> int:
        """Rows that were predicted, which findings count: those that could be read."""
        return self.learned + self.unlabelled + self.labels.get("waiting", 0)

    def data(self) -> dict[str, Any]:
        """It as plain data."""
        return asdict(self)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """What a node answered.

    Args:
        report: how far it is.
        model: what it changed in the model, or its own model's state.
        scores: sums over its rows that scores are made of.
        losses: what both candidates of the last merge lost on its next rows.
    """

    report: Report
    model: State
    scores: State
    losses: State


def answer(answered: Answered, rows: int) -> Update:
    """A node's answer as an update."""
    text = np.frombuffer(json.dumps(answered.report.data()).encode(), np.uint8)
    parts = {MODEL: answered.model, SCORES: answered.scores, LOSSES: answered.losses}
    leaves = {name: leaf for prefix, part in parts.items() for name, leaf in placed(part, prefix).items()}
    return Update(values={**leaves, REPORT: text}, weight=float(rows))


def answered(values: Mapping[str, Any]) -> Answered:
    """What a node answered."""
    report = Report(**json.loads(bytes(values[REPORT])))
    return Answered(report, *(under(values, prefix) for prefix in (MODEL, SCORES, LOSSES)))


def by_node(update: Update) -> dict[str, dict[str, Any]]:
    """The leaves of a gathered update by node, then by name; names may hold slashes, nodes here do not."""
    nodes: dict[str, dict[str, Any]] = {}
    for key, value in update.values.items():
        node, _, name = key.partition("/")
        nodes.setdefault(node, {})[name] = value
    return nodes
