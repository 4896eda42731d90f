"""What an evaluation adds up: cells that add over rows and over nodes, and the scores that they give."""

from __future__ import annotations

from math import isqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
STEPS = 512  # of a histogram of scores, even in log-odds: roc_auc is within .003
REACH = 16.0  # log-odds at both ends
TINY = 1e-15
SUMS = ("rows", "log_loss", "brier", "absolute", "squared", "y", "y_squared")


def size(classes: int) -> int:
    """How many cells a task has: sums, a confusion matrix, and two histograms for two classes."""
    return len(SUMS) + classes * classes + (2 * STEPS if classes == 2 else 0)


def classes_of(sums: NDArray[Any]) -> int:
    """The number of classes whose cells these are; 0 for numbers. It undoes `size`."""
    width = sums.shape[-1]
    return 2 if width == size(2) else isqrt(width - len(SUMS))


def as_matrix(predictions: NDArray[Any], classes: int) -> Floats:
    """Probabilities of each class; those of class 1 alone, for two, get a column in front."""
    wide = np.asarray(predictions, np.float64)
    if wide.ndim == 1:
        wide = np.column_stack([1.0 - wide, wide])
    return np.pad(wide, ((0, 0), (0, max(0, classes - wide.shape[1]))))


def number_cells(y: Floats, predictions: NDArray[Any]) -> tuple[NDArray[np.int64], Floats]:
    """Cells and values of rows whose label is a number."""
    gap = np.asarray(predictions, np.float64) - y
    values = np.column_stack([np.ones(len(y)), np.abs(gap), gap * gap, y, y * y])
    return np.broadcast_to(np.array([0, 3, 4, 5, 6]), values.shape).copy(), values


def class_cells(y: Floats, predictions: NDArray[Any], classes: int) -> tuple[NDArray[np.int64], Floats]:
    """Cells and values of rows whose label is a class."""
    wide, code = as_matrix(predictions, classes), y.astype(np.int64)
    rows = np.arange(len(y))
    chance = np.clip(wide[rows, code], TINY, 1.0)
    brier = (wide * wide).sum(1) - 2.0 * wide[rows, code] + 1.0  # two classes: half of it, as usual
    if classes == 2:
        brier = brier / 2.0
    confusion = len(SUMS) + code * classes + wide.argmax(1)
    cells = [np.full(len(y), 0), np.full(len(y), 1), np.full(len(y), 2), confusion]
    values = [np.ones(len(y)), -np.log(chance), brier, np.ones(len(y))]
    if classes == 2:
        p = np.clip(wide[:, 1], TINY, 1.0 - TINY)
        place = np.clip((np.log(p / (1.0 - p)) + REACH) / (2.0 * REACH) * STEPS, 0, STEPS - 1).astype(
            np.int64
        )
        cells.append(len(SUMS) + 4 + code * STEPS + place)
        values.append(np.ones(len(y)))
    return np.column_stack(cells).astype(np.int64), np.column_stack(values)


def scores(sums: Floats, classes: int) -> dict[str, float]:
    """The measures that the sums stand for; nan where they say nothing."""
    rows = float(sums[0])
    if rows <= 0:
        return {}
    if not classes:
        spread = float(sums[6] - sums[5] ** 2 / rows)
        r2 = 1.0 - float(sums[4]) / spread if spread > 1e-12 * float(sums[6]) else float("nan")
        return {"mae": float(sums[3]) / rows, "rmse": float(np.sqrt(sums[4] / rows)), "r2": r2}
    table = sums[len(SUMS) : len(SUMS) + classes * classes].reshape(classes, classes) / rows
    accuracy, chance = float(np.trace(table)), float(table.sum(0) @ table.sum(1))
    found = {
        "log_loss": float(sums[1]) / rows,
        "brier": float(sums[2]) / rows,
        "accuracy": accuracy,
        "kappa": (accuracy - chance) / (1.0 - chance) if chance < 1.0 - 1e-12 else float("nan"),
    }
    return found | ({"roc_auc": _roc_auc(sums[len(SUMS) + 4 :])} if classes == 2 else {})


def _roc_auc(histograms: Floats) -> float:
    """How likely a row of class 1 scores higher than one of class 0; ties count half."""
    zeros, ones = histograms[:STEPS], histograms[STEPS:]
    pairs = float(zeros.sum() * ones.sum())
    below = np.cumsum(zeros) - zeros / 2.0
    return float(ones @ below) / pairs if pairs > 0 else float("nan")
