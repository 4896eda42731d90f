"""Predictions that need no model: the last label, and the most frequent one or the mean."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from talkoot.learners.online.state import State

Floats = NDArray[np.float64]


def start(classes: int) -> State:
    """No label yet: repeats among labels that could repeat, the last label, counts of classes (rows, sum)."""
    return {"repeats": np.array([0.0, 0.0]), "last": np.array([np.nan]), "seen": np.zeros(max(classes, 2))}


def last_of(state: State, y: Floats) -> Floats:
    """The label in front of each, where labels come at once."""
    return np.concatenate([state["last"], y])[:-1]


def numbers(state: State, y: Floats, last: Floats) -> tuple[Floats, Floats]:
    """The last value and the mean so far, before each row; 0 before the first."""
    rows = state["seen"][0] + np.arange(len(y))
    sums = np.cumsum(np.concatenate([state["seen"][1:2], y]))
    mean = np.divide(sums[:-1], rows, out=np.zeros(len(y)), where=rows > 0)
    state["seen"][:2] = state["seen"][0] + len(y), sums[-1]
    state["last"][:] = np.concatenate([state["last"], y])[-1:]
    return np.nan_to_num(last), mean


def classes(state: State, y: Floats, last: Floats) -> tuple[Floats, Floats]:
    """Chances by the last label and by the frequency of each class, before each row.

    The last label is believed as often as it was right so far.
    """
    k = len(state["seen"])
    one = np.zeros((len(y), k))
    one[np.arange(len(y)), y.astype(np.int64)] = 1.0
    seen = state["seen"] + np.cumsum(one, 0) - one
    majority = (seen + 1.0 / k) / (seen.sum(1, keepdims=True) + 1.0)
    known = np.isfinite(last)
    right, possible = (last == y) & known, known
    repeats = state["repeats"][0] + np.cumsum(right) - right
    chances = state["repeats"][1] + np.cumsum(possible) - possible
    belief = np.maximum(
        (repeats + 1.0) / (chances + 2.0), 1.0 / k + 1e-9
    )  # the last label stays the first choice
    repeated = np.repeat((1.0 - belief)[:, None] / (k - 1), k, axis=1)
    code = np.where(known, last, 0).astype(np.int64)
    repeated[np.arange(len(y)), code] = belief
    repeated[~known] = 1.0 / k
    state["repeats"] += right.sum(), possible.sum()
    state["seen"] += one.sum(0)
    state["last"][:] = np.concatenate([state["last"], y])[-1:]
    return repeated, majority
