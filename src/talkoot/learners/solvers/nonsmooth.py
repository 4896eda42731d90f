"""Losses that are not twice differentiable: the squared hinge, and Huber's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from talkoot.learners.solvers.losses import Curvature, Loss, Workspace


@final
@dataclass(frozen=True, slots=True)
class SquaredHinge(Loss):
    """max(0, 1 - s raw)^2 with s = 1 for the row's own class and -1 for others, for each class.

    Source: Fan et al., LIBLINEAR, JMLR 9 (2008). Two classes need one output, for the second class.
    """

    classes: int

    @property
    def outputs(self) -> int:
        """One for each class, or one for two."""
        return 1 if self.classes == 2 else self.classes

    def evaluate(self, raw: np.ndarray, y: np.ndarray, workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
        """max(0, 1 - s raw)^2; its derivative is -2 s max(0, 1 - s raw)."""
        sign = self._signs(raw, y)
        raw *= sign
        np.subtract(1, raw, out=raw)
        np.maximum(raw, 0, out=raw)
        value = raw * raw
        raw *= sign
        raw *= -2
        return value, raw

    def curvature(self, raw: np.ndarray, y: np.ndarray) -> Curvature:
        """2 where s raw < 1, else 0 (the generalised Hessian)."""
        short = self._signs(raw, y) * raw < 1
        for a in range(self.outputs):
            yield a, a, 2.0 * short[a]

    def weights(self, class_weight: np.ndarray, y: np.ndarray) -> np.ndarray:
        """As liblinear: class weights apply to rows of the class itself, all others weigh 1."""
        own = class_weight.take(y)
        if self.outputs == 1:
            return own
        return np.where(np.arange(self.classes)[:, None] == y, own, 1.0)

    def _signs(self, raw: np.ndarray, y: np.ndarray) -> np.ndarray:
        chosen = np.arange(self.classes)[-self.outputs :, None] == y
        return np.asarray(np.where(chosen, raw.dtype.type(1), raw.dtype.type(-1)))


@final
@dataclass(frozen=True, slots=True)
class Huber(Loss):
    """Huber's loss with a scale s: s + s H((y - raw) / s), where raw 1 is log s.

    H(u) is u^2 up to epsilon and 2 epsilon |u| - epsilon^2 beyond.

    Source: Huber and Ronchetti, Robust Statistics (2009), concomitant scale; Owen (2007).
    """

    epsilon: float  # residuals beyond this many scales count linearly
    near: float = 0.0  # a number near the targets, subtracted to avoid cancellation
    extras: ClassVar[int] = 1
    single: ClassVar[bool] = False

    @property
    def origin(self) -> float:
        """`near`."""
        return self.near

    def evaluate(self, raw: np.ndarray, y: np.ndarray, workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
        """The loss; its scale is exp(raw 1), so always positive."""
        scale = np.exp(raw[1, 0]) if raw.shape[1] else raw.dtype.type(1)
        error = raw[0] - (y - self.near)
        inner = np.clip(error, -self.epsilon * scale, self.epsilon * scale)
        value = scale + (2 * error - inner) * inner / scale
        np.multiply(inner, 2 / scale, out=raw[0])
        np.subtract(scale, inner * inner / scale, out=raw[1])
        return value, raw

    def curvature(self, raw: np.ndarray, y: np.ndarray) -> Curvature:
        """2 / s where a row is no outlier, and a bound for the log-scale; the cross term is left out."""
        scale = np.exp(raw[1])
        error = raw[0] - (y - self.near)
        yield 0, 0, np.where(np.abs(error) <= self.epsilon * scale, 2 / scale, 0)
        inner = np.clip(error, -self.epsilon * scale, self.epsilon * scale)
        yield 1, 1, scale + inner * inner / scale
