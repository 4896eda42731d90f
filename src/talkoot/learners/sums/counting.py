"""A node's part of a selection: count its values in bins of keys, in one pass over its rows.

Once the values within the ranges fit the node's share of 256 MB, it caches them, sorted, and does not read
its rows again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.core.update import Update
from talkoot.learners.sums.ranges import Ranges, keys
from talkoot.learners.sums.tally import columns_of

KEY_BYTES = 1 << 28  # bytes of cached keys, over all nodes of a run

TOTAL = "total"  # a leaf: see `Values.count`

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
        """The leaves rows, count and total, and mass where rows have weights, all integers.

        For each bin, `count` is the number of values, `total` the sum of their distances from the bin's first
        key modulo 2^64, `mass` the sum of their weights.
        """
        bins = ranges.bins()
        count, total = np.zeros(len(bins), np.int64), np.zeros(len(bins), np.uint64)
        mass = None if self.mass is None else np.zeros(len(bins), np.int64)
        spans, zero = bins.spans(len(self.found)), keys([0.0])
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
            at = int(np.searchsorted(first, zero[0], side="right")) - 1
            if self.zeros[j] and at >= 0 and zero[0] <= last[at]:
                count[own.start + at] += self.zeros[j]
                total[own.start + at] += np.uint64(self.zeros[j]) * (zero[0] - first[at])
        leaves = {"rows": np.array([self.rows]), "count": count, TOTAL: total.view(np.int64)}
        return leaves if mass is None else leaves | {"mass": mass}


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


def passes(
    parts: Iterable[Part], ranges: Ranges, features: int, limit: int, *, zeros: bool
) -> Iterator[Values]:
    """The values within `ranges`, without NaN, in chunks of about `limit` bytes of keys and weights.

    With `zeros`, what sparse rows do not store counts as 0.
    """
    chunk = _Chunk(features)
    for X, weights in parts:
        chunk.add(X, weights, ranges, zeros=zeros)
        if chunk.size > limit:
            yield chunk.values()
            chunk = _Chunk(features)
    if chunk.rows:
        yield chunk.values()


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
    limit = KEY_BYTES // max(1, nodes)
    read = iter([cached]) if cached is not None else passes(parts, ranges, features, limit, zeros=zeros)
    update, chunks = Update(), 0
    for values in read:
        update += Update(values=values.count(ranges), weight=float(values.rows))
        chunks += 1
    return update, values if chunks == 1 else None


class _Chunk:
    """Values collected from blocks."""

    def __init__(self, features: int) -> None:
        self.found: list[list[np.ndarray]] = [[] for _ in range(features)]
        self.mass: list[list[np.ndarray]] = [[] for _ in range(features)]
        self.weighted = False
        self.zeros = np.zeros(features, np.int64)
        self.rows = self.size = 0

    def add(self, X: Any, weights: np.ndarray | None, ranges: Ranges, *, zeros: bool) -> None:
        """Add the values of a block; only dense rows have weights."""
        self.rows += X.shape[0]
        whole = ranges.everything
        self.weighted |= weights is not None
        for j, values in enumerate(columns_of(X)):
            if zeros:
                self.zeros[j] += X.shape[0] - len(values)
            found, known = keys(values), ~np.isnan(values)
            known = known if whole else known & ranges.hold(j, found)
            if weights is not None:
                known &= weights > 0
                self.mass[j].append(weights[known])
            self.found[j].append(found[known])
            self.size += self.found[j][-1].nbytes * (1 if weights is None else 2)

    def values(self) -> Values:
        """All of them, sorted."""
        found = tuple(np.concatenate(blocks) for blocks in self.found)
        if not self.weighted:
            for column in found:
                column.sort()
            return Values(found, None, self.zeros, self.rows)
        order = [np.argsort(column) for column in found]
        mass = [np.concatenate(blocks) for blocks in self.mass]
        return Values(
            tuple(column[by] for column, by in zip(found, order, strict=True)),
            tuple(column[by] for column, by in zip(mass, order, strict=True)),
            self.zeros,
            self.rows,
        )
