"""Random numbers from a seed and a counter: the same draws wherever a batch was cut."""

from __future__ import annotations

import math

import numpy as np

from talkoot.kernels.compiled import inlined
from talkoot.kernels.trees.layout import DRAWS, SEED, Array


@inlined
def uniform(head: Array) -> float:
    """The next number in [0, 1) of the sequence in `head` (splitmix64)."""
    head[DRAWS] += 1
    z = np.uint64(head[SEED]) + np.uint64(head[DRAWS]) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * 2.0**-53


@inlined
def poisson(head: Array, rate: float) -> int:
    """The next Poisson number, by inversion."""
    u = uniform(head)
    p = math.exp(-rate)
    total, k = p, 0
    while u >= total and k < 1000:
        k += 1
        p *= rate / k
        total += p
    return k


@inlined
def subset(head: Array, size: int, mask: Array) -> None:
    """Set `size` places of `mask`, each subset as likely as any other."""
    left = min(size, mask.size)
    for j in range(mask.size):
        mask[j] = uniform(head) * (mask.size - j) < left
        if mask[j]:
            left -= 1
