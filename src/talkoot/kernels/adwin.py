"""ADWIN: a window of buckets whose sizes double, which is cut where the means of its halves differ.

`ints` holds width, tick and the number of levels; `reals` total and sum of squared deviations. Level `k` has
`counts[k]` buckets of 2 ** k values, the oldest first.
"""

from __future__ import annotations

import math

import numpy as np

from talkoot.kernels.compiled import kernel

Ints = np.ndarray[tuple[int, ...], np.dtype[np.int64]]
Reals = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@kernel
def _insert(value: float, ints: Ints, reals: Reals, counts: Ints, sums: Reals, squares: Reals) -> None:
    """Add one value and merge the two oldest buckets of each level that is full."""
    sums[0, counts[0]], squares[0, counts[0]] = value, 0.0
    counts[0] += 1
    ints[0] += 1
    if ints[0] > 1:
        gap = value - reals[0] / (ints[0] - 1)
        reals[1] += (ints[0] - 1) * gap * gap / ints[0]
    reals[0] += value
    level, size, most = 0, 1.0, sums.shape[1]
    while counts[level] == most:
        gap = sums[level, 0] / size - sums[level, 1] / size
        above, place = level + 1, counts[level + 1]
        sums[above, place] = sums[level, 0] + sums[level, 1]
        squares[above, place] = (
            squares[level, 0] + squares[level, 1] + size * size * gap * gap / (size + size)
        )
        counts[above] += 1
        ints[2] = max(ints[2], above + 1)
        for k in range(2, most):
            sums[level, k - 2], squares[level, k - 2] = sums[level, k], squares[level, k]
        counts[level] -= 2
        level, size = above, size * 2.0


@kernel
def _differs(ints: Ints, reals: Reals, counts: Ints, sums: Reals, delta: float, least: float) -> bool:
    """Whether some cut leaves two halves whose means differ by more than chance."""
    width = float(ints[0])
    spread = math.log(2.0 * math.log(width) / delta)
    variance = reals[1] / width
    sure = 1.999999 * variance * spread * width  # below it no bound is reached, and no division is needed
    n0, n1, u0, u1 = 0.0, width, 0.0, reals[0]
    for level in range(ints[2] - 1, -1, -1):
        size = 2.0**level
        for k in range(counts[level] - (level == 0)):
            n0, n1 = n0 + size, n1 - size
            u0, u1 = u0 + sums[level, k], u1 - sums[level, k]
            if n0 >= least and n1 >= least and (u0 * n1 - u1 * n0) ** 2 > sure * n0 * n1:
                m = 1.0 / (n0 - least + 1.0) + 1.0 / (n1 - least + 1.0)
                bound = math.sqrt(2.0 * m * variance * spread) + 2.0 / 3.0 * spread * m
                if abs(u0 / n0 - u1 / n1) > bound:
                    return True
    return False


@kernel
def _drop(ints: Ints, reals: Reals, counts: Ints, sums: Reals, squares: Reals) -> None:
    """Forget the oldest bucket."""
    level = ints[2] - 1
    size, total, spread = 2.0**level, sums[level, 0], squares[level, 0]
    ints[0] -= np.int64(size)
    reals[0] -= total
    gap = total / size - reals[0] / ints[0]
    reals[1] -= spread + size * ints[0] * gap * gap / (size + ints[0])
    for k in range(1, counts[level]):
        sums[level, k - 1], squares[level, k - 1] = sums[level, k], squares[level, k]
    counts[level] -= 1
    while ints[2] > 1 and counts[ints[2] - 1] == 0:
        ints[2] -= 1


@kernel
def _note_cut(ints: Ints, reals: Reals, counts: Ints, sums: Reals, found: Reals) -> None:
    """Write rows and means on both sides of the cut that explains most."""
    n0, n1, u0, u1, best = 0.0, float(ints[0]), 0.0, reals[0], -1.0
    for level in range(ints[2] - 1, -1, -1):
        size = 2.0**level
        for k in range(counts[level] - (level == 0)):
            n0, n1 = n0 + size, n1 - size
            u0, u1 = u0 + sums[level, k], u1 - sums[level, k]
            gain = (u0 / n0 - u1 / n1) ** 2 * n0 * n1
            if gain > best:
                best = gain
                found[1], found[2], found[3], found[4] = n0, n1, u0 / n0, u1 / n1


@kernel
def adwin(
    settings: Reals, ints: Ints, reals: Reals, counts: Ints, sums: Reals, squares: Reals, values: Reals,
    found: Reals,
) -> int:  # fmt: skip
    """Add values; a row of `found` for each alarm, after which the window starts anew."""
    delta, clock, least, grace = settings[0], np.int64(settings[1]), settings[2], np.int64(settings[3])
    alarms = 0
    for i in range(len(values)):
        _insert(values[i], ints, reals, counts, sums, squares)
        ints[1] += 1
        if ints[1] % clock != 0 or ints[0] <= grace:
            continue
        if not _differs(ints, reals, counts, sums, delta, least):
            continue
        _note_cut(ints, reals, counts, sums, found[alarms])
        found[alarms, 0] = i
        alarms += 1
        ints[:], reals[:], counts[:] = 0, 0.0, 0
        ints[2] = 1
    return alarms
