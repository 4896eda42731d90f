"""Losses in [0, 1] of predictions whose labels are known."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkoot.learners.online.state import State

Floats = NDArray[np.float64]
WARM = 1000  # rows that say how large errors of a number are


def start() -> State:
    """Rows and sum of the absolute errors that make the scale of numbers."""
    return {"scale": np.zeros(2)}


def errors(state: State, predictions: NDArray[Any], y: Floats, classes: int) -> Floats:
    """Whether each prediction is wrong; of numbers, the error against the usual one: e / (e + usual)."""
    wide = np.asarray(predictions, np.float64)
    if classes:
        named = (wide > 0.5) if wide.ndim == 1 else wide.argmax(1)
        return np.asarray(named != y, np.float64)
    gap = np.abs(wide - y)
    rows, total = state["scale"]
    fresh = min(len(gap), max(0, WARM - int(rows)))
    sums = np.cumsum(np.concatenate([[total], gap[:fresh]]))
    usual = np.full(len(gap), sums[-1] / max(1.0, rows + fresh))
    usual[:fresh] = sums[1:] / (rows + 1.0 + np.arange(fresh))
    state["scale"][:] = rows + fresh, sums[-1]
    return np.asarray(np.divide(gap, gap + usual, out=np.zeros(len(gap)), where=gap > 0))


def squares(predictions: NDArray[Any], y: Floats, classes: int, scale: float) -> Floats:
    """A proper loss in [0, 1]: half the Brier score for classes, e / (e + scale) for numbers."""
    wide = np.asarray(predictions, np.float64)
    if not classes:
        gap = np.abs(wide - y)
        return np.divide(gap, gap + scale, out=np.zeros(len(gap)), where=gap > 0)
    if wide.ndim == 1:
        return np.asarray((wide - y) ** 2)
    rows, code = np.arange(len(y)), y.astype(np.int64)
    return np.asarray(((wide * wide).sum(1) - 2.0 * wide[rows, code] + 1.0) / 2.0)
