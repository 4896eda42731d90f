"""Naive Bayes, row by row: normal numbers and counted categories of each class."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.kernels.compiled import inlined, kernel

HUGE = 1e150
FLOOR = 1e-9  # of a column's whole variance, as a class's least


@inlined
def _score(numbers: Any, i: int, k: int, classes: Any, moments: Any, whole: Any, floors: Any) -> Any:
    """The logarithm of the class's share, and of the density of the numbers of row i in it."""
    score = np.log((classes[k] + 1.0) / (classes.sum() + classes.shape[0]))
    for j in range(whole.shape[1]):
        x = numbers[i, j]
        n = moments[0, k, j]
        spread = moments[2, k, j] / n if n > 1.0 else floors[j] / FLOOR
        spread += floors[j]
        if abs(x) < HUGE and spread > 0.0:
            mean = moments[1, k, j] if n > 0.0 else whole[1, j]
            score -= 0.5 * (np.log(2.0 * np.pi * spread) + (x - mean) ** 2 / spread)
    return score


@inlined
def _add(x: float, w: float, moments: Any, k: int, j: int) -> None:
    """Take a number into the moments of a class."""
    moments[0, k, j] += w
    away = x - moments[1, k, j]
    moments[1, k, j] += away * w / moments[0, k, j]
    moments[2, k, j] += w * away * (x - moments[1, k, j])


@inlined
def _learn(
    numbers: Any,
    i: int,
    k: int,
    w: float,
    at: Any,
    classes: Any,
    moments: Any,
    all_: Any,
    counts: Any,
    kinds: Any,
) -> None:
    """Count row i in class k."""
    classes[k] += w
    for j in range(numbers.shape[1]):
        if abs(numbers[i, j]) < HUGE:
            _add(numbers[i, j], w, moments, k, j)
            _add(numbers[i, j], w, all_, 0, j)
    for j in range(at.shape[0]):
        if at[j] >= 0:
            if counts[j, :, at[j]].sum() == 0.0:
                kinds[j] += 1.0
            counts[j, k, at[j]] += w


@kernel
def naive_bayes(
    numbers: Any,
    categories: Any,
    y: Any,
    weigh: Any,
    classes: Any,
    moments: Any,
    whole: Any,
    counts: Any,
    totals: Any,
    kinds: Any,
    smoothing: float,
) -> Any:
    """Probabilities of classes for each row before it is learned; (rows, classes).

    Args:
        numbers: (rows, numbers).
        categories: hashes, (rows, categories).
        y: codes of classes; nan is not learned.
        weigh: weights of rows; 0 is not learned.
        classes: rows of each class.
        moments: count, mean, squared differences of each class and number; (3, classes, numbers).
        whole: the same of all classes; (3, 1, numbers).
        counts: (categories, classes, slots).
        totals: rows of each class that have the category; (categories, classes).
        kinds: how many slots of each category are in use.
        smoothing: added to each count.
    """
    rows, outputs = numbers.shape[0], classes.shape[0]
    out = np.empty((rows, outputs))
    at, floors = np.empty(categories.shape[1], np.int64), np.empty(numbers.shape[1])
    mask = np.uint64(counts.shape[2] - 1)
    for i in range(rows):
        for j in range(at.shape[0]):
            at[j] = np.int64(categories[i, j] & mask) if categories[i, j] != np.uint64(0) else -1
        for j in range(floors.shape[0]):
            floors[j] = FLOOR * whole[2, 0, j] / whole[0, 0, j] if whole[0, 0, j] > 0.0 else 0.0
        for k in range(outputs):
            out[i, k] = _score(numbers, i, k, classes, moments, whole[:, 0], floors)
            for j in range(at.shape[0]):
                if at[j] >= 0:
                    slots = kinds[j] + (1.0 if counts[j, :, at[j]].sum() == 0.0 else 0.0)
                    share = (counts[j, k, at[j]] + smoothing) / (totals[j, k] + smoothing * slots)
                    out[i, k] += np.log(share)
        out[i] = np.exp(out[i] - out[i].max())
        out[i] /= out[i].sum()
        if y[i] == y[i] and weigh[i] != 0.0:
            k = int(y[i])
            _learn(numbers, i, k, weigh[i], at, classes, moments, whole, counts, kinds)
            for j in range(at.shape[0]):
                totals[j, k] += weigh[i] if at[j] >= 0 else 0.0
    return out
