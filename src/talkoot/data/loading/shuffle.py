"""The order in which samples are read: a function of seed, epoch and position, never of the nodes."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, final

import numpy as np

from talkoot.core.context import stream_rng

WHOLE = 1 << 22  # rows in memory up to which all are shuffled together
WINDOW = 1 << 18  # rows that are shuffled together otherwise, about
CHUNK = 1 << 10  # rows of a group in memory, where there are more than `WHOLE`
GROUPS = 8  # groups of a window at most


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Shuffle:
    """The row that each position reads. Positions continue over epochs; an epoch has every row once.

    Groups of rows, such as the row groups of files, are permuted; then rows are shuffled within windows of a
    few groups, so that neighbouring positions read few groups. Rows in memory are one group, or groups of
    `CHUNK` rows where there are more than `WHOLE`. Any position is found without replay.

    >>> order = Shuffle(rows=4, seed=0)
    >>> sorted(order.at(0, 4).tolist()), len(order.at(3, 9))
    ([0, 1, 2, 3], 6)
    """

    rows: int  # number of rows, one or more
    seed: int
    key: str = ""  # makes the orders of several sources differ
    groups: tuple[int, ...] | None = None  # rows of each group, where rows are cheap to read only by groups
    _cache: dict[Any, Any] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        assert self.rows > 0
        assert self.groups is None or sum(self.groups) == self.rows

    def at(self, start: int, stop: int) -> np.ndarray:
        """The rows at positions `start` to `stop`, (stop - start,) int64."""
        pieces = [np.empty(0, np.int64)]
        while start < stop:
            epoch, position = divmod(start, self.rows)
            begin, window = self._window(epoch, position)
            piece = window[position - begin : position - begin + stop - start]
            pieces.append(piece)
            start += len(piece)
        return np.concatenate(pieces)

    def _window(self, epoch: int, position: int) -> tuple[int, np.ndarray]:
        """The first position of the window around a position, and the window's shuffled rows."""
        if epoch not in self._cache:
            self._store(epoch, self._windows(epoch))
        edges, groups = self._cache[epoch]
        number = int(np.searchsorted(edges, position, side="right")) - 1
        if (epoch, number) not in self._cache:
            rows = np.concatenate([np.arange(a, b) for a, b in groups[number]])
            self._store((epoch, number), self._rng(epoch, number).permutation(rows))
        return int(edges[number]), self._cache[epoch, number]

    def _windows(self, epoch: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """The first position of each window of an epoch, and its groups as (start, stop) rows."""
        sizes, width = self._sizes()
        ends = np.cumsum(sizes)
        order = self._rng(epoch).permutation(len(sizes))
        spans = np.stack([ends - sizes, ends], axis=1)[order]
        firsts = np.concatenate([[0], np.cumsum(sizes[order])])[: len(sizes) : width]
        cuts = [*range(0, len(sizes), width), len(sizes)]
        return firsts, [spans[a:b] for a, b in pairwise(cuts)]

    def _sizes(self) -> tuple[np.ndarray, int]:
        """Rows of each group that is not empty, and the number of groups in a window."""
        if self.groups is not None:
            return np.array([size for size in self.groups if size]), groups_per_window(self.groups)
        if self.rows <= WHOLE:
            return np.array([self.rows]), 1
        return np.diff(np.r_[0 : self.rows : CHUNK, self.rows]), WINDOW // CHUNK

    def _rng(self, *where: int) -> np.random.Generator:
        return stream_rng(self.seed, "order", self.key, *where)

    def _store(self, name: Any, value: Any) -> None:
        """Store a value; four entries hold both epochs of a batch that spans two."""
        while len(self._cache) >= 4:
            del self._cache[next(iter(self._cache))]
        self._cache[name] = value


def groups_per_window(groups: tuple[int, ...]) -> int:
    """The number of groups that are shuffled together: about `WINDOW` rows, 1 to `GROUPS` groups.

    >>> groups_per_window((100, 100)), groups_per_window((1 << 16,) * 9), groups_per_window((1 << 20,))
    (8, 4, 1)
    """
    return max(1, min(GROUPS, WINDOW // max(groups)))
