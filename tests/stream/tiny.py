"""A logistic regression of a few lines, and streams for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import pyarrow as pa

from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.model import Floats, OnlineModel, Task
from talkoot.learners.online.state import State


@final
@dataclass(frozen=True, slots=True)
class Tiny(OnlineModel):
    rate: float = 0.1
    merges: ClassVar[bool] = True

    @property
    def task(self) -> Task:
        return "binary"

    def start(self, layout: Layout, seed: int) -> State:
        return {"w": np.zeros(len(layout.numbers) + 1), "seen": np.zeros(1)}

    def learn(self, state: State, rows: Features, y: Floats, w: Floats | None = None) -> Floats:
        predicted = np.empty(len(rows))
        for at, (x, label) in enumerate(zip(_inputs(rows), y, strict=True)):
            predicted[at] = 1 / (1 + np.exp(-_dot(state["w"], x)))
            if label == label:
                state["w"] += self.rate * (label - predicted[at]) * x
                state["seen"] += 1
        return predicted

    def predict(self, state: State, rows: Features) -> Floats:
        return np.array([1 / (1 + np.exp(-_dot(state["w"], x))) for x in _inputs(rows)])

    def change(self, state: State, before: State) -> State:
        return {name: state[name] - before[name] for name in state}

    def apply(
        self, state: State, change: State, nodes: int, *, careful: bool = False, among: int | None = None
    ) -> State:
        return {"w": state["w"] + change["w"] / nodes**0.5, "seen": state["seen"] + change["seen"]}


@final
@dataclass(frozen=True, slots=True)
class Apart(OnlineModel):
    """Counts classes; nodes have one each, as its changes do not add up."""

    @property
    def task(self) -> Task:
        return "classes"

    def start(self, layout: Layout, seed: int) -> State:
        return {"counts": np.zeros(layout.classes), "seed": np.array([seed], np.uint64)}

    def learn(self, state: State, rows: Features, y: Floats, w: Floats | None = None) -> Floats:
        predicted = np.empty((len(rows), len(state["counts"])))
        for at, label in enumerate(y):
            predicted[at] = _shares(state["counts"])
            if label == label:
                state["counts"][int(label)] += 1
        return predicted

    def predict(self, state: State, rows: Features) -> Floats:
        return np.tile(_shares(state["counts"]), (len(rows), 1))

    def widen(self, state: State, classes: int) -> None:
        state["counts"] = np.append(state["counts"], np.zeros(classes - len(state["counts"])))


def _shares(counts: Floats) -> Floats:
    return np.asarray((counts + 1) / (counts + 1).sum())


def _inputs(rows: Features) -> Floats:
    return np.column_stack([np.nan_to_num(rows.numbers), np.ones(len(rows))])


def _dot(weights: Floats, x: Floats) -> float:
    total = 0.0
    for weight, value in zip(weights.tolist(), x.tolist(), strict=True):
        total += weight * value
    return total


def table(rows: int, seed: int = 0, **columns: Any) -> pa.Table:
    """Rows of two numbers, whose sum tells the label."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, 2))
    y = (x.sum(axis=1) + rng.normal(size=rows) > 0).astype(np.int64)
    return pa.table({"a": x[:, 0], "b": x[:, 1], "y": y, **columns})
