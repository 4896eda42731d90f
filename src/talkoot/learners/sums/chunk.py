"""Values collected from blocks of rows, as keys."""

from __future__ import annotations

from typing import Any, final

import numpy as np

from talkoot.learners.sums.ranges import keys
from talkoot.learners.sums.tally import columns_of

NOTHING = np.zeros(0, np.uint64)


@final
class Chunk:
    """Keys of the values of each column, without NaN, and their weights.

    Args:
        features: number of columns.
    """

    def __init__(self, features: int) -> None:
        self.found: list[list[np.ndarray]] = [[] for _ in range(features)]
        self.mass: list[list[np.ndarray]] = [[] for _ in range(features)]
        self.zeros = np.zeros(features, np.int64)  # further values of 0, which sparse rows do not store
        self.rows = self.size = 0  # number of rows; bytes of keys and weights

    def add(self, X: Any, weights: np.ndarray | None, *, zeros: bool) -> None:
        """Add the rows of a block. Only dense rows have weights, and those without any are left out."""
        self.rows += X.shape[0]
        for j, values in enumerate(columns_of(X)):
            if zeros:
                self.zeros[j] += X.shape[0] - len(values)
            known = ~np.isnan(values)
            if weights is not None:
                known &= weights > 0
            self.append(j, keys(values[known]), None if weights is None else weights[known])

    def append(self, column: int, found: np.ndarray, mass: np.ndarray | None) -> None:
        """Add keys of a column, and their weights."""
        self.found[column].append(found)
        self.size += found.nbytes
        if mass is not None:
            self.mass[column].append(mass)
            self.size += mass.nbytes

    def sorted(self) -> tuple[tuple[np.ndarray, ...], tuple[np.ndarray, ...] | None]:
        """(keys, weights) of each column, by key; no weights where each value weighs 1."""
        found = tuple(np.concatenate([NOTHING, *blocks]) for blocks in self.found)
        if not any(self.mass):
            for column in found:
                column.sort()
            return found, None
        order = [np.argsort(column) for column in found]
        mass = [np.concatenate([NOTHING.view(np.int64), *blocks]) for blocks in self.mass]
        return (
            tuple(column[by] for column, by in zip(found, order, strict=True)),
            tuple(column[by] for column, by in zip(mass, order, strict=True)),
        )
