"""Between which edges values lie: a table of even cells leads near, halving finds."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.kernels.compiled import inlined, kernel

CELLS = 2048  # of a column's table


@inlined
def _cell(x: Any, scale: Any, offset: Any) -> Any:
    """The cell of a number: greater numbers never have a lower one, whatever is rounded."""
    at = x * scale - offset
    if not at > 0:
        return 0
    return CELLS - 1 if at >= CELLS - 1 else int(at)


@inlined
def _place(x: Any, edges: Any, first: Any, starts: Any, scale: Any, offset: Any) -> Any:
    """How many edges of a column, which begin at `first`, lie below a number."""
    cell = _cell(x, scale, offset)
    low, high = first + starts[cell], first + starts[cell + 1]
    while low < high:
        middle = (low + high) >> 1
        if edges[middle] < x:
            low = middle + 1
        else:
            high = middle
    return low - first


@kernel
def tables(edges: Any, spans: Any) -> Any:
    """(starts, scales, offsets): for each column how many edges lie in lower cells, and where cells lie.

    Args:
        edges: ascending numbers of all columns, one column after the other.
        spans: (columns + 1,) where the edges of each column begin.
    """
    columns = len(spans) - 1
    starts = np.zeros((columns, CELLS + 1), np.int64)
    scales, offsets = np.zeros(columns), np.zeros(columns)
    for j in range(columns):
        begin, end = spans[j], spans[j + 1]
        if end - begin > 1:
            scale = CELLS / 2 / (edges[end - 1] / 2 - edges[begin] / 2)
            if 0 < scale < np.inf and abs(edges[begin] * scale) < np.inf:
                scales[j], offsets[j] = scale, edges[begin] * scale
        for i in range(begin, end):
            starts[j, _cell(edges[i], scales[j], offsets[j]) + 1] += 1
        for cell in range(CELLS):
            starts[j, cell + 1] += starts[j, cell]
    return starts, scales, offsets


@kernel
def bins_of(columns: Any, edges: Any, spans: Any, table: Any, missing: Any, bins: Any) -> None:
    """The bin of each value: how many edges of its column lie below it; `missing` for NaN.

    Args:
        columns: (columns, rows) float64.
        edges: as in `tables`, fewer than 256 of each column.
        spans: as in `tables`.
        table: what `tables` gives for them.
        missing: the bin of NaN.
        bins: (columns, rows) uint8, written to.
    """
    starts, scales, offsets = table
    for j in range(len(columns)):
        own, into, first = columns[j], bins[j], spans[j]
        cells, scale, offset = starts[j], scales[j], offsets[j]
        for i in range(len(own)):
            x = own[i]
            into[i] = missing if np.isnan(x) else _place(x, edges, first, cells, scale, offset)


@kernel
def key_bins(values: Any, edges: Any, table: Any, ranges: Any, keys: Any, bins: Any) -> Any:
    """The keys of a column's values, and their bins in ranges of keys (see `learners.sums.ranges`).

    Args:
        values: (values,) float64.
        edges: (ranges,) numbers below the least key of each range, and not below those of the range before.
        table: what `tables` gives for `edges`, of this column.
        ranges: (low, high, step, first) of each range: its keys, keys in a bin, number of its first bin.
        keys: (values,) uint64, written to.
        bins: (values,) int64, written to; -1 for NaN and where no range holds a key.

    Returns:
        How many values have a bin.
    """
    lows, highs, steps, firsts = ranges
    cells, scale, offset = table
    last, found, bits = len(lows) - 1, 0, values.view(np.uint64)
    for i in range(len(values)):
        x, r = values[i], 0
        bit = bits[i] if x != 0 else np.uint64(0)
        key = bit ^ ((np.uint64(0) - (bit >> np.uint64(63))) | np.uint64(1 << 63))
        keys[i], bins[i] = key, -1
        if np.isnan(x):
            continue
        if last:
            r = max(_place(x, edges, 0, cells, scale, offset) - 1, 0)
            while r < last and lows[r + 1] <= key:
                r += 1
        if key < lows[r] or key > highs[r]:
            continue
        bins[i] = firsts[r] + np.int64((key - lows[r]) // steps[r])
        found += 1
    return found


@kernel
def add_keys(keys: Any, bins: Any, first: Any, count: Any, total: Any) -> None:
    """Add values to the number of each bin, and their distances from its `first` key to its total."""
    for i in range(len(bins)):
        b = bins[i]
        if b >= 0:
            count[b] += 1
            total[b] += keys[i] - first[b]


@kernel
def add_weights(weights: Any, bins: Any, mass: Any) -> None:
    """Add the weights of values to their bins."""
    for i in range(len(bins)):
        if bins[i] >= 0:
            mass[bins[i]] += weights[i]
