"""The parameters of a linear model as one vector, and the penalty on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The order of parameters in a vector: coefficients and intercept of each output, then the extras.

    >>> Layout(outputs=2, features=3, intercept=True).size
    8
    """

    outputs: int  # number of linear predictors
    features: int  # number of columns
    intercept: bool  # whether there is one
    extras: int = 0  # further parameters

    @property
    def width(self) -> int:
        """Parameters of one output."""
        return self.features + self.intercept

    @property
    def size(self) -> int:
        """Parameters of all."""
        return self.outputs * self.width + self.extras

    def rows(self, vector: np.ndarray) -> np.ndarray:
        """(outputs, width): a view of the parameters of each output."""
        return vector[: self.outputs * self.width].reshape(self.outputs, self.width)

    def split(self, vector: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Coefficients (outputs, features), intercepts (outputs,) (zero without) and extras."""
        rows = self.rows(vector)
        intercepts = rows[:, -1] if self.intercept else np.zeros(self.outputs)
        return rows[:, : self.features], intercepts, vector[self.outputs * self.width :]

    def join(self, coef: np.ndarray, intercepts: np.ndarray, extras: np.ndarray) -> np.ndarray:
        """The vector of these parts."""
        rows = np.column_stack([coef, intercepts]) if self.intercept else coef
        return np.concatenate([rows.reshape(-1), extras])


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Penalty:
    """l2 / 2 |w|^2 + l1 |w|_1 on coefficients, never on extras."""

    l2: float = 0.0  # strength of the squares
    l1: float = 0.0  # strength of the absolute values
    # (width,) a linear form of an output's parameters, penalised like a coefficient: the intercept for rows
    # that are not centred, over liblinear's `intercept_scaling`. None if the intercept is not penalised
    anchor: np.ndarray | None = None

    def value(self, layout: Layout, vector: np.ndarray) -> float:
        """The smooth part."""
        rows = layout.rows(vector)
        total = float((rows[:, : layout.features] ** 2).sum())
        if self.anchor is not None:
            total += float(((rows @ self.anchor) ** 2).sum())
        return 0.5 * self.l2 * total

    def gradient(self, layout: Layout, vector: np.ndarray) -> np.ndarray:
        """(n,) the gradient of the smooth part."""
        slopes = np.zeros_like(vector)
        into, rows = layout.rows(slopes), layout.rows(vector)
        into[:, : layout.features] = self.l2 * rows[:, : layout.features]
        if self.anchor is not None:
            into += self.l2 * np.outer(rows @ self.anchor, self.anchor)
        return slopes

    def curvature(self, layout: Layout) -> np.ndarray:
        """(width, width) the Hessian of the smooth part for one output."""
        matrix = np.zeros((layout.width, layout.width))
        np.fill_diagonal(matrix[: layout.features], self.l2)
        if self.anchor is not None:
            matrix += self.l2 * np.outer(self.anchor, self.anchor)
        return matrix

    def free(self, layout: Layout) -> np.ndarray:
        """(width,) which parameters of an output are not penalised."""
        free = np.full(layout.width, not (self.l1 or self.l2))
        free[layout.features :] |= self.anchor is None
        return free

    def diagonal(self, layout: Layout) -> np.ndarray:
        """(width,) the diagonal of `curvature`, for widths whose square is too large."""
        diagonal = np.zeros(layout.width)
        diagonal[: layout.features] = self.l2
        return diagonal if self.anchor is None else diagonal + self.l2 * self.anchor**2

    def absolute(self, layout: Layout) -> np.ndarray | None:
        """(n,) weights of absolute values; None without. An anchor must then be the intercept alone."""
        if not self.l1:
            return None
        weights = np.zeros(layout.size)
        rows = layout.rows(weights)
        rows[:, : layout.features] = self.l1
        if self.anchor is not None:
            rows[:, -1] = self.l1 * self.anchor[-1]
        return weights
