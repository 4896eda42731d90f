"""How many rows of all processes are in the leaves of a tree that grows.

LightGBM's data-parallel trees guess that from sums of Hessians, and then divide a leaf where one process
would not. So processes follow the tree: they know the best split of each leaf, hence which is divided next.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple, final

import numpy as np

from talkoot.learners.lightgbm.bins import Column, codes_of, columns_of
from talkoot.learners.lightgbm.rules import Settings

CATEGORIES = 32  # of a split at most, for which LightGBM leaves room
RECORD = 94 + 4 * CATEGORIES  # bytes of a split
HEAD = struct.Struct("<iiidI")  # column, rows left and right, gain, threshold
COUNTS = struct.Struct("<ii")
COUNTS_AT, MISSING_AT = 4, 88  # where rows, and the side of missing values, are in a record


NEVER = -np.inf  # the gain of no split


@final
class Split(NamedTuple):
    """The best split of a leaf.

    Args:
        column: which is divided; -1 for none.
        rows: of all processes that go left and right.
        gain: by which the best is chosen.
        threshold: the last bin that goes left.
        missing_left: whether missing values go left.
    """

    column: int = -1
    rows: tuple[int, int] = (0, 0)
    gain: float = NEVER
    threshold: int = 0
    missing_left: bool = True

    def better(self, other: Split) -> bool:
        """Whether LightGBM prefers it."""
        if self.gain != other.gain:
            return self.gain > other.gain
        return self.column % (1 << 31) < other.column % (1 << 31)  # none comes last


NO_SPLIT = Split()


def read(record: bytes | memoryview) -> Split:
    """A split, as LightGBM sends it."""
    column, left, right, gain, threshold = HEAD.unpack_from(record)
    return Split(column, (left, right), gain, threshold, bool(record[MISSING_AT]))


@final
@dataclass(frozen=True, slots=True)
class Leaf:
    """A leaf.

    Args:
        rows: (rows,) of this process that are in it.
        total: how many of all processes are.
        depth: divisions above it.
        best: its best split.
    """

    rows: np.ndarray
    total: int
    depth: int = 0
    best: Split = NO_SPLIT


@final
class Leaves:
    """The leaves of the tree that grows.

    Args:
        columns: bins of each.
        codes: for each the bins of the rows of this process.
        rows: how many this process has, and all of them.
        most: leaves of a tree.
        deepest: divisions above a leaf; without end if it is not above 0.
        least: rows of a leaf.
    """

    def __init__(
        self,
        columns: Mapping[int, Column],
        codes: Mapping[int, np.ndarray],
        rows: tuple[int, int],
        most: int,
        deepest: int,
        least: int,
    ) -> None:
        self._columns, self._codes, self._rows = columns, codes, rows
        self._most, self._deepest, self._least = most, deepest, least
        self._leaves: list[Leaf] = []
        self._pair: tuple[int, ...] = ()

    def begin(self) -> None:
        """Another tree begins."""
        here, total = self._rows
        self._leaves, self._pair = [Leaf(np.arange(here), total)], (0,)

    def looked_at(self) -> tuple[int, ...]:
        """The leaves whose best splits LightGBM looks for next: the smaller one first."""
        while not self._pair and self.divide():
            pass
        found, self._pair = self._pair, ()
        return found

    def divide(self) -> bool:
        """Divide the leaf that LightGBM divides next; whether there is one."""
        chosen = 0
        for i, leaf in enumerate(self._leaves):
            if leaf.best.better(self._leaves[chosen].best):
                chosen = i
        leaf = self._leaves[chosen]
        if len(self._leaves) == self._most or not leaf.best.gain > 0:
            return False
        left, (first, second) = self._left(leaf, leaf.best), leaf.best.rows
        below = leaf.depth + 1
        self._leaves[chosen] = Leaf(leaf.rows[left], first, below)
        self._leaves.append(Leaf(leaf.rows[~left], second, below))
        if (self._deepest <= 0 or below < self._deepest) and max(first, second) >= 2 * self._least:
            both = chosen, len(self._leaves) - 1
            self._pair = both if first < second else both[::-1]
        return True

    def left_of(self, leaf: int, split: Split) -> int:
        """How many rows of this process would go left."""
        return int(self._left(self._leaves[leaf], split).sum()) if split.gain > 0 else 0

    def found(self, leaf: int, split: Split, left: int) -> tuple[int, int]:
        """Note the best split of a leaf, with how many rows of all processes go left; rows on both sides."""
        rows = (left, self._leaves[leaf].total - left)
        self._leaves[leaf] = replace(self._leaves[leaf], best=split._replace(rows=rows))
        return rows

    def of_rows(self) -> np.ndarray | None:
        """(rows,) which leaf of the finished tree each row of this process is in; None where it has one."""
        while self._leaves and self.divide():
            pass
        if len(self._leaves) < 2:
            return None
        found = np.zeros(self._rows[0], dtype=np.int64)
        for i, leaf in enumerate(self._leaves):
            found[leaf.rows] = i
        return found

    def _left(self, leaf: Leaf, split: Split) -> np.ndarray:
        codes = self._codes[split.column][leaf.rows]
        return self._columns[split.column].left(codes, split.threshold, missing_left=split.missing_left)


def leaves_of(X: np.ndarray, saved: bytes, total: int, settings: Settings) -> tuple[Leaves, np.ndarray]:
    """For trees of the rows of this process, among so many; and which rows LightGBM has as they are.

    Raises:
        DataError: this LightGBM saves bins in another way.
    """
    columns = columns_of(saved)
    codes, whole = codes_of(X, columns)
    rows, limits = (len(X), total), (settings.leaves, settings.depth, settings.least)
    return Leaves(columns, codes, rows, *limits), np.flatnonzero(whole)
