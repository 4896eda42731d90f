"""Drift of features by the size of its effect, against what blocks of rows in any order would show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import PlanError
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.state import State
from talkoot.stream.drift.finding import Finding

Floats = NDArray[np.float64]
BINS = 10
TRIES = 1999  # permutations
LEVEL = 0.001


@final
@dataclass(frozen=True, slots=True)
class FeatureDrift:
    """Whether rows of a feature lie elsewhere than before.

    The effect is the share of rows that lie in other bins (deciles of the first block, hashes of categories,
    and missing). With many rows every difference is significant, and neighbouring rows are alike: so an
    effect counts where it is large, and larger than nearly all that whole blocks in random order show, over
    all features.

    Args:
        block: rows of a block; longer than neighbouring rows resemble each other, such as a day.
        blocks: of the reference and of the recent rows, each.
        least: the smallest share of rows that is reported.
    """

    block: int = 1000
    blocks: int = 10
    least: float = 0.1

    def __post_init__(self) -> None:
        if self.blocks < 8 or self.block < 1:
            raise PlanError(
                f"FeatureDrift(blocks={self.blocks}) has too few orders of blocks to compare with",
                cure="Take 8 blocks or more, of fewer rows each.",
            )

    def start(self, layout: Layout, seed: int) -> State:
        """No rows."""
        d = len(layout.numbers) + len(layout.categories)
        shape = (2 * self.blocks, d, BINS + 1)  # the reference, then the recent blocks as a ring
        return {
            "edges": np.full((len(layout.numbers), BINS - 1), np.nan),
            "first": np.zeros((self.block, len(layout.numbers))),
            "counts": np.zeros(shape[1:], np.int64),
            "blocks": np.zeros(shape, np.int64),
            "starts": np.zeros(self.blocks, np.int64),
            "n": np.array([0, 0, 0, seed], np.int64),  # rows of this block, its start, blocks in all, seed
            "since": np.zeros(1, np.int64),  # blocks since the reference began
        }

    def observe(
        self, state: State, rows: Features, positions: NDArray[np.int64], layout: Layout, node: str
    ) -> list[Finding]:
        """Count rows; at the end of each block, look."""
        found, low = [], 0
        while low < len(rows):
            filled = int(state["n"][0])
            high = min(len(rows), low + self.block - filled)
            if filled == 0:
                state["n"][1] = positions[low]
            self._count(state, rows[low:high], filled)
            state["n"][0] += high - low
            if state["n"][0] == self.block:
                found += self._look(state, int(positions[high - 1]), layout, node)
            low = high
        return found

    def _count(self, state: State, rows: Features, filled: int) -> None:
        """Count rows in their bins; rows of the first block are collected until there are edges."""
        from talkoot.kernels.binning import count_bins

        numbers, none = rows.numbers, np.zeros((len(rows), 0), np.uint64)
        if state["n"][2] == 0:
            first = state["first"]
            first[filled : filled + len(rows)] = numbers
            if filled + len(rows) == self.block:
                state["edges"][:] = _edges(first)
                count_bins(first, none[:0].reshape(0, 0), state["edges"], state["counts"])
                state["first"] = np.zeros((0, first.shape[1]))
            numbers = np.zeros((len(rows), 0))
            count_bins(numbers, rows.categories, state["edges"], state["counts"][len(state["edges"]) :])
            return
        count_bins(numbers, rows.categories, state["edges"], state["counts"])

    def _look(self, state: State, at: int, layout: Layout, node: str) -> list[Finding]:
        """Put the block where it belongs; compare, where there are enough."""
        k, place = self.blocks, int(state["since"][0])
        slot = place if place < k else k + place % k
        state["blocks"][slot] = state["counts"]
        if place >= k:
            state["starts"][place % k] = state["n"][1]
        state["counts"][:] = 0
        state["n"][0] = 0
        state["n"][2] += 1
        state["since"] += 1
        if place + 1 < 2 * k:
            return []
        order = (place + 1 + np.arange(k)) % k  # the recent blocks, the oldest first
        old, new = state["blocks"][:k], state["blocks"][k:][order]
        effects = effect(old.sum(0), new.sum(0))
        if not (effects >= self.least).any():
            return []
        chances = chance(
            old, new, np.random.Generator(np.random.Philox(key=state["n"][2:4].astype(np.uint64)))
        )
        hits = np.flatnonzero((effects >= self.least) & (chances <= LEVEL))
        names = (*layout.numbers, *layout.categories)
        starts = state["starts"][order]
        found = [
            Finding(
                "feature", names[j], node, int(starts[cut(old[:, j], new[:, j])]), at, 0.0,
                float(effects[j]), float(chances[j]),
            )
            for j in hits
        ]  # fmt: skip
        if found:  # the recent rows are what is usual from now on
            state["blocks"][:k] = new
            state["since"][0] = k
        return found


def effect(old: NDArray[Any], new: NDArray[Any]) -> Floats:
    """The share of rows that lie elsewhere: half the sum of differences of shares (total variation)."""
    p, q = (x / np.maximum(x.sum(-1, keepdims=True), 1) for x in (old, new))
    return np.asarray(np.abs(p - q).sum(-1) / 2.0)


def chance(old: NDArray[np.int64], new: NDArray[np.int64], rng: np.random.Generator) -> Floats:
    """How often blocks in random order show as much, in any feature; effects count in their own spread."""
    both = np.concatenate([old, new]).astype(np.float64)
    k, n = len(old), len(both)
    picks = np.zeros((TRIES, n))
    np.put_along_axis(picks, rng.permuted(np.tile(np.arange(n), (TRIES, 1)), axis=1)[:, k:], 1.0, axis=1)
    late = (picks @ both.reshape(n, -1)).reshape(TRIES, *both.shape[1:])
    null = effect(both.sum(0) - late, late)
    spread = np.maximum(null.std(0), 1e-9)
    most = ((null - null.mean(0)) / spread).max(1)
    mine = (effect(old.sum(0), new.sum(0)) - null.mean(0)) / spread
    return np.asarray((1 + (most[:, None] >= mine).sum(0)) / (TRIES + 1))


def cut(old: NDArray[np.int64], new: NDArray[np.int64]) -> int:
    """The recent block at which the change most likely began."""
    gains = []
    for i in range(len(new)):
        before, after = old.sum(0) + new[:i].sum(0), new[i:].sum(0)
        weight = before.sum() * after.sum() / (before.sum() + after.sum())
        gains.append(float(effect(before, after)) ** 2 * weight)
    return int(np.argmax(gains))


def _edges(first: Floats) -> Floats:
    """Deciles of each column; of what is missing altogether, zeros."""
    known = np.where(np.isnan(first).all(0), 0.0, first)
    finite = np.nan_to_num(known, nan=np.nan, posinf=np.finfo(float).max, neginf=np.finfo(float).min)
    if not finite.size:
        return np.zeros((first.shape[1], BINS - 1))
    return np.asarray(np.nanquantile(finite, np.arange(1, BINS) / BINS, axis=0, method="lower").T)
