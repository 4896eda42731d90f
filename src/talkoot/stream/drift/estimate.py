"""How accurate predictions are likely to be, before any label is known."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from talkoot.learners.online.state import State
from talkoot.stream.drift.finding import Finding

BINS = 40  # of confidence, for each class that is predicted, even in log-odds
REACH = 12.0  # log-odds of the highest confidence
FEWEST = 1000  # labels before an estimate


@final
@dataclass(frozen=True, slots=True)
class Estimate:
    """Confidence-based performance estimation (CBPE): accuracy without labels, from calibrated predictions.

    Rows with labels say how often a prediction of some class and confidence is right; recent rows are counted
    by the same bins. Both are sums, so they add over nodes and stand under masks. It sees a shift of the
    features, and cannot see a change of what the label depends on: the loss shows that.

    Args:
        block: rows of a block.
        blocks: recent blocks that are estimated together.
        drop: the smallest fall of the accuracy that is reported.
    """

    block: int = 1000
    blocks: int = 10
    drop: float = 0.05

    def start(self, classes: int) -> State:
        """No rows."""
        cells = max(classes, 2) * BINS
        return {
            "known": np.zeros((2, cells)),  # rows with labels, and right ones among them
            "recent": np.zeros((self.blocks, cells)),
            "counts": np.zeros(cells),
            "n": np.zeros(4, np.int64),  # rows of this block, its start, blocks in all, labels
            "usual": np.full(1, np.nan),
        }

    def arrive(
        self,
        state: State,
        predictions: NDArray[Any],
        positions: NDArray[np.int64],
        node: str,
        y: NDArray[Any] | None = None,
    ) -> list[Finding]:
        """Count predictions, and labels where they come at once; at the end of each block, estimate."""
        cells = bins(predictions)
        self.widen(state, cells.max(initial=0))
        found: list[Finding] = []
        low = 0
        while low < len(cells):
            high = min(len(cells), low + self.block - int(state["n"][0]))
            if state["n"][0] == 0:
                state["n"][1] = positions[low]
            np.add.at(state["counts"], cells[low:high], 1.0)
            if y is not None:
                some = np.flatnonzero(np.isfinite(y[low:high])) + low
                self.learn(state, predictions[some], y[some])
            state["n"][0] += high - low
            if state["n"][0] == self.block:
                found += self._look(state, int(positions[high - 1]), node)
            low = high
        return found

    def learn(self, state: State, predictions: NDArray[Any], y: NDArray[Any]) -> None:
        """Labels have become known for predictions that were made before."""
        cells = bins(predictions)
        self.widen(state, cells.max(initial=0))
        low, span = 0, self.block * self.blocks
        while low < len(cells):
            high = min(len(cells), low + span - int(state["n"][3]) % span)
            np.add.at(state["known"][0], cells[low:high], 1.0)
            np.add.at(state["known"][1], cells[low:high], cells[low:high] // BINS == y[low:high])
            state["n"][3] += high - low
            if state["n"][3] % span == 0:
                state["known"] *= 0.5  # a model that learns is calibrated by its recent predictions
            low = high

    def sums(self, state: State) -> State:
        """What `accuracy` needs, as arrays that add over nodes."""
        counts = state["recent"].sum(0) + state["counts"]
        return {"known": state["known"].copy(), "recent": counts}

    def accuracy(self, sums: State) -> float:
        """The accuracy that recent rows are likely to have; nan before there are labels and rows."""
        rows, right = sums["known"]
        cells = np.arange(len(rows))
        middle = (cells % BINS + 0.5) / BINS * REACH
        guess = 1.0 / (1.0 + (len(rows) // BINS - 1) * np.exp(-middle))  # where no label has come yet
        rate = (right + guess) / (rows + 1.0)
        total = float(sums["recent"].sum())
        return float(sums["recent"] @ rate) / total if total and rows.sum() else math.nan

    def widen(self, state: State, cell: int) -> None:
        """Make room for classes that were never seen before."""
        more = (cell // BINS + 1) * BINS - len(state["counts"])
        if more > 0:
            for name in ("known", "recent", "counts"):
                state[name] = np.pad(state[name], [(0, 0)] * (state[name].ndim - 1) + [(0, more)])

    def _look(self, state: State, at: int, node: str) -> list[Finding]:
        """Put the block into the ring and compare the estimate with the usual one."""
        begin, place = int(state["n"][1]), int(state["n"][2])
        state["recent"][place % self.blocks] = state["counts"]
        state["counts"][:] = 0.0
        state["n"][0] = 0
        state["n"][2] += 1
        if place + 1 < self.blocks or state["n"][3] < FEWEST:
            return []
        now, usual = self.accuracy(self.sums(state)), float(state["usual"][0])
        if math.isnan(usual) or now > usual:
            state["usual"][0] = now
            return []
        if usual - now < self.drop:
            return []
        state["usual"][0] = now
        z = (usual - now) / math.sqrt(max(now * (1.0 - now), 1e-9) / (self.block * self.blocks))
        since = begin - (self.blocks - 1) * self.block
        p_value = math.erfc(z / math.sqrt(2.0)) / 2.0
        return [Finding("estimate", "accuracy", node, max(since, 0), at, usual, now, p_value)]


def bins(predictions: NDArray[Any]) -> NDArray[np.int64]:
    """The cell of each prediction: the class that it names, and how sure it is."""
    wide = np.asarray(predictions, np.float64)
    wide = np.column_stack([1.0 - wide, wide]) if wide.ndim == 1 else wide
    confidence = np.clip(wide.max(1), 1.0 / wide.shape[1], 1.0 - 1e-12) if len(wide) else np.zeros(0)
    odds = np.log((wide.shape[1] - 1) * confidence / (1.0 - confidence))
    place = np.clip(odds / REACH * BINS, 0, BINS - 1).astype(np.int64)
    return np.asarray(wide.argmax(1) * BINS + place if len(wide) else place, np.int64)
