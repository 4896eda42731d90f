"""A model at a node: it predicts, learns, is watched and is evaluated, whenever labels become known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any, final

import numpy as np

from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.state import State, replace_under, under
from talkoot.stream.drift.finding import Finding
from talkoot.stream.follow.guard import HoldOut
from talkoot.stream.follow.question import Report
from talkoot.stream.follow.rows import Label
from talkoot.stream.follow.rules import Rules
from talkoot.stream.follow.scores.score import EVALUATION
from talkoot.stream.labels.labelled import Labelled

STATE = "model/"  # prefix of the model's part of a node's state
KINDS = 100  # changes that are counted one by one


@final
@dataclass(slots=True, eq=False, kw_only=True)
class Learning:
    """A model on its way through rows.

    Args:
        rules: how the stream is followed.
        node: the node's name.
        state: what the model has learned, under "model/", and the node's other parts; changed in place.
        labels: the labels that the model knows, by their codes.
        report: what was counted so far.
        seed: of models that begin anew.
        bold: whether the model is of the bold merge.
        others: the model's state, and that of the other merge, where they differ.
    """

    rules: Rules
    node: str
    state: State
    labels: tuple[Label, ...]
    report: Report
    seed: int = 0
    bold: bool = False
    others: tuple[State, ...] = ()
    changes: list[str] = field(default_factory=list)  # what was found and done, in words
    layout: Layout = field(init=False)
    held_out: HoldOut = field(init=False)

    def __post_init__(self) -> None:
        self.layout = self.rules.layout(len(self.labels))
        self.held_out = HoldOut(self.rules.model, self.layout.classes, self.bold, self.others)
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

    def last(self) -> float:
        """The last label that is known."""
        return EVALUATION.last(under(self.state, "evaluation/"))

    def learn(self, rows: Features, y: np.ndarray) -> np.ndarray:
        """Predict rows and learn them: the labels of most are known at once."""
        at = self.report.predicted + np.arange(len(y))
        predicted = self._learn(rows, y, at)
        known = ~np.isnan(y)
        if known.any():
            part = under(self.state, "evaluation/")
            EVALUATION.update(part, y[known], predicted[known])
            replace_under(self.state, "evaluation/", part)
        self.report = replace(
            self.report,
            learned=self.report.learned + int(known.sum()),
            unlabelled=self.report.unlabelled + int((~known).sum()),
        )
        return predicted

    def predict(self, rows: Features, at: np.ndarray) -> np.ndarray:
        """Predict rows whose labels come later."""
        predicted = self.rules.model.predict(under(self.state, STATE), rows)
        watch = self.rules.watch
        if watch is not None:
            part = under(self.state, "drift/")
            self._note(watch.observe(part, rows, predicted, None, at, layout=self.layout, node=self.node), [])
            replace_under(self.state, "drift/", part)
        return predicted

    def learn_late(self, rows: Features, known: Labelled) -> None:
        """Learn rows that were predicted before, and evaluate what was predicted; or correct their labels."""
        first = np.isnan(known.was)
        edges = [0, *(np.flatnonzero(np.diff(first)) + 1), len(first)]
        for low, high in pairwise(edges):
            learn = self._learn_first if first[low] else self._learn_again
            learn(rows[low:high], known, slice(low, high))

    def _learn_first(self, rows: Features, known: Labelled, some: slice) -> None:
        y, predicted, at = known.y[some], known.predictions[some], known.positions[some]
        self._learn(rows, y, at, predicted)
        part = under(self.state, "evaluation/")
        EVALUATION.update(part, y, predicted, known.last[some], at)
        replace_under(self.state, "evaluation/", part)
        self.report = replace(self.report, learned=self.report.learned + len(y))

    def _learn_again(self, rows: Features, known: Labelled, some: slice) -> None:
        part = under(self.state, STATE)
        self.rules.model.learn(part, rows, known.y[some])
        replace_under(self.state, STATE, part)
        part = under(self.state, "evaluation/")
        EVALUATION.correct(part, known.y[some], known.was[some], known.positions[some])
        replace_under(self.state, "evaluation/", part)

    def _learn(
        self, rows: Features, y: np.ndarray, at: np.ndarray, predictions: np.ndarray | None = None
    ) -> np.ndarray:
        """Learn rows, and note what changed; what the model predicted for each before it learned it."""
        model, watch = self.rules.model, self.rules.watch
        self.held_out.score(rows, y)
        if watch is None:
            part = under(self.state, STATE)
            predicted: np.ndarray = model.learn(part, rows, y)
            replace_under(self.state, STATE, part)
            return predicted
        more: dict[str, Any] = {"layout": self.layout, "seed": self.seed, "name": self.node}
        predicted, found, done = watch.learn(model, self.state, rows, y, at, predictions=predictions, **more)
        self._note(found, [f"{self.node}: {text}" for text in done])
        return predicted

    def _note(self, findings: list[Finding], done: list[str]) -> None:
        changes = [*map(str, findings), *done]
        self.changes += changes
        self.report = replace(
            self.report,
            changes=[*self.report.changes, *changes][-KINDS:],
            findings=[*self.report.findings, *map(asdict, findings)][-KINDS:],
        )
