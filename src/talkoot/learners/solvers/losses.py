"""Losses of linear models by row: value, first and second derivatives in the raw predictions.

`raw` is (outputs, rows of data), so each output is contiguous. Results have the dtype of `raw`, which may
be overwritten.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from math import prod
from typing import Any, ClassVar, final

import numpy as np

Curvature = Iterator[tuple[int, int, np.ndarray]]


@final
@dataclass(frozen=True, slots=True)
class Workspace:
    """Arrays reused from block to block, because allocating is slow, above all on threads.

    >>> workspace = Workspace()
    >>> large = workspace.take("a", (2, 3), np.dtype(float))
    >>> small = workspace.take("a", (2, 2), np.dtype(float))
    >>> np.shares_memory(large, small)
    True
    """

    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def take(self, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
        """An array of this shape with any content; an earlier one of this name is overwritten."""
        size, array = prod(shape), self.arrays.get(name)
        if array is None or len(array) < size or array.dtype != dtype:
            array = self.arrays[name] = np.empty(size, dtype)
        return array[:size].reshape(shape)


class Loss(ABC):
    """A loss of raw predictions.

    Class attributes:
        extras: further parameters that are one number for all rows, such as a log-scale.
        single: float32 is precise enough, because predictions are not in the units of the target.
        shared: adding one number to all predictions of a row changes nothing.
    """

    extras: ClassVar[int] = 0
    single: ClassVar[bool] = True
    shared: ClassVar[bool] = False

    @property
    def origin(self) -> float:
        """What is subtracted from targets before they are predicted."""
        return 0.0

    @property
    def outputs(self) -> int:
        """Number of linear predictors."""
        return 1

    @abstractmethod
    def evaluate(self, raw: np.ndarray, y: np.ndarray, workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
        """The loss, (rows,) or (outputs, rows), and its slope in each prediction, (outputs + extras, rows).

        Args:
            raw: (outputs + extras, rows) raw predictions; overwritten.
            y: (rows,) targets, or class indices.
            workspace: for intermediate arrays; the result may be one of them.
        """

    @abstractmethod
    def curvature(self, raw: np.ndarray, y: np.ndarray) -> Curvature:
        """(a, b, second derivative in raw a and raw b, (rows,)) for a <= b; pairs left out are zero.

        Values are >= 0 for a = b and <= 0 else; where the loss is not convex, their absolute values.
        """

    def weights(self, class_weight: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Weights of rows by class: (rows,), or (outputs, rows) where outputs differ."""
        return class_weight.take(y)

    def allows(self, y: np.ndarray) -> bool:
        """Whether the loss is defined at all targets."""
        return True


