"""Merging what nodes learned apart: changes that add up, put into a state by pure functions.

A weight moves by the sum of its changes over the root of the number of nodes that changed it: with the sum,
nodes that agree would overshoot; with the mean, many nodes would learn no faster than one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkoot.learners.online.optimisers import Optimiser
from talkoot.learners.online.state import State

Steps = Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]  # (summed change, nodes that touched it) -> step


def by_root(total: NDArray[Any], touched: NDArray[Any]) -> NDArray[Any]:
    """The sum of changes over the root of how many there are.

    >>> by_root(np.array([4.0, 0.0]), np.array([4.0, 0.0]))
    array([2., 0.])
    """
    step: NDArray[Any] = total / np.sqrt(np.maximum(touched, 1.0))
    return step


def by_mean(total: NDArray[Any], touched: NDArray[Any]) -> NDArray[Any]:
    """The mean of changes, which never leaves the range of what nodes found.

    >>> by_mean(np.array([4.0, 0.0]), np.array([4.0, 0.0]))
    array([1., 0.])
    """
    step: NDArray[Any] = total / np.maximum(touched, 1.0)
    return step


def moments_change(after: NDArray[Any], before: NDArray[Any]) -> NDArray[Any]:
    """Count, sum and sum of squares, about the mean before, of what came since; these add up over nodes.

    Args:
        after: count, mean and sum of squared differences in lines.
        before: the same, earlier.
    """
    n, moved = after[0], after[1] - before[1]
    return np.stack([n - before[0], n * moved, after[2] + n * moved**2 - before[2]])


def moments_apply(before: NDArray[Any], change: NDArray[Any]) -> NDArray[Any]:
    """Count, mean and sum of squared differences with what came since.

    >>> one = np.array([[2.0], [1.0], [2.0]])  # of 0 and 2
    >>> two = np.array([[3.0], [2.0], [8.0]])  # of 0, 2 and 4
    >>> bool((moments_apply(one, moments_change(two, one)) == two).all())
    True
    """
    n = before[0] + change[0]
    share = np.divide(change[1], n, out=np.zeros_like(n), where=n > 0)
    return np.stack([n, before[1] + share, np.maximum(before[2] + change[2] - change[1] * share, 0.0)])


STEPS = (("weights", "sums"), ("factors", "factor_sums"))  # what moves by steps, and its squared gradients


def linear_change(state: State, before: State) -> State:
    """What a linear model or factorisation machine learned since `before`, and which weights it touched."""
    change = {name: moments_change(state[name], before[name]) for name in ("moments", "target")}
    for name, sums in STEPS:
        if name in state:
            touched = (state[sums] != before[sums]) | (state[name] != before[name])
            change[name] = state[name] - before[name]
            change[sums] = state[sums] - before[sums]
            change[f"touched/{name}"] = touched.astype(np.float64)
    return change


def linear_apply(state: State, change: State, optimiser: Optimiser, steps: Steps = by_root) -> State:
    """A new state: weights by `steps`, sums of squared gradients and moments by their sum."""
    merged = dict(state)
    for name in ("moments", "target"):
        merged[name] = moments_apply(state[name], change[name])
    for name, sums in STEPS:
        if name in state:
            merged[name] = state[name] + steps(change[name], change[f"touched/{name}"])
            merged[sums] = np.maximum(state[sums] + change[sums], 0.0)
    if optimiser.has_leads:
        _, rate, beta, l1, l2 = optimiser.numbers()
        pull = (beta + np.sqrt(merged["sums"])) / rate + l2
        merged["leads"] = -(merged["weights"] * pull + np.sign(merged["weights"]) * l1)
    return merged


def guarded(bold: Sequence[float], careful: Sequence[float]) -> bool:
    """Whether the step by the root is taken, by both candidates' losses on rows that neither has learned.

    A node scores both on its next rows before it learns from them; what is not finite loses.

    >>> guarded([0.51, 0.52], [0.53, 0.50]), guarded([np.inf], [0.7])
    (True, False)
    """
    total = float(np.sum(bold))
    return bool(np.isfinite(total) and total <= np.sum(careful))
