"""Weights and targets as whole numbers, so that their sums are exact and do not depend on order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.special import xlogy

from talkoot.learners.sums.exact import exact_total

WIDTH = 61  # bits of the sum of all rows' whole numbers
FINER = 30  # bits by which what is left is counted more finely


@final
@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """What whole numbers count.

    Args:
        classes: how many there are; 0 where the target is a number.
        weighted: whether rows have weights.
        values: (sums,) what a unit of each sum is.
        of: (sums,) which quantity each sum adds to.
    """

    classes: int
    weighted: bool
    values: np.ndarray
    of: np.ndarray

    @property
    def sums(self) -> int:
        """How many whole numbers a bin has, with the number of its rows."""
        return len(self.values) + 1

    @property
    def quantities(self) -> int:
        """How many quantities they stand for."""
        return int(self.of.max()) + 1


def class_units(weight: float, classes: int, *, weighted: bool) -> Units:
    """Units of the weights of classes, where all rows weigh so much."""
    unit = 2.0 ** (int(np.frexp(weight)[1]) - WIDTH) if weighted else 1.0
    return Units(classes, weighted, np.full(classes, unit), np.arange(classes))


def number_units(magnitudes: np.ndarray, *, weighted: bool) -> Units:
    """A coarse and a fine unit of each of the `terms`, whose magnitudes have these exact sums."""
    coarse = [2.0 ** (int(np.frexp(exact_total(sums))[1]) - WIDTH) for sums in magnitudes]
    values = np.repeat(coarse, 2)
    values[1::2] *= 2.0**-FINER
    return Units(0, weighted, values, np.repeat(np.arange(len(coarse)), 2))


def terms(criterion: str, y: np.ndarray, w: np.ndarray | None) -> list[np.ndarray]:
    """What is added up of rows: the target, what its impurity needs besides, and weights if any.

    Both are weighted. The second is the square of the target; for "poisson" the target times its logarithm.
    """
    with np.errstate(over="ignore"):
        if w is None:
            return [y, xlogy(y, y) if criterion == "poisson" else y * y]
        return [w * y, w * xlogy(y, y) if criterion == "poisson" else w * y * y, w]


def whole(terms: list[np.ndarray], units: Units) -> np.ndarray:
    """(rows, sums) int64 of terms, each in coarse units, and what is left in fine ones."""
    found = np.empty((len(terms[0]), 2 * len(terms)), np.int64)
    for k, (term, coarse, fine) in enumerate(zip(terms, units.values[::2], units.values[1::2], strict=True)):
        most = np.rint(term / coarse)
        found[:, 2 * k] = most
        found[:, 2 * k + 1] = np.rint((term - most * coarse) / fine)
    return found


def whole_weights(w: np.ndarray, units: Units) -> np.ndarray:
    """(rows,) int64 weights of rows with classes."""
    return np.asarray(np.rint(w / units.values[0]), np.int64)
