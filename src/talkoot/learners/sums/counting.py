"""A node's part of a selection: count its values in bins of keys, in one pass over its rows.

Once the values within the ranges fit the node's share of 64 MB, or of an eighth
of the memory that is free, it caches them, sorted, and does not read
its rows again. Until then, compiled code counts them block by block.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.core.update import MODULAR, Update
from talkoot.data.free_memory import free_memory
from talkoot.learners.sums.block_counts import BlockCounts
from talkoot.learners.sums.chunk import Chunk
from talkoot.learners.sums.ranges import Bins, Ranges, keys

KEY_BYTES = 1 << 26  # bytes of cached keys, over all nodes of a run
SHARE = 8  # of the memory that is free, in which keys may be cached
BATCH_BYTES = 1 << 23  # bytes of rows that are counted at once, about

TOTAL = f"{MODULAR}total"  # a leaf: see `Values.count`

ZERO = keys([0.0])[0]

Leaves = dict[str, np.ndarray]
Part = tuple[Any, np.ndarray | None]  # (rows, features), array or CSR; (rows,) whole weights


@final
@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Values of some rows within the ranges that are counted."""

    found: tuple[np.ndarray, ...]  # for each column its keys, sorted
    mass: tuple[np.ndarray, ...] | None  # for each column the weights of these keys; None if each weighs 1
    zeros: np.ndarray  # (features,) further values of 0, which sparse rows do not store
    rows: int  # number of rows

    def __reduce__(self) -> Any:
        return type(None), ()  # never sent: they can be read again

    def count(self, ranges: Ranges) -> Leaves:
        """The leaves rows, count and `TOTAL`, and mass where rows have weights, all integers.

        For each bin, `count` is the number of values, `TOTAL` the sum of their distances from the bin's first
        key modulo 2^64, `mass` the sum of their weights.
        """
        bins = ranges.bins()
        count, total = np.zeros(len(bins), np.int64), np.zeros(len(bins), np.uint64)
        mass = None if self.mass is None else np.zeros(len(bins), np.int64)
        spans = bins.spans(len(self.found))
        for j, found in enumerate(self.found):
            own = slice(spans[j], spans[j + 1])
            first, last = bins.first[own], bins.last[own]
            if not len(first):
                continue
            left, right = _edges(found, first, last)
            count[own] = right - left
            total[own] = _sums(found, left, right) - count[own].astype(np.uint64) * first
            if mass is not None and self.mass is not None:
                mass[own] = _sums(self.mass[j], left, right)
        _add_zeros(self.zeros, bins, count, total)
        return _leaves(self.rows, count, total, mass)


def _leaves(rows: int, count: np.ndarray, total: np.ndarray, mass: np.ndarray | None) -> Leaves:
    """What a node sends of so many rows; see `Values.count`."""
    leaves = {"rows": np.array([rows]), "count": count, TOTAL: total.view(np.int64)}
    return leaves if mass is None else leaves | {"mass": mass}


def _add_zeros(zeros: np.ndarray, bins: Bins, count: np.ndarray, total: np.ndarray) -> None:
    """Add to the bins the zeros of each column that sparse rows do not store."""
    spans = bins.spans(len(zeros))
    for j in np.flatnonzero(zeros).tolist():
        at = spans[j] + int(np.searchsorted(bins.first[spans[j] : spans[j + 1]], ZERO, side="right")) - 1
        if at >= spans[j] and bins.last[at] >= ZERO:
            count[at] += zeros[j]
            total[at] += np.uint64(zeros[j]) * (ZERO - bins.first[at])


def _edges(found: np.ndarray, first: np.ndarray, last: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where each bin starts and ends among sorted keys."""
    left = np.searchsorted(found, first)
    right = np.append(left[1:], 0)
    apart = np.append(first[1:] - last[:-1] != 1, True)
    right[apart] = np.searchsorted(found, last[apart], side="right")
    return left, right


def _sums(values: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """The sum of each slice of `values`, as integers that wrap; slices may be empty."""
    sums, some = np.zeros(len(left), values.dtype), np.flatnonzero(right > left)
    if len(some):
        edges = np.stack([left[some], right[some]], axis=1).reshape(-1)
        edges = edges[:-1] if edges[-1] == len(values) else edges
        sums[some] = np.add.reduceat(values, edges)[::2]
    return sums


def counted(
    parts: Iterable[Part], ranges: Ranges, cached: Values | None, *, features: int, nodes: int, zeros: bool
) -> tuple[Update, Values | None]:
    """A node's counts of values within `ranges`, and the values to cache, once they are few enough.

    Args:
        parts: the rows; not read where values are cached.
        ranges: what is counted.
        cached: the values of the round before; None where there were too many.
        features: number of columns.
        nodes: how many nodes share the memory for cached values.
        zeros: whether what sparse rows do not store counts as 0.
    """
    limit, parts, first = min(KEY_BYTES, free_memory() // SHARE) // max(1, nodes), iter(parts), None
    if cached is None and ranges.everything:
        first = _collected(parts, features, limit, zeros=zeros)
        if first.size <= limit:
            cached, first = Values(*first.sorted(), first.zeros, first.rows), None
    if cached is None:
        return _counted_by_blocks(first, parts, ranges, features, limit, zeros=zeros)
    if not cached.rows:
        return Update(), None
    return Update(values=cached.count(ranges), weight=float(cached.rows)), cached


def _collected(parts: Iterator[Part], features: int, limit: int, *, zeros: bool) -> Chunk:
    """The values of all rows, or of the first, of more than `limit` bytes."""
    chunk = Chunk(features)
    for X, weights in parts:
        chunk.add(X, weights, zeros=zeros)
        if chunk.size > limit:
            break
    return chunk


def _batches(parts: Iterable[Part]) -> Iterator[Part]:
    """Dense blocks put together, so that the bins of a column are looked at for many values on end."""
    few = list[Part]()
    for part in parts:
        few.append(part)
        if not isinstance(part[0], np.ndarray) or sum(X.nbytes for X, _ in few) > BATCH_BYTES:
            yield from _joined(few)
            few = []
    yield from _joined(few)


def _joined(few: list[Part]) -> Iterator[Part]:
    if len(few) < 2 or not all(isinstance(X, np.ndarray) for X, _ in few):
        yield from few
        return
    weights = [each for _, each in few if each is not None]
    yield np.concatenate([X for X, _ in few]), np.concatenate(weights) if weights else None


def _counted_by_blocks(
    first: Chunk | None, parts: Iterator[Part], ranges: Ranges, features: int, limit: int, *, zeros: bool
) -> tuple[Update, Values | None]:
    """Counts of the first values and of others, and the values, unless these take more than `limit` bytes."""
    counts = BlockCounts(ranges, features, 0 if first else limit)
    if first is not None:
        counts.add_chunk(first)
    for X, weights in _batches(parts):
        counts.add(X, weights, zeros=zeros)
    if not counts.rows:
        return Update(), None
    _add_zeros(counts.zeros, counts.bins, counts.count, counts.total)
    leaves = _leaves(counts.rows, counts.count, counts.total, counts.mass)
    update, chunk = Update(values=leaves, weight=float(counts.rows)), counts.chunk
    return update, None if chunk is None else Values(*chunk.sorted(), counts.zeros, counts.rows)
