"""What the loop has of a stream that is followed: the model, and how far each node is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, final

from talkoot.learners.online.model import OnlineModel
from talkoot.learners.online.state import State, copied
from talkoot.stream.follow.guard import Merge
from talkoot.stream.follow.question import Answered, Question, Report
from talkoot.stream.follow.rows import Label


@final
@dataclass(frozen=True, slots=True)
class Until:
    """When following stops, besides the end of a source.

    Args:
        end: where nothing is left to read just now.
        rows: when so many rows were read since the beginning.
        time: at a time of the monotonic clock.
    """

    end: bool = False
    rows: int | None = None
    time: float | None = None


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Following:
    """A model that follows a stream.

    Args:
        states: the state that nodes share under "", or of each node's own model under its name.
        reports: of each node, as of its last answer that was counted.
        merge: how the changes of nodes were merged last.
        scores: of each node, the sums that scores are made of.
        course: of each node its rows and its score then, for a report.
        labels: the labels of classes, by their codes.
        version: how many rounds have changed the model.
        until: when to stop.
    """

    states: Mapping[str, State]
    reports: Mapping[str, Report]
    merge: Merge = field(default_factory=Merge)
    scores: Mapping[str, State] = field(default_factory=dict)
    course: Mapping[str, Sequence[tuple[int, float]]] = field(default_factory=dict)
    labels: tuple[Label, ...] = ()
    version: int = 0
    until: Until = field(default_factory=Until)

    @property
    def rows(self) -> int:
        """Rows that were read and counted."""
        return sum(report.total for report in self.reports.values())

    @property
    def done(self) -> bool:
        """Whether following has stopped."""
        until = self.until
        return (
            all(report.over for report in self.reports.values())
            or (until.rows is not None and self.rows >= until.rows)
            or (until.time is not None and time.monotonic() >= until.time)
        )

    def question(self, seed: int) -> Question:
        """What nodes must know."""
        until = self.until
        return Question(
            states=self.states,
            other=self.merge.other,
            bold=self.merge.bold,
            labels=self.labels,
            counted={node: report.number for node, report in self.reports.items()},
            left={} if until.rows is None else self._left(until.rows - self.rows),
            seconds=None if until.time is None else max(0.0, until.time - time.monotonic()),
            to_end=until.end,
            seed=seed,
        )

    def _left(self, rows: int) -> dict[str, int]:
        """Rows dealt to the nodes that may still have some."""
        nodes = [node for node, report in self.reports.items() if not report.over]
        return {node: rows // len(nodes) + (at < rows % len(nodes)) for at, node in enumerate(nodes)}

    def begun(self, until: Until) -> Following:
        """The same at the beginning of a call: what was over may have more rows now."""
        reports = {node: replace(report, over=False) for node, report in self.reports.items()}
        return replace(self, reports=reports, until=until)

    def data(self) -> dict[str, Any]:
        """It as plain data and arrays, for a store."""
        return {
            "states": {node: dict(state) for node, state in self.states.items()},
            "merge": {"bold": self.merge.bold, "other": dict(self.merge.other)},
            "reports": {node: report.data() for node, report in self.reports.items()},
            "scores": {node: dict(sums) for node, sums in self.scores.items()},
            "course": {node: [*map(list, points)] for node, points in self.course.items()},
            "labels": list(self.labels),
            "version": self.version,
        }

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Following:
        """What `data` made."""
        return cls(
            states=data["states"],
            reports={node: Report(**report) for node, report in data["reports"].items()},
            merge=Merge(**data["merge"]),
            scores=data["scores"],
            course={node: [*map(tuple, points)] for node, points in data["course"].items()},
            labels=tuple(data["labels"]),
            version=data["version"],
        )


def advanced(now: Following, answers: Mapping[str, Answered], model: OnlineModel, *, adds: bool) -> Following:
    """The model after the answers of some nodes, in the order of the nodes, without answers that are older.

    Args:
        now: before.
        answers: of each node.
        model: what is learned.
        adds: whether nodes answer changes of a state that they share.
    """
    answers = {
        node: answers[node]
        for node, report in now.reports.items()
        if node in answers and answers[node].report.number >= report.number
    }
    reports = {**now.reports, **{node: one.report for node, one in answers.items()}}
    states, merge = dict(now.states), now.merge
    active = {
        node: one.model for node, one in answers.items() if _moved(now.reports[node]) != _moved(one.report)
    }
    scores = {**now.scores, **{node: one.scores for node, one in answers.items()}}
    if adds and active:
        losses = [one.losses for one in answers.values()]
        absent = sum(not one.over for node, one in reports.items() if node not in answers)
        count = (len(active), len(active) + absent)
        states[""], merge = merge.next(model, states[""], _sum(active), count, losses)
    elif not adds:
        states |= active
    labels = list(now.labels)
    for label in (one.report.label for one in answers.values()):
        if label is not None and label not in labels:
            labels.append(label)
    if len(labels) > max(2, len(now.labels)):
        states, merge = {node: copied(state) for node, state in states.items()}, Merge(merge.bold)
        for state in states.values():
            model.widen(state, len(labels))
    return replace(
        now,
        states=states,
        reports=reports,
        merge=merge,
        scores=scores,
        labels=tuple(labels),
        version=now.version + (1 if active else 0),
    )


def _moved(report: Report) -> tuple[int, ...]:
    """What differs where a node may have learned."""
    return report.total, report.learned, report.labels.get("corrected", 0)


def _sum(changes: Mapping[str, State]) -> State:
    """The sum of changes in the order of the nodes."""
    first, *others = changes.values()
    total = copied(first)
    for change in others:
        for name, value in change.items():
            total[name] = total[name] + value
    return total
