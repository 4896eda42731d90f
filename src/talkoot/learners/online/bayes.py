"""Naive Bayes: normal numbers and counted categories of each class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import PlanError
from talkoot.learners.online.checking import checked
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.merging import moments_apply, moments_change
from talkoot.learners.online.model import Floats, OnlineModel, Task
from talkoot.learners.online.state import State

COUNTS = ("classes", "counts", "totals")
MOMENTS = ("moments", "whole")


@final
@dataclass(frozen=True)
class NaiveBayes(OnlineModel):
    """Naive Bayes for two classes or more, which may grow in number; nodes' counts add up exactly.

    Args:
        smoothing: added to each count of a category.
        bits: each category has 2**bits slots.

    >>> import talkoot as tk
    >>> tk.online.NaiveBayes().task
    'classes'
    """

    merges: ClassVar[bool] = True
    smoothing: float = 1.0
    bits: int = 10

    def __post_init__(self) -> None:
        if not self.smoothing > 0 or not 1 <= self.bits <= 20:
            raise PlanError("smoothing is more than 0, and bits are 1 to 20")

    @property
    def task(self) -> Task:
        """What is predicted."""
        return "classes"

    def start(self, layout: Layout, seed: int) -> State:
        """Counts of 0."""
        if layout.classes < 2:
            raise PlanError("naive Bayes needs classes", cure="Take tk.online.Linear() for numbers.")
        d, c, k = len(layout.numbers), len(layout.categories), layout.classes
        return {
            "classes": np.zeros(k),
            "moments": np.zeros((3, k, d)),
            "whole": np.zeros((3, 1, d)),
            "counts": np.zeros((c, k, 1 << self.bits)),
            "totals": np.zeros((c, k)),
            "kinds": np.zeros(c),
        }

    def learn(self, state: State, rows: Features, y: Floats, w: Floats | None = None) -> NDArray[Any]:
        """Learn rows in their order, in place; what was predicted for each before it was learned."""
        from talkoot.kernels.bayes import naive_bayes

        c, k, _ = state["counts"].shape
        predicted: NDArray[Any] = naive_bayes(
            *checked(rows, y, w, numbers=state["whole"].shape[2], categories=c, classes=k),
            state["classes"],
            state["moments"],
            state["whole"],
            state["counts"],
            state["totals"],
            state["kinds"],
            self.smoothing,
        )
        return predicted

    def predict(self, state: State, rows: Features) -> NDArray[Any]:
        """Predictions from the state as it is."""
        return self.learn(state, rows, np.full(len(rows), np.nan))

    def widen(self, state: State, classes: int) -> None:
        """New classes begin without a row."""
        more = max(classes - len(state["classes"]), 0)
        for name, axis in (("classes", 0), ("moments", 1), ("counts", 1), ("totals", 1)):
            wider = [(0, more if a == axis else 0) for a in range(state[name].ndim)]
            state[name] = np.pad(state[name], wider)

    def change(self, state: State, before: State) -> State:
        """What a node counted since `before`."""
        counted = {name: state[name] - before[name] for name in COUNTS}
        return counted | {name: moments_change(state[name], before[name]) for name in MOMENTS}

    def apply(
        self, state: State, change: State, nodes: int, *, careful: bool = False, among: int | None = None
    ) -> State:
        """A new state with the rows of all nodes, as one node would have counted them."""
        merged = {name: state[name] + change[name] for name in COUNTS}
        merged |= {name: moments_apply(state[name], change[name]) for name in MOMENTS}
        return merged | {"kinds": (merged["counts"].sum(axis=1) > 0).sum(axis=1).astype(np.float64)}
