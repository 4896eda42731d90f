"""HDDM_A, HDDM_W and Page-Hinkley: tests of a mean that need a few numbers only.

Each function changes `reals` in place and writes a row of `found` for each alarm: index of the value, rows
before and after the change, and the means there; after an alarm it starts anew.
"""

from __future__ import annotations

import math

import numpy as np

from talkoot.kernels.compiled import kernel

Reals = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


@kernel
def _rises(n: float, mean: float, n_low: float, low: float, log: float) -> bool:
    """Whether the mean of `n` values is above that of their first `n_low` by more than Hoeffding's bound."""
    return n != n_low and mean - low >= math.sqrt((n - n_low) / n_low * (1.0 / n) / 2.0 * log)


@kernel
def _note(found: Reals, at: int, i: int, n: float, mean: float, n_cut: float, cut: float) -> None:
    """Write an alarm: the mean of the first `n_cut` of `n` values and the mean of the others."""
    after = n - n_cut
    found[at, 0], found[at, 1], found[at, 2] = i, n_cut, after
    found[at, 3], found[at, 4] = cut, (mean * n - cut * n_cut) / after


@kernel
def hddm_a(settings: Reals, reals: Reals, values: Reals, rows: Reals, found: Reals) -> int:
    """Means by Hoeffding's bound; `values[i]` is the mean of `rows[i]` rows, such as a sum over nodes.

    `reals`: rows and mean of all, of the cut of lowest upper bound, of the cut of highest lower bound.
    """
    confidence, two_sided = settings[0], settings[1]
    log, bound, alarms = math.log(2.0 / confidence), math.log(1.0 / confidence), 0
    for i in range(len(values)):
        reals[0] += rows[i]
        reals[1] += (values[i] - reals[1]) * rows[i] / reals[0]
        if reals[2] == 0.0:
            reals[2], reals[3], reals[4], reals[5] = reals[0], reals[1], reals[0], reals[1]
        width = math.sqrt(1.0 / (2.0 * reals[0]) * bound)
        if reals[3] + math.sqrt(1.0 / (2.0 * reals[2]) * bound) >= reals[1] + width:
            reals[2], reals[3] = reals[0], reals[1]
        if reals[5] - math.sqrt(1.0 / (2.0 * reals[4]) * bound) <= reals[1] - width:
            reals[4], reals[5] = reals[0], reals[1]
        if _rises(reals[0], reals[1], reals[2], reals[3], log):
            _note(found, alarms, i, reals[0], reals[1], reals[2], reals[3])
        elif two_sided != 0.0 and _rises(reals[0], -reals[1], reals[4], -reals[5], log):
            _note(found, alarms, i, reals[0], reals[1], reals[4], reals[5])
        else:
            continue
        alarms += 1
        reals[:] = 0.0
    return alarms


@kernel
def _fade(one: Reals, value: float, share: float) -> None:
    """Add a value to a fading mean: started (0 or 1), mean, bound's factor, rows."""
    one[1] = value if one[0] == 0.0 else share * value + (1.0 - share) * one[1]
    one[0] = 1.0
    one[2] = share * share + (1.0 - share) ** 2 * one[2]
    one[3] += 1.0


@kernel
def _clear(one: Reals) -> None:
    """A fading mean of nothing."""
    one[:] = 0.0
    one[2] = 1.0


@kernel
def _differ(low: Reals, high: Reals, log: float) -> bool:
    """Whether `high` is above `low` by more than McDiarmid's bound."""
    bound = math.sqrt((low[2] + high[2]) * log / 2.0)
    return bool(low[0] != 0.0 and high[0] != 0.0 and high[1] - low[1] > bound)


@kernel
def hddm_w(settings: Reals, reals: Reals, values: Reals, found: Reals) -> int:
    """Fading means by McDiarmid's bound.

    `reals` (6, 4): of all; before and after the cut of a rise, then of a fall; the two cut points.
    """
    confidence, share, two_sided, alarms = settings[0], settings[1], settings[2], 0
    log = math.log(1.0 / confidence)
    for i in range(len(values)):
        _fade(reals[0], values[i], share)
        width = math.sqrt(reals[0, 2] * log / 2.0)
        for side in range(2):
            sign = 1.0 - 2.0 * side
            edge = sign * reals[0, 1] + width
            if edge < reals[5, side]:
                reals[5, side] = edge
                reals[1 + 2 * side, :] = reals[0]
                _clear(reals[2 + 2 * side])
            else:
                _fade(reals[2 + 2 * side], values[i], share)
        if _differ(reals[1], reals[2], log):
            side = 0
        elif two_sided != 0.0 and _differ(reals[4], reals[3], log):
            side = 1
        else:
            continue
        before, after = reals[1 + 2 * side], reals[2 + 2 * side]
        found[alarms, 0], found[alarms, 1], found[alarms, 2] = i, before[3], after[3]
        found[alarms, 3], found[alarms, 4] = before[1], after[1]
        alarms += 1
        for k in range(5):
            _clear(reals[k])
        reals[5, :] = np.inf
    return alarms


@kernel
def page_hinkley(settings: Reals, reals: Reals, values: Reals, found: Reals) -> int:
    """Sums of deviations from the mean that forget slowly, against their lowest and highest value.

    `reals`: rows, mean, both sums, lowest, highest, then rows and mean at the lowest and at the highest.
    """
    least, delta, threshold, alpha = settings[0], settings[1], settings[2], settings[3]
    up, down, alarms = settings[4] != 0.0, settings[5] != 0.0, 0
    for i in range(len(values)):
        reals[0] += 1.0
        reals[1] += (values[i] - reals[1]) / reals[0]
        gap = values[i] - reals[1]
        reals[2] = alpha * reals[2] + gap - delta
        reals[3] = alpha * reals[3] + gap + delta
        if reals[2] < reals[4]:
            reals[4], reals[6], reals[7] = reals[2], reals[0], reals[1]
        if reals[3] > reals[5]:
            reals[5], reals[8], reals[9] = reals[3], reals[0], reals[1]
        if reals[0] < least:
            continue
        if up and reals[2] - reals[4] > threshold:
            _note(found, alarms, i, reals[0], reals[1], reals[6], reals[7])
        elif down and reals[5] - reals[3] > threshold:
            _note(found, alarms, i, reals[0], reals[1], reals[8], reals[9])
        else:
            continue
        alarms += 1
        reals[:] = 0.0
        reals[4], reals[5] = np.inf, -1.0
    return alarms
