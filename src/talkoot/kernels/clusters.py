"""k-means, row by row."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.kernels.compiled import inlined, kernel

HUGE = 1e150


@inlined
def _distance(numbers: Any, i: int, c: int, centers: Any, counts: Any, first: Any, moments: Any) -> Any:
    """The squared distance of row i to a center, in deviations; one without rows stands at `first`."""
    total = 0.0
    for j in range(centers.shape[1]):
        x = numbers[i, j]
        if abs(x) < HUGE and moments[2, j] > 0.0:
            deviation = np.sqrt(moments[2, j] / moments[0, j])
            if counts[c] > 0.0:
                total += ((x - centers[c, j]) / deviation) ** 2
            else:
                total += ((x - moments[1, j]) / deviation - first[c, j]) ** 2
    return total


@inlined
def _take_in(
    numbers: Any, i: int, w: float, c: int, centers: Any, counts: Any, moments: Any, least: float
) -> None:
    """Move center c to the mean of its rows; a number that is missing counts as the center's own."""
    counts[c] += w
    share = max(w / counts[c], least)
    for j in range(centers.shape[1]):
        x = numbers[i, j]
        there = abs(x) < HUGE
        if there:
            moments[0, j] += w
            away = x - moments[1, j]
            moments[1, j] += away * w / moments[0, j]
            moments[2, j] += w * away * (x - moments[1, j])
        if counts[c] == w:
            centers[c, j] = x if there else moments[1, j]
        elif there:
            centers[c, j] += share * (x - centers[c, j])


@kernel
def k_means(
    numbers: Any, weigh: Any, centers: Any, counts: Any, first: Any, moments: Any, least: float
) -> Any:
    """The nearest center of each row before it is learned; rows of weight 0 are not learned.

    Args:
        numbers: (rows, numbers).
        weigh: weights of rows.
        centers: (clusters, numbers).
        counts: rows of each cluster.
        first: where centers without rows stand, in deviations from the mean; (clusters, numbers).
        moments: count, mean and squared differences of each number.
        least: the least share by which a row moves its center.
    """
    rows, clusters = numbers.shape[0], centers.shape[0]
    out = np.empty(rows, np.intp)
    for i in range(rows):
        nearest, least_distance = 0, np.inf
        for c in range(clusters):
            distance = _distance(numbers, i, c, centers, counts, first, moments)
            if distance < least_distance:
                nearest, least_distance = c, distance
        out[i] = nearest
        if weigh[i] != 0.0:
            _take_in(numbers, i, weigh[i], nearest, centers, counts, moments, least)
    return out
