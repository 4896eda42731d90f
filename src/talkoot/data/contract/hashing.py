"""Rows as salted 64-bit hashes, to find rows that two nodes share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import final

import numpy as np

from talkoot.core.context import mixed

_GREATEST = np.uint64(np.iinfo(np.uint64).max)
SAMPLE_SIZE = 1 << 20  # hashes of a node at most; of more the smallest are a sample (bottom-k)


def hash_rows(columns: Mapping[str, np.ndarray], rows: int, salt: str) -> np.ndarray:
    """A hash of each row, independent of the order of columns and of the width of numbers.

    Args:
        columns: (rows,) floats, or objects of str and None, by name.
        rows: number of rows.
        salt: a secret of the run, so that hashes of two runs are unrelated. The salt's owners can hash a
            guess: hashes hide rows from outsiders, not from the other nodes.

    Returns:
        (rows,) uint64.

    >>> a = hash_rows({"age": np.array([63.0, 41.0])}, 2, "salt")
    >>> b = hash_rows({"age": np.array([41.0], dtype=np.float32)}, 1, "salt")
    >>> bool(a[1] == b[0]), bool(a[0] == b[0])
    (True, False)
    """
    hashed = np.zeros(rows, np.uint64)
    for name in sorted(columns):
        hashed = mixed(hashed ^ (_values(columns[name], salt) + _word(f"{salt}/{name}")))
    return hashed


def _values(column: np.ndarray, salt: str) -> np.ndarray:
    if column.dtype.kind in "OU":
        levels, codes = _levels(column)
        words: np.ndarray = np.array(
            [_word(f"{salt}:{level}" if level is not None else salt) for level in levels], dtype=np.uint64
        )
        return np.asarray(words[codes])
    numbers = column.astype(np.float64) + 0.0  # -0.0 becomes 0.0
    numbers[np.isnan(numbers)] = np.nan
    words = numbers.view(np.uint64)
    if column.dtype.kind in "iu":
        size = np.abs(column).astype(np.uint64)
        lowest = size & (~size + np.uint64(1))
        lost = size // np.maximum(lowest, np.uint64(1)) > np.uint64(1 << 53)  # float64 has 53 bits
        words[lost] = ~column[lost].astype(np.uint64)
    return mixed(words)


def _levels(column: np.ndarray) -> tuple[list[str | None], np.ndarray]:
    known: dict[str | None, int] = {}
    codes = np.fromiter((known.setdefault(value, len(known)) for value in column), np.intp, len(column))
    return list(known), codes


def _word(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little"))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Hashes:
    """The distinct hashes of a node's rows, or the smallest of them.

    Args:
        sorted: in order.
        whole: whether these are all.
        repeat: whether rows repeat so often that equal ones mean nothing.
    """

    sorted: np.ndarray
    whole: bool
    repeat: bool = False

    def shared(self, other: Hashes) -> float:
        """The number of distinct rows that two nodes share; an estimate where one has a sample.

        >>> a, b = Hashes(np.arange(5, dtype=np.uint64), True), Hashes(np.arange(3, 9, dtype=np.uint64), True)
        >>> a.shared(b)
        2
        """
        low = min(self._last, other._last)  # up to here both have all hashes
        ours, theirs = (each.sorted[each.sorted <= low] for each in (self, other))
        found = len(np.intersect1d(ours, theirs, assume_unique=True))
        share = float(low) / float(_GREATEST)
        return found / share if share < 1 else found

    @property
    def _last(self) -> np.uint64:
        return _GREATEST if self.whole else self.sorted[-1]


@final
@dataclass(slots=True)
class Sample:
    """The distinct hashes of a node's rows, or the `size` smallest of them."""

    size: int = SAMPLE_SIZE
    hashes: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))
    counts: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    pending: list[np.ndarray] = field(default_factory=list)

    def add(self, hashes: np.ndarray) -> None:
        """Add rows."""
        self.pending.append(hashes)
        if sum(map(len, self.pending)) >= self.size:
            self.settle()

    def settle(self) -> tuple[np.ndarray, np.ndarray]:
        """The sorted distinct hashes of all rows so far, and how many rows have each."""
        ones = [np.ones(len(hashes), np.int64) for hashes in self.pending]
        every = np.concatenate([self.hashes, *self.pending])
        order = np.argsort(every, kind="stable")
        counts = np.concatenate([self.counts, *ones])[order]
        self.pending.clear()
        if len(every):
            first = np.flatnonzero(np.diff(every[order], prepend=~every[order][:1]))[: self.size + 1]
            last = len(every) if len(first) <= self.size else int(first[-1])
            first = first[: self.size]
            self.hashes = every[order][first]
            self.counts = np.add.reduceat(counts[:last], first)
        return self.hashes, self.counts
