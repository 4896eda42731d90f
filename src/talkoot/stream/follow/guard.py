"""The hold-out guard of merges: nodes score both candidates on rows that neither has learned."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import final

import numpy as np
from numpy.typing import NDArray

from talkoot.learners.online.features import Features
from talkoot.learners.online.merging import guarded
from talkoot.learners.online.model import OnlineModel
from talkoot.learners.online.state import State, equal
from talkoot.stream.evaluation.sums import TINY, as_matrix

ROWS = 1000  # of a node and round that candidates are scored on


@final
@dataclass(frozen=True, slots=True, eq=False)
class Merge:
    """The merge that was taken last, and the one that was not.

    Args:
        bold: whether changes are added over the root of the number of nodes; else their mean is taken.
        other: the state that the other way would have given; without arrays where that is the same.
    """

    bold: bool = False
    other: State = field(default_factory=dict)

    def next(
        self, model: OnlineModel, state: State, change: State, nodes: tuple[int, int], losses: Iterable[State]
    ) -> tuple[State, Merge]:
        """The state with the changes of some nodes, by the way that lost less on rows that came since.

        Args:
            model: what is learned.
            state: the state that nodes share.
            change: the sum of their changes.
            nodes: how many nodes they are of, and of how many where those count that bring theirs later.
            losses: what nodes lost by each way.
        """
        scored = [loss for loss in losses if loss["rows"][0]]
        bold = self.bold
        if scored:
            sums = [[float(loss["sums"][way]) for loss in scored] for way in (0, 1)]
            bold = guarded(sums[0], sums[1])
        count, among = nodes
        both = [
            model.apply(state, change, count, among=among),
            model.apply(state, change, count, careful=True, among=among),
        ]
        taken, other = both if bold else both[::-1]
        return taken, Merge(bold, {} if equal(taken, other) else other)


@final
@dataclass(slots=True, eq=False)
class HoldOut:
    """The losses of both candidates on a node's next rows.

    Args:
        model: what is learned.
        classes: how many classes it tells apart; 0 for numbers.
        bold: whether the state that was taken is the bold one.
        states: the state that was taken, and the one that was not; none where they are the same.
    """

    model: OnlineModel
    classes: int
    bold: bool
    states: tuple[State, ...] = ()
    sums: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    rows: int = 0

    def score(self, rows: Features, y: NDArray[np.float64]) -> None:
        """Score rows before they are learned, as long as more are wanted."""
        if not self.states or self.rows >= ROWS:
            return
        known = np.flatnonzero(np.isfinite(y))[: ROWS - self.rows]
        self.rows += len(known)
        for way, state in enumerate(self.states if self.bold else self.states[::-1]):
            self.sums[way] += float(
                _losses(self.model.predict(state, rows[known]), y[known], self.classes).sum()
            )

    def answer(self) -> State:
        """What was lost by each way, the bold one first, and on how many rows."""
        return {"sums": self.sums, "rows": np.array([self.rows])}


def _losses(predicted: NDArray[np.float64], y: NDArray[np.float64], classes: int) -> NDArray[np.float64]:
    """The log-loss of each row; for numbers the squared error."""
    if not classes:
        squares: NDArray[np.float64] = (predicted - y) ** 2
        return squares
    chances = as_matrix(predicted, classes)[np.arange(len(y)), y.astype(np.int64)]
    return -np.log(np.maximum(chances, TINY))
