"""Whole sums of the rows of leaves, in those bins of each column that a leaf may have."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.kernels.compiled import inlined, kernel


@inlined
def _find(where: Any, bins: Any, start: Any, stop: Any) -> None:
    """Write which entry each bin of a column has."""
    for i in range(start, stop):
        where[bins[i]] = i


@kernel
def sums_of_classes(
    words: Any, order: Any, places: Any, classes: Any, weights: Any, bins: Any, spans: Any, sums: Any
) -> None:
    """Add what rows weigh to the sum of their class, and their number.

    Args:
        words: (words, rows) uint32, the bins of all rows, of four columns in each.
        order: (rows,) the numbers of the rows, those of a leaf side by side.
        places: (leaves, 2) from where to where each has its rows.
        classes: (rows,) the class of each.
        weights: (rows,) int64 of all rows; empty where each weighs 1.
        bins: (entries,) uint8, which bins each leaf may have in each column.
        spans: (leaves * features + 1,) where these begin.
        sums: (entries, classes + 1) int64, written to.
    """
    where, features = np.zeros(256, np.int64), (len(spans) - 1) // len(places)
    for leaf in range(len(places)):
        rows = order[places[leaf, 0] : places[leaf, 1]]
        for j in range(features):
            own, shift, at = words[j // 4], np.uint32(8 * (j % 4)), leaf * features + j
            _find(where, bins, spans[at], spans[at + 1])
            for row in rows:
                entry = where[(own[row] >> shift) & np.uint32(255)]
                sums[entry, classes[row]] += weights[row] if len(weights) else 1
                sums[entry, -1] += 1


@kernel
def sums_of_parts(words: Any, order: Any, places: Any, parts: Any, bins: Any, spans: Any, sums: Any) -> None:
    """Add the parts of rows, (rows, parts) int64, and their number; all else as in `sums_of_classes`."""
    where, features, count = np.zeros(256, np.int64), (len(spans) - 1) // len(places), parts.shape[1]
    for leaf in range(len(places)):
        rows = order[places[leaf, 0] : places[leaf, 1]]
        for j in range(features):
            own, shift, at = words[j // 4], np.uint32(8 * (j % 4)), leaf * features + j
            _find(where, bins, spans[at], spans[at + 1])
            for row in rows:
                entry = where[(own[row] >> shift) & np.uint32(255)]
                for c in range(count):
                    sums[entry, c] += parts[row, c]
                sums[entry, -1] += 1
