"""A small logistic regression and streams that change, to be watched."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import numpy as np

import talkoot as tk
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.model import OnlineModel
from talkoot.learners.online.state import State, placed
from talkoot.stream.drift.monitor import Monitor

LAYOUT = Layout(("a", "b", "c"), (), 2)


@final
@dataclass(frozen=True, slots=True)
class Logistic(OnlineModel):
    """AdaGrad, row by row."""

    rate: float = 0.3

    @property
    def task(self) -> Literal["binary"]:
        return "binary"

    def start(self, layout: Layout, seed: int) -> State:
        d = len(layout.numbers) + 1
        return {"weights": np.zeros(d), "squares": np.full(d, 1e-8)}

    def learn(self, state: State, rows: Features, y: np.ndarray, w: np.ndarray | None = None) -> np.ndarray:
        x = np.column_stack([rows.numbers, np.ones(len(rows))])
        out, weights, squares = np.empty(len(x)), state["weights"], state["squares"]
        for i, row in enumerate(x):
            out[i] = 1.0 / (1.0 + np.exp(-(weights @ row)))
            gradient = (out[i] - y[i]) * row * (1.0 if w is None else w[i])
            squares += gradient * gradient
            weights -= self.rate * gradient / np.sqrt(squares)
        return out

    def predict(self, state: State, rows: Features) -> np.ndarray:
        return np.asarray(
            1 / (1 + np.exp(-np.column_stack([rows.numbers, np.ones(len(rows))]) @ state["weights"]))
        )

    def boost(self, state: State, factor: float) -> None:
        state["squares"] /= factor * factor


def stream(*concepts: tuple[int, tuple[float, float, float]], seed: int = 0) -> tuple[Features, np.ndarray]:
    """So many rows of each rule: log-odds of the label are the rule times three standard normal numbers."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(sum(rows for rows, _ in concepts), 3))
    rule = np.concatenate([np.tile(w, (rows, 1)) for rows, w in concepts])
    y = rng.random(len(x)) < 1 / (1 + np.exp(-(x * rule).sum(1)))
    return Features(x, np.zeros((len(x), 0), np.uint64)), y * 1.0


def begin(monitor: Monitor, model: OnlineModel) -> State:
    """The state of a node before its first row."""
    return placed(model.start(LAYOUT, 0), "model/") | placed(monitor.start(LAYOUT, 0), "drift/")


def watched(
    reaction: object, rows: Features, y: np.ndarray
) -> tuple[np.ndarray, list[object], list[str], State]:
    """Learn all rows under a watch: predictions, findings, what was done, and the state."""
    monitor = tk.drift(reaction)  # type: ignore[arg-type]
    node = begin(monitor, Logistic())
    p, found, done = monitor.learn(Logistic(), node, rows, y, np.arange(len(y)), layout=LAYOUT, name="oslo")
    return p, list(found), done, node


def log_losses(p: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(-np.log(np.clip(np.where(y == 1, p, 1 - p), 1e-12, 1)))
