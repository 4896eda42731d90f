"""Floats as integer keys of the same order, and ranges of keys divided into bins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

TOP = np.uint64(1 << 63)
FIRST, LAST = np.uint64(0), np.uint64(2**64 - 1)


def keys(values: Any) -> np.ndarray:
    """The key of each number: 64-bit integers of the same order. -0.0 has the key of 0.0.

    >>> bool((np.diff(keys([-np.inf, -2.0, -1e-300, 0.0, 0.5, 7.0]).astype(float)) > 0).all())
    True
    """
    bits = (np.asarray(values, dtype=np.float64) + 0.0).view(np.uint64)
    return np.asarray(bits ^ ((np.uint64(0) - (bits >> np.uint64(63))) | TOP))


def numbers(found: np.ndarray) -> np.ndarray:
    """The number of each key.

    >>> numbers(keys([-1.5, 0.0, 1e300])).tolist()
    [-1.5, 0.0, 1e+300]
    """
    return np.asarray(found ^ (((found >> np.uint64(63)) - np.uint64(1)) | TOP)).view(np.float64)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """Bins of adjacent keys, by column and key."""

    column: np.ndarray  # (bins,) index of the column
    interval: np.ndarray  # (bins,) index of the interval of the bin
    first: np.ndarray  # (bins,) the least key
    last: np.ndarray  # (bins,) the greatest key

    def __len__(self) -> int:
        return len(self.first)

    def spans(self, features: int) -> np.ndarray:
        """(features + 1,) where the bins of each column start."""
        return np.searchsorted(self.column, np.arange(features + 1))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Ranges:
    """Ranges of keys, each divided evenly, by column and key. Ranges of one interval are adjacent."""

    column: np.ndarray  # (ranges,) index of the column
    interval: np.ndarray  # (ranges,) index of the interval of the range
    low: np.ndarray  # (ranges,) the least key
    high: np.ndarray  # (ranges,) the greatest key
    step: np.ndarray  # (ranges,) keys in a bin; the last bin of a range may have fewer

    @staticmethod
    def whole(features: int, parts: int) -> Ranges:
        """All keys of every column, in `parts` bins."""
        low, high = np.full(features, FIRST), np.full(features, LAST)
        each = np.arange(features)
        return Ranges(each, each, low, high, steps(low, high, np.full(features, parts)))

    def bins(self) -> Bins:
        """Every bin of every range."""
        counts = ((self.high - self.low) // self.step).astype(np.int64) + 1
        of = np.repeat(np.arange(len(counts)), counts)
        place = np.arange(len(of)) - np.repeat(np.cumsum(counts) - counts, counts)
        first = self.low[of] + place.astype(np.uint64) * self.step[of]
        last = np.minimum(self.step[of] - np.uint64(1), self.high[of] - first) + first
        return Bins(self.column[of], self.interval[of], first, last)

    def hold(self, column: int, found: np.ndarray) -> np.ndarray:
        """(keys,) whether each key of a column lies in one of its ranges."""
        a, b = np.searchsorted(self.column, [column, column + 1])
        place = np.searchsorted(self.low[a:b], found, side="right") - 1
        if a == b:
            return np.zeros(len(found), bool)
        return np.asarray((place >= 0) & (found <= self.high[a:b][place]))

    @property
    def everything(self) -> bool:
        """Whether every range is all keys."""
        return bool((self.low == FIRST).all() and (self.high == LAST).all())


def steps(low: np.ndarray, high: np.ndarray, parts: np.ndarray) -> np.ndarray:
    """Keys in a bin if each range has at most `parts` bins."""
    return np.asarray((high - low) // parts.astype(np.uint64) + np.uint64(1))
