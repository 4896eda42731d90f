"""Counts of values by bins of keys, block by block, in compiled code: values are not sorted."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from talkoot.learners.sums.chunk import Chunk
from talkoot.learners.sums.ranges import Ranges, keys, numbers
from talkoot.learners.sums.tally import columns_of

LEAST, GREATEST = keys([-np.inf, np.inf])


@final
class BlockCounts:
    """Counts of values within ranges, and these values as long as they take little memory.

    Args:
        ranges: what is counted.
        features: number of columns.
        limit: most bytes of values.
    """

    def __init__(self, ranges: Ranges, features: int, limit: int) -> None:
        from talkoot.kernels.intervals import tables

        self.bins = ranges.bins()
        sizes = ((ranges.high - ranges.low) // ranges.step).astype(np.int64) + 1
        below = np.clip(np.maximum(ranges.low, np.uint64(1)) - np.uint64(1), LEAST, GREATEST)
        spans, edges = np.searchsorted(ranges.column, np.arange(features + 1)), numbers(below)
        each = edges, ranges.low, ranges.high, ranges.step, np.cumsum(sizes) - sizes
        cut = [slice(a, b) for a, b in zip(spans[:-1].tolist(), spans[1:].tolist(), strict=True)]
        self.ranges = [tuple(values[own] for values in each) for own in cut]
        self.tables = list(zip(*tables(edges, spans), strict=True))
        self.count, self.total = np.zeros(len(self.bins), np.int64), np.zeros(len(self.bins), np.uint64)
        self.mass: np.ndarray | None = None
        self.rows, self.zeros = 0, np.zeros(features, np.int64)
        self.limit, self.chunk = limit, Chunk(features) if limit else None
        self._room = np.zeros(0, np.uint64), np.zeros(0, np.int64)  # keys and bins of a column of a block

    def add(self, X: Any, weights: np.ndarray | None, *, zeros: bool) -> None:
        """Count the values of a block, as `Chunk.add` collects them."""
        self.rows += X.shape[0]
        if weights is not None:
            X, weights = X[weights > 0], weights[weights > 0]
        for j, column in enumerate(columns_of(X)):
            if zeros:
                self.zeros[j] += X.shape[0] - len(column)
            if len(self.ranges[j][0]):
                self._add(j, np.ascontiguousarray(column, np.float64), weights)
        if self.chunk is not None and self.chunk.size > self.limit:
            self.chunk = None

    def add_chunk(self, chunk: Chunk) -> None:
        """Count what was collected."""
        self.rows, self.zeros = self.rows + chunk.rows, self.zeros + chunk.zeros
        for j, blocks in enumerate(chunk.found):
            for at, found in enumerate(blocks):
                self._add(j, numbers(found), chunk.mass[j][at] if chunk.mass[j] else None)

    def _add(self, j: int, values: np.ndarray, weights: np.ndarray | None) -> None:
        from talkoot.kernels.intervals import add_keys, add_weights, key_bins

        edges, *ranges = self.ranges[j]
        if len(values) > len(self._room[0]):
            self._room = np.empty(len(values), np.uint64), np.empty(len(values), np.int64)
        found, bins = (room[: len(values)] for room in self._room)
        if not key_bins(values, edges, self.tables[j], tuple(ranges), found, bins):
            return
        add_keys(found, bins, self.bins.first, self.count, self.total)
        if weights is not None:
            self.mass = np.zeros_like(self.count) if self.mass is None else self.mass
            add_weights(weights, bins, self.mass)
        if self.chunk is not None:
            own = bins >= 0
            self.chunk.append(j, found[own], None if weights is None else weights[own])
