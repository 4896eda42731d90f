"""A cache of decoded row groups in one array, so that rows of several groups are gathered at once."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from threading import RLock
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError

BUDGET = 128 << 20  # bytes of decoded groups that a source caches


@final
class RowGroupCache:
    """The groups used last. A pickled cache is empty.

    Args:
        groups: number of groups of the source.
        longest: rows of the largest group.
        least: number of groups to cache whatever their size.
        budget: bytes to cache at most beyond these.
    """

    def __init__(self, groups: int, longest: int, least: int, budget: int = BUDGET) -> None:
        self._of = groups, longest, least, budget
        self._slabs: tuple[np.ndarray, ...] = ()
        self._slots: OrderedDict[int, int] = OrderedDict()  # slot by group, the latest used last
        self._lock = RLock()

    def gather(
        self, of: np.ndarray, rows: np.ndarray, make: Callable[[int], Sequence[np.ndarray]]
    ) -> tuple[np.ndarray, ...]:
        """Some rows of some groups: (b, ...) of each array of a group.

        Args:
            of: the group of each row, (b,) int64, with b of one or more.
            rows: its position in the group, (b,) int64.
            make: decodes a group into arrays of one length.
        """
        needed = np.flatnonzero(np.bincount(of)).tolist()
        with self._lock:
            if not self._slabs:
                self._open(needed[0], make(needed[0]))
            if len(needed) > self._room:
                half = len(of) // 2
                first, then = (self.gather(of[p], rows[p], make) for p in (slice(half), slice(half, None)))
                return tuple(np.concatenate(pair) for pair in zip(first, then, strict=True))
            for group in needed:
                if group in self._slots:
                    self._slots.move_to_end(group)
            for group in needed:
                if group not in self._slots:
                    self._put(group, make(group))
            begins = np.zeros(needed[-1] + 1, np.int64)
            begins[needed] = [self._slots[group] for group in needed]
            at = begins[of] * self._longest + rows
            return tuple(slab.take(at, axis=0) for slab in self._slabs)

    @property
    def _longest(self) -> int:
        return self._of[1]

    @property
    def _room(self) -> int:
        return len(self._slabs[0]) // self._longest

    def _open(self, group: int, arrays: Sequence[np.ndarray]) -> None:
        groups, longest, least, budget = self._of
        size = longest * sum(a.nbytes // max(1, len(a)) for a in arrays)
        room = max(least, min(groups, budget // max(1, size)))
        self._slabs = tuple(np.empty((room * longest, *a.shape[1:]), a.dtype) for a in arrays)
        self._put(group, arrays)

    def _put(self, group: int, arrays: Sequence[np.ndarray]) -> None:
        """Cache a group, in place of the least recently used one where the cache is full."""
        for slab, made in zip(self._slabs, arrays, strict=True):
            if slab.shape[1:] != made.shape[1:]:
                raise DataError(
                    f"rows have several shapes: {slab.shape[1:]} and {made.shape[1:]}",
                    cure="Pad or cut them to one shape.",
                )
        slot = len(self._slots) if len(self._slots) < self._room else self._slots.popitem(last=False)[1]
        for slab, made in zip(self._slabs, arrays, strict=True):
            slab[slot * self._longest : slot * self._longest + len(made)] = made
        self._slots[group] = slot

    def __reduce__(self) -> Any:
        return RowGroupCache, self._of
