"""Watching a model: losses, features and predictions, and what follows from a change."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.model import OnlineModel
from talkoot.learners.online.state import State, placed, replace_under, under
from talkoot.stream.drift import losses
from talkoot.stream.drift.detector import Alarms, Detector
from talkoot.stream.drift.detectors import ADWIN, HDDM_A
from talkoot.stream.drift.estimate import Estimate
from talkoot.stream.drift.features import FeatureDrift
from talkoot.stream.drift.finding import Finding
from talkoot.stream.drift.reactions import Alert, Reaction, Step

TOTAL = HDDM_A(confidence=1e-4)  # of sums over nodes: it reads blocks of rows


@final
@dataclass(frozen=True, slots=True)
class Monitor:
    """Settings of a watch over a model; `tk.drift` makes one.

    Args:
        detector: reads the losses; only rises are reported.
        features: what counts as drift of features; None: they are not watched.
        estimate: what counts as a fall of the estimated accuracy; None: it is not estimated.
        reaction: what to do when the loss has risen.
    """

    detector: Detector = ADWIN(delta=0.0005)  # noqa: RUF009 (frozen)
    features: FeatureDrift | None = FeatureDrift()  # noqa: RUF009 (frozen)
    estimate: Estimate | None = Estimate()  # noqa: RUF009 (frozen)
    reaction: Reaction = Alert()  # noqa: RUF009 (frozen)

    def start(self, layout: Layout, seed: int) -> State:
        """No rows; the state of the part "drift/"."""
        state: State = {
            "classes": np.array([layout.classes]),
            "n": np.array([0, 0, -1]),
        }  # not finite, learned, since when the loss has risen
        state |= placed(losses.start() | placed(self.detector.start(), "detector/"), "loss/")
        state["sums"] = np.zeros(2)  # rows with labels, and their losses, since `totals`
        if self.features is not None:
            state |= placed(self.features.start(layout, seed), "features/")
        if self.estimate is not None and layout.classes:
            state |= placed(self.estimate.start(layout.classes), "estimate/")
        return state

    def observe(
        self,
        state: State,
        rows: Features | None,
        predictions: NDArray[Any],
        y: NDArray[Any] | None,
        positions: NDArray[Any],
        *,
        layout: Layout,
        node: str = "",
    ) -> list[Finding]:
        """Look at rows that have come, at labels that have become known, or at both.

        Args:
            state: of the part "drift/"; changed in place.
            rows: rows that were just predicted; None for labels of rows that were observed before.
            predictions: of these rows, made before they were learned.
            y: their labels, nan where unknown; None before labels are known.
            positions: where the rows stand in the stream.
            layout: the columns.
            node: the name that findings bear.
        """
        found, finite = self._finite(state, predictions, positions, node)
        if rows is not None:
            if self.features is not None:
                part = under(state, "features/")
                found += self.features.observe(part, rows, positions, layout, node)
                replace_under(state, "features/", part)
            part = under(state, "estimate/")
            if part and self.estimate is not None:
                known = None if y is None else np.asarray(y, np.float64)[finite]
                found += self.estimate.arrive(part, predictions[finite], positions[finite], node, known)
                replace_under(state, "estimate/", part)
        if y is not None:
            some = finite & np.isfinite(np.asarray(y, np.float64))
            labels = np.asarray(y, np.float64)[some]
            found += self._losses(state, predictions[some], labels, positions[some], node)
            part = under(state, "estimate/")
            if part and self.estimate is not None and rows is None:
                self.estimate.learn(part, predictions[some], labels)
                replace_under(state, "estimate/", part)
        return found

    def learn(
        self, model: OnlineModel, node: State, rows: Features, y: NDArray[Any], positions: NDArray[Any],
        *, layout: Layout, seed: int = 0, name: str = "", predictions: NDArray[Any] | None = None,
    ) -> tuple[NDArray[Any], list[Finding], list[str]]:  # fmt: skip
        """Learn rows with their labels, observe, and react at multiples of the reaction's `step`.

        Args:
            model: learns the part "model/" of the node.
            node: the whole state of a node, with the part "drift/" too; changed in place.
            rows: features.
            y: labels.
            positions: where the rows stand in the stream.
            layout: the columns.
            seed: of models that begin anew.
            name: of the node.
            predictions: made when the rows came, which were observed then; None: labels come at once.

        Returns:
            Predictions that were made before each row was learned, findings, and what was done about them.
        """
        predicted, found, done, low, every = [], [], [], 0, self.reaction.step
        while low < len(y):
            high = min(len(y), low + every - int(node["drift/n"][1]) % every)
            some = slice(low, high)
            part = under(node, "model/")
            now = model.learn(part, rows[some], y[some], self.reaction.weights(node, high - low))
            replace_under(node, "model/", part)
            own, made = under(node, "drift/"), now if predictions is None else predictions[some]
            come = rows[some] if predictions is None else None
            new = self.observe(own, come, made, y[some], positions[some], layout=layout, node=name)
            replace_under(node, "drift/", own)
            node["drift/n"][1] += high - low
            ends = bool(node["drift/n"][1] % every == 0)
            step = Step(model, layout, seed, rows[some], y[some], now, ends)
            done += self.react(node, new, step, int(positions[high - 1]))
            predicted.append(now)
            found += new
            low = high
        return np.concatenate(predicted) if predicted else np.zeros(0), found, done

    def react(self, node: State, findings: list[Finding], step: Step, at: int) -> list[str]:
        """Do what follows from findings, where the step ends; `at` is the position of its last row."""
        n = node["drift/n"]
        rises = [finding.since for finding in findings if finding.kind == "loss"]
        if rises and n[2] < 0:
            n[2] = max(0, int(n[1]) - 1 - (at - rises[0]))
        since = int(n[2]) if step.ends and n[2] >= 0 else None
        if since is not None:
            n[2] = -1
        return self.reaction.react(node, since, step)

    def totals(self, state: State) -> State:
        """What a node adds to the watch over all nodes, since the last time: arrays that add up."""
        sums = {"loss": state["sums"].copy()}
        state["sums"][:] = 0.0
        part = under(state, "estimate/")
        if part and self.estimate is not None:
            sums |= placed(self.estimate.sums(part), "estimate/")
        return sums

    def judge(self, state: State, totals: State, at: int) -> list[Finding]:
        """Look at sums over all nodes; `state` begins empty, and `at` is how many rows there were in all."""
        rows, loss = totals["loss"].tolist()
        for name, array in TOTAL.start().items():
            state.setdefault(name, array)
        if not rows:
            return []
        found = np.empty((1, 5))
        n = TOTAL.blocks(state, np.array([loss / rows]), np.array([rows]), found)
        return _findings(Alarms.of(found[:n]), np.full(1, at), "")

    def accuracy(self, totals: State) -> float:
        """The accuracy that recent rows are likely to have, without labels; nan where it is not known."""
        part = under(totals, "estimate/")
        return self.estimate.accuracy(part) if part and self.estimate is not None else float("nan")

    def _finite(
        self, state: State, predictions: NDArray[Any], positions: NDArray[Any], node: str
    ) -> tuple[list[Finding], NDArray[np.bool_]]:
        """Which predictions are finite; the first that is not is a finding."""
        finite = np.isfinite(predictions)
        finite = finite.all(1) if finite.ndim > 1 else finite
        wrong = np.flatnonzero(~finite)
        known = bool(state["n"][0])
        state["n"][0] += len(wrong)
        if known or not len(wrong):
            return [], finite
        at = int(positions[wrong[0]])
        return [Finding("prediction", "prediction", node, at, at, np.nan, np.nan, 0.0)], finite

    def _losses(
        self, state: State, predictions: NDArray[Any], y: NDArray[Any], positions: NDArray[Any], node: str
    ) -> list[Finding]:
        """Let the detector read the losses."""
        classes = int(state["classes"][0])
        values = losses.errors(under(state, "loss/"), predictions, y, classes)
        state["sums"] += len(values), values.sum()
        part = under(state, "loss/detector/")
        alarms = self.detector.alarms(part, values)
        replace_under(state, "loss/detector/", part)
        return _findings(alarms, positions, node)


def _findings(alarms: Alarms, positions: NDArray[Any], node: str) -> list[Finding]:
    """The rises among alarms."""
    found = []
    for k, i in enumerate(alarms.at.tolist()):
        before, after = float(alarms.mean_before[k]), float(alarms.mean_after[k])
        if after > before:
            at = int(positions[i])
            since = max(0, at - int(alarms.after[k]) + 1)
            found.append(Finding("loss", "loss", node, since, at, before, after, alarms.p_value(k)))
    return found
