"""Sums of whole gradients in bins, and which rows of a leaf go where.

Bins lie in words of 32 bits, of four columns each, so that what a row has in these is read at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.kernels.compiled import inlined, kernel
from talkoot.kernels.vectors import add_pair, fetch

BLOCK = 2048  # rows whose words stay near the processor while all columns are summed
AHEAD = 48  # rows whose memory is asked for in advance
MOST = 15  # sums of gradients hold the number of 2^15 rows at most


@kernel
def pack(columns: Any, at: Any, bins: Any) -> None:
    """Write the bins of some rows into words.

    Args:
        columns: (features, some) uint8, the bins of rows that lie side by side.
        at: the number of the first of them.
        bins: (words, rows) uint32, written to.
    """
    features, count = columns.shape
    for word in range(len(bins)):
        into = bins[word]
        for i in range(count):
            found = np.uint32(0)
            for j in range(4 * word, min(4 * word + 4, features)):
                found |= np.uint32(columns[j, i]) << np.uint32(8 * (j - 4 * word))
            into[at + i] = found


@inlined
def _add_pairs(words: Any, rows: Any, width: Any, pairs: Any, into: Any) -> None:
    """Add pairs to the bins of four columns; behind the `rows` that are added come `AHEAD` more."""
    for i in range(len(rows) - AHEAD):
        fetch(words, rows[i + AHEAD])
        word = np.intp(words[rows[i]])
        a, b = (word << 1) & 510, 2 * width + ((word >> 7) & 510)
        c, d = 4 * width + ((word >> 15) & 510), 6 * width + ((word >> 23) & 510)
        add_pair(into, (a, b, c, d), pairs, 2 * i)


@inlined
def _gather(pairs: Any, rows: Any, own: Any) -> None:
    """The pairs of some rows, side by side; behind these rows come `AHEAD` more."""
    flat = pairs.reshape(-1)
    if pairs.shape[1] == 2:
        for i in range(len(rows) - AHEAD):
            fetch(flat, 2 * rows[i + AHEAD])
            own[2 * i], own[2 * i + 1] = flat[2 * rows[i]], flat[2 * rows[i] + 1]
    else:
        for i in range(len(rows) - AHEAD):
            fetch(flat, rows[i + AHEAD])
            own[2 * i], own[2 * i + 1] = flat[rows[i]], 1


@inlined
def _take_out(held: Any, shift: Any, sums: Any) -> None:
    """Move sums to where the number of rows stands apart."""
    features, width = sums.shape[0], sums.shape[1]
    for j in range(features):
        own, into = held[j // 4], sums[j]
        for b in range(width):
            at = 2 * (j % 4 * width + b)
            into[b, 0] += own[at] >> shift
            into[b, 1] += own[at + 1]
            if shift:
                into[b, 2] += own[at] & ((1 << shift) - 1)
    held[:] = 0


@inlined
def _sum_rows(bins: Any, rows: Any, pairs: Any, shift: Any, held: Any, sums: Any) -> None:
    """Add some rows to the bins of each column, a block after the other."""
    width, often, since = sums.shape[1], 1 << (shift - 1) if shift else len(rows), 0
    own, some = np.empty(2 * BLOCK, np.int64), np.empty(BLOCK + AHEAD, np.uintp)
    for start in range(0, len(rows), BLOCK):
        count = min(BLOCK, len(rows) - start)
        some[:count] = rows[start : start + count]
        some[count : count + AHEAD] = some[count - 1]
        _gather(pairs, some[: count + AHEAD], own)
        for word in range(len(bins)):
            _add_pairs(bins[word], some[: count + AHEAD], width, own, held[word])
        since += count
        if since + BLOCK > often or start + BLOCK >= len(rows):
            _take_out(held, shift, sums)
            since = 0


@kernel
def sums_of_leaves(bins: Any, order: Any, places: Any, pairs: Any, shift: Any, sums: Any) -> None:
    """Add pairs of whole numbers, as of gradient and Hessian, of the rows of some leaves to a histogram each.

    Two numbers are added at once; a third one, the number of rows, may stand below the first.

    Args:
        bins: (words, rows) uint32.
        order: (rows,) the numbers of the rows, those of a leaf side by side.
        places: (leaves, 2) from where to where each has its rows.
        pairs: (rows, 2) int64; or (rows, 1), where each second number is 1.
        shift: what `counting_bits` gives, where 1 stands in so many lowest bits of the first number; or 0.
        sums: (leaves, features, bins, 2) int64; with a `shift` (leaves, features, bins, 3), rows last.
    """
    held = np.zeros((len(bins), 8 * sums.shape[2]), np.int64)
    for leaf in range(len(places)):
        rows = order[places[leaf, 0] : places[leaf, 1]]
        _sum_rows(bins, rows, pairs, shift, held, sums[leaf])


def counting_bits(greatest: int) -> int:
    """How many bits below numbers up to `greatest` count rows, so that 64 hold a sum of some blocks, or 0.

    >>> counting_bits(1), counting_bits((1 << 40) - 1), counting_bits(1 << 40)
    (16, 12, 0)
    """
    bits = min((62 - greatest.bit_length()) // 2, MOST)
    return bits + 1 if 1 << bits >= BLOCK else 0


@kernel
def scale(sums: Any, gradient: Any, hessian: Any, into: Any) -> None:
    """Histograms as floats.

    Args:
        sums: (features, bins, 3 or 2), gradient, Hessian (if there are any) and number of rows.
        gradient: what a unit of gradients is.
        hessian: what a unit of Hessians is.
        into: (features, bins) with fields `sum_gradients`, `sum_hessians` and `count`; the second is left
            as it is where there are no Hessians.
    """
    features, bins, last = sums.shape[0], sums.shape[1], sums.shape[2] - 1
    for j in range(features):
        for b in range(bins):
            into[j, b].sum_gradients = sums[j, b, 0] * gradient
            into[j, b].count = sums[j, b, last]
            if last == 2:
                into[j, b].sum_hessians = sums[j, b, 1] * hessian


@kernel
def difference(histogram: Any, other: Any, into: Any) -> None:
    """A histogram of floats less another, both (features, bins) as `scale` leaves them."""
    for j in range(histogram.shape[0]):
        for b in range(histogram.shape[1]):
            every, own, rest = histogram[j, b], other[j, b], into[j, b]
            rest.sum_gradients = every.sum_gradients - own.sum_gradients
            rest.sum_hessians = every.sum_hessians - own.sum_hessians
            rest.count = every.count - own.count


@kernel
def _part(rows: Any, words: Any, shift: Any, goes_left: Any) -> Any:
    """How many rows go to the left: these come first then."""
    right = np.empty_like(rows)
    a = b = 0
    for i in range(len(rows)):
        fetch(words, np.uintp(rows[min(i + AHEAD, len(rows) - 1)]))
        row = rows[i]
        left = goes_left[(words[row] >> shift) & np.uint32(255)]
        rows[a] = row
        right[b] = row
        a += left
        b += not left
    rows[a:] = right[:b]
    return a


@kernel
def divide(bins: Any, order: Any, places: Any, splits: Any, goes_left: Any) -> None:
    """Divide leaves one after the other; rows stay in the order that they have.

    Args:
        bins: (words, rows) uint32.
        order: (rows,) the numbers of the rows, those of a leaf side by side; changed in place.
        places: (parts, 2) from where to where each part has its rows; changed in place.
        splits: (splits, 3 or more) left child, parent, feature.
        goes_left: (splits, bins) whether a bin goes to the left.
    """
    for s in range(len(splits)):
        child, parent, j = splits[s, 0], splits[s, 1], splits[s, 2]
        start, stop = places[parent, 0], places[parent, 1]
        middle = start + _part(order[start:stop], bins[j // 4], np.uint32(8 * (j % 4)), goes_left[s])
        places[parent, 1] = start
        places[child, 0], places[child, 1] = start, middle
        places[child + 1, 0], places[child + 1, 1] = middle, stop