@final
@dataclass(frozen=True, slots=True)
class Binomial(Loss):
    """log(1 + exp(raw)) - y raw, for y in {0, 1}: half the binomial deviance with the logit link.

    >>> value, slope = Binomial().evaluate(np.zeros((1, 2)), np.array([0, 1]), Workspace())
    >>> value.round(4).tolist(), slope.tolist()
    ([0.6931, 0.6931], [[0.5, -0.5]])
    """

    def evaluate(self, raw: np.ndarray, y: np.ndarray, workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
        """One exponential a row, of a number <= 0, so nothing overflows."""
        z = raw[0]
        label, value, ratio = workspace.take("binomial", (3, len(z)), z.dtype)
        positive = workspace.take("positive", z.shape, np.dtype(bool))
        np.copyto(label, y, casting="unsafe")
        np.maximum(z, 0, out=value)
        np.multiply(label, z, out=ratio)
        value -= ratio
        np.greater_equal(z, 0, out=positive)
        np.abs(z, out=z)
        np.negative(z, out=z)
        np.exp(z, out=z)
        np.add(z, 1, out=ratio)
        np.copyto(z, 1, where=positive)
        z /= ratio
        z -= label
        value += np.log(ratio, out=ratio)
        return value, raw

    def curvature(self, raw: np.ndarray, y: np.ndarray) -> Curvature:
        """The variance p (1 - p)."""
        small = np.exp(-np.abs(raw[0]))
        yield 0, 0, small / (1 + small) ** 2


@final
@dataclass(frozen=True, slots=True)
class Multinomial(Loss):
    """log sum exp(raw) - raw of the row's own class: half the deviance with the symmetric softmax link."""

    classes: int  # number of classes
    shared: ClassVar[bool] = True

    @property
    def outputs(self) -> int:
        """One for each class."""
        return self.classes

    def evaluate(self, raw: np.ndarray, y: np.ndarray, workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
        """The greatest prediction of a row is subtracted before the exponential."""
        flat = raw.reshape(-1)
        own = y * raw.shape[1] + np.arange(raw.shape[1])
        raw -= raw.max(axis=0)
        value = flat[own]
        np.exp(raw, out=raw)
        total = raw.sum(axis=0)
        raw /= total
        flat[own] -= 1
        np.subtract(np.log(total, out=total), value, out=value)
        return value, raw

    def curvature(self, raw: np.ndarray, y: np.ndarray) -> Curvature:
        """The covariance: p_a (1 - p_a), and -p_a p_b."""
        p = np.exp(raw - raw.max(axis=0))
        p /= p.sum(axis=0)
        for a in range(self.classes):
            yield a, a, p[a] * (1 - p[a])
            for b in range(a + 1, self.classes):
                yield a, b, -p[a] * p[b]


@final
@dataclass(frozen=True, slots=True)
class Tweedie(Loss):
    """Half the deviance of a Tweedie distribution without terms of y alone.

    Source: Jorgensen, The Theory of Dispersion Models (1997), chapter 4; log link mean = exp(raw).

    >>> Tweedie(1).evaluate(np.zeros((1, 1)), np.array([3.0]), Workspace())[1].tolist()
    [[-2.0]]
    """

    power: float  # the variance is mean ** power: 0 normal, 1 Poisson, 2 gamma, 3 inverse Gaussian

    def evaluate(self, raw: np.ndarray, y: np.ndarray, workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
        """mean^(2-p) / (2-p) - y mean^(1-p) / (1-p), with logarithms where an exponent is zero."""
        z, q = raw[0], self.power
        y = y.astype(z.dtype, copy=False)
        rise, fall = np.exp((2 - q) * z), y * np.exp((1 - q) * z)
        value = (z if q == 2 else rise / (2 - q)) - (y * z if q == 1 else fall / (1 - q))
        np.subtract(rise, fall, out=z)
        return value, raw

    def curvature(self, raw: np.ndarray, y: np.ndarray) -> Curvature:
        """(2-p) mean^(2-p) - (1-p) y mean^(1-p)."""
        z, q = raw[0], self.power
        yield 0, 0, np.abs((2 - q) * np.exp((2 - q) * z) - (1 - q) * y * np.exp((1 - q) * z))

    def allows(self, y: np.ndarray) -> bool:
        """Any target for power <= 0, y >= 0 for power < 2, y > 0 from 2 on."""
        return tweedie_allows(self.power, y)


@final
@dataclass(frozen=True, slots=True)
class TweedieIdentity(Loss):
    """Half the deviance of a Tweedie distribution where the raw prediction is the mean.

    Infinite where the mean is not positive, but for the normal distribution (power 0).
    """

    power: float  # as for `Tweedie`
    near: float = 0.0  # a number near the targets of a normal distribution, subtracted to avoid cancellation
    single: ClassVar[bool] = False

    @property
    def origin(self) -> float:
        """`near` for the normal distribution."""
        return self.near if self.power == 0 else 0.0

    def evaluate(self, raw: np.ndarray, y: np.ndarray, workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
        """For power 0 half the squared error, which does not cancel."""
        z, q = raw[0], self.power
        if q == 0:
            z -= y - self.near
            return z * z / 2, raw
        outside = z <= 0
        mean = np.where(outside, 1, z)
        rise = np.log(mean) if q == 2 else mean ** (2 - q) / (2 - q)
        fall = np.log(mean) if q == 1 else mean ** (1 - q) / (1 - q)
        value = rise - y * fall
        np.copyto(value, np.inf, where=outside)
        np.multiply(mean - y, mean**-q, out=z)
        return value, raw

    def curvature(self, raw: np.ndarray, y: np.ndarray) -> Curvature:
        """mean^-p - p (mean - y) mean^(-p-1)."""
        z, q = raw[0], self.power
        if q == 0:
            yield 0, 0, np.ones_like(z)
            return
        mean = np.where(z <= 0, 1, z)
        yield 0, 0, np.abs(mean**-q - q * (mean - y) * mean ** (-q - 1))

    def allows(self, y: np.ndarray) -> bool:
        """As for the log link."""
        return tweedie_allows(self.power, y)


def tweedie_allows(power: float, y: np.ndarray) -> bool:
    """Whether a Tweedie distribution of this power can give all of `y`."""
    if power <= 0 or not len(y):
        return True
    return bool(y.min() >= 0 if power < 2 else y.min() > 0)
