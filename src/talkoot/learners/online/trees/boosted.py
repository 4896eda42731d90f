"""Streaming gradient boosted trees (SGBT)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import PlanError
from talkoot.learners.online.checking import Rows, checked
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.model import Floats, OnlineModel, Task
from talkoot.learners.online.state import State
from talkoot.learners.online.trees.bins import BINS, ROWS, renewed
from talkoot.learners.online.trees.codes import blank_codes, coded, looked_up, room
from talkoot.learners.online.trees.hoeffding import classes_of

FIRST_LEAVES = 4
PER_TREE = ("heads", "links", "values", "sums", "cells", "mask")
NODE_BYTES, CELL_BYTES = 44, 16


@final
@dataclass(frozen=True, slots=True)
class BoostedTrees(OnlineModel):
    """Gradient boosted regression trees that follow a changing stream (SGBT).

    Each row goes through all steps: a tree learns the gradient of the log-loss over its Hessian at the score
    of the trees before it, and adds to that score. Trees split by the reduction of variance and the Hoeffding
    bound, with tests of a number against a bin's edge or of one category against the rest. A tree whose
    errors rise (Page-Hinkley) begins again. Several classes have a committee each, one against the rest.

    Args:
        steps: how many trees, of each class where there are more than two.
        rate: what of a tree's prediction is added.
        columns: the share of columns that a tree sees.
        grace: weight of rows in a leaf between two tries to split it.
        delta: probability of another split than endless rows would choose.
        tau: bound below which two tests count as equally good, and the first is taken.
        megabytes: what each tree may hold; then it splits no more until it begins again.

    Source: Gunasekara, Pfahringer, Gomes and Bifet, Gradient boosted trees for evolving data streams, 2024.

    >>> import numpy as np
    >>> x = np.random.default_rng(0).uniform(size=(2000, 3))
    >>> rows = Features(x, np.empty((2000, 0), np.uint64))
    >>> trees = BoostedTrees(steps=20, rate=0.1)
    >>> state = trees.start(Layout(("a", "b", "c"), classes=2), seed=0)
    >>> before = trees.learn(state, rows, (x[:, 0] > 0.5).astype(float))
    >>> trees.predict(state, rows[:1]).argmax()
    np.int64(1)
    """

    steps: int = 100
    rate: float = 0.0125
    columns: float = 0.75
    grace: float = 25
    delta: float = 0.05
    tau: float = 0.05
    megabytes: float = 0.5

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise PlanError(f"steps={self.steps} is below 1")
        if not 0 < self.rate <= 1:
            raise PlanError(f"rate={self.rate} is not above 0 and up to 1")
        if not 0 < self.columns <= 1:
            raise PlanError(
                f"columns={self.columns} is not a share of the columns", cure="Take one above 0, up to 1."
            )
        if not (self.grace > 0 and 0 < self.delta < 1 and self.tau >= 0):
            raise PlanError(
                f"grace={self.grace}, delta={self.delta}, tau={self.tau} cannot be",
                cure="grace is above 0, delta between 0 and 1, tau 0 or more.",
            )
        if not self.megabytes > 0:
            raise PlanError(f"megabytes={self.megabytes} is not above 0")

    @property
    def task(self) -> Task:
        """A probability for each class."""
        return "classes"

    def start(self, layout: Layout, seed: int) -> State:
        """Trees of one empty leaf each."""
        classes_of(layout, "BoostedTrees")
        numbers, categories = len(layout.numbers), len(layout.categories)
        state = blank_codes(categories)
        state["seed"] = np.array([seed], np.int64)
        state["classes"] = np.array([min(2, layout.classes)], np.int64)
        state["edges"] = np.full((numbers, BINS - 1), np.inf)
        state["ring"] = np.full((ROWS, numbers), np.nan)
        state["seen"] = np.zeros(1, np.int64)
        state.update(self._committee(1, seed, numbers, categories, room(state)))
        self.widen(state, layout.classes)
        return state

    def _committee(self, k: int, seed: int, numbers: int, categories: int, codes: int) -> State:
        """Arrays of the trees of class `k`, each with columns of its own."""
        trees, width = self.steps, numbers + categories
        ranks = np.random.default_rng([seed, k]).random((trees, width)).argsort(axis=1)
        links = np.full((trees, 2 * FIRST_LEAVES, 3), -1, np.int32)
        links[:, 0, 2] = 0
        return {
            "heads": np.tile(np.array([1, 1, 0, 0], np.int64), (trees, 1)),
            "links": links,
            "values": np.zeros((trees, 2 * FIRST_LEAVES, 4)),
            "sums": np.zeros((trees, 6)),
            "cells": np.zeros((trees, FIRST_LEAVES, numbers * BINS + categories * codes, 2)),
            "mask": ranks < max(min(2, width), round(self.columns * width)),
        }

    def learn(self, state: State, rows: Features, y: Floats, w: Floats | None = None) -> NDArray[Any]:
        """Learn rows in their order; the probabilities before each was learned."""
        from talkoot.kernels.trees.boosted import learn_rows

        x, _, y, w = self._checked(state, rows, y, w)
        chances = np.empty((len(rows), int(state["classes"][0])))
        for start, end, codes in coded(state, rows):
            part = slice(start, end)
            done = 0
            self._fit_codes(state)
            while done < end - start:
                done = learn_rows(
                    ensemble(state), self._steps(state), x[part], codes, y[part], w[part], done, chances[part]
                )
                self._renew(state)
        return chances

    def _checked(self, state: State, rows: Features, y: Floats, w: Floats | None) -> Rows:
        numbers, categories = state["ring"].shape[1], len(state["known"])
        classes = int(state["classes"][0])
        return checked(rows, y, w, numbers=numbers, categories=categories, classes=classes)

    def _steps(self, state: State) -> Any:
        from talkoot.kernels.trees.boosted import Steps

        leaf_bytes = 2 * NODE_BYTES + CELL_BYTES * state["cells"].shape[2]
        leaves = max(1, int(self.megabytes * 2**20 / leaf_bytes))
        return Steps(
            float(self.rate), float(self.grace), float(self.delta), float(self.tau), leaves, room(state)
        )

    def _fit_codes(self, state: State) -> None:
        """Give leaves cells for all codes of categories."""
        old, numbers, categories = state["cells"], state["ring"].shape[1], len(state["known"])
        cells = numbers * BINS + categories * room(state)
        if old.shape[2] < cells:
            new = np.zeros((*old.shape[:2], cells, 2))
            new[:, :, : numbers * BINS] = old[:, :, : numbers * BINS]
            tables = old[:, :, numbers * BINS :].reshape(*old.shape[:2], categories, -1, 2)
            places = new[:, :, numbers * BINS :].reshape(*old.shape[:2], categories, -1, 2)
            places[:, :, :, : tables.shape[3]] = tables
            state["cells"] = new

    def _renew(self, state: State) -> None:
        """New bins where they are due, and more room where a tree's leaves have filled theirs."""
        for j in renewed(state["edges"], state["ring"], int(state["seen"][0])):
            state["cells"][:, :, j * BINS : (j + 1) * BINS] = 0.0
        leaves, most = state["cells"].shape[1], self._steps(state).leaves
        if state["heads"][:, 1].max() == leaves < most:
            resize(state, min(2 * leaves, most))

    def predict(self, state: State, rows: Features) -> NDArray[Any]:
        """The probabilities from the trees as they are."""
        from talkoot.kernels.trees.boosted import vote_rows

        x, _, _, _ = self._checked(state, rows, np.full(len(rows), np.nan), None)
        chances = np.empty((len(rows), int(state["classes"][0])))
        vote_rows(ensemble(state), float(self.rate), x, looked_up(state, rows), chances)
        return chances

    def widen(self, state: State, classes: int) -> None:
        """Make room for so many classes: from the third on each class has a committee."""
        old = int(state["classes"][0])
        if classes > max(old, 2):
            parts = [{name: state[name] for name in PER_TREE}]
            if old <= 2:
                parts.insert(0, negated(parts[0]))
            numbers, codes = state["ring"].shape[1], room(state)
            leaves = state["cells"].shape[1]
            for k in range(max(old, 2), classes):
                fresh = self._committee(k, int(state["seed"][0]), numbers, len(state["known"]), codes)
                resize(fresh, leaves)
                parts.append(fresh)
            state.update({name: np.concatenate([part[name] for part in parts]) for name in PER_TREE})
        state["classes"][0] = max(old, classes)

    def splits(self, state: State) -> int:
        """How many leaves were split."""
        return int(state["heads"][:, 2].sum())

    def drifts(self, state: State) -> int:
        """How many trees began again."""
        return int(state["heads"][:, 3].sum())


def ensemble(state: State) -> Any:
    """The arrays as a kernel reads them."""
    from talkoot.kernels.trees.boosted import Boosted

    return Boosted(*(state[name] for name in Boosted._fields))


def resize(state: State, leaves: int) -> None:
    """Give each tree room for so many leaves, no fewer than it has."""
    for name, size in (("links", 2 * leaves), ("values", 2 * leaves), ("cells", leaves)):
        old = state[name]
        new = np.zeros((len(old), size, *old.shape[2:]), old.dtype)
        new[:, : old.shape[1]] = old
        state[name] = new


def negated(trees: State) -> State:
    """The trees for one class as those for the other of two: targets change their sign."""
    other = {name: array.copy() for name, array in trees.items()}
    other["values"][:, :, 2] *= -1.0
    other["sums"][:, 1] *= -1.0
    other["cells"][:, :, :, 1] *= -1.0
    return other
