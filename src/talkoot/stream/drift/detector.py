"""The contract of detectors: they read values one after the other and say where their mean has changed."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import DataError
from talkoot.learners.online.state import State

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Alarms:
    """Where a detector found changes: arrays with one entry for each alarm.

    Args:
        at: index, among the values of this call, at which the change was noticed.
        before: values in front of the change.
        after: values since the change, up to `at`.
        mean_before: their mean in front of it.
        mean_after: their mean since.
    """

    at: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    mean_before: Floats
    mean_after: Floats

    @classmethod
    def of(cls, found: Floats) -> Alarms:
        """From the rows that a kernel wrote."""
        at, before, after = (found[:, k].astype(np.int64) for k in range(3))
        return cls(at, before, after, found[:, 3].copy(), found[:, 4].copy())

    def p_value(self, k: int) -> float:
        """How likely alarm `k` is by chance: a test of two means in [0, 1], times the possible cuts."""
        n0, n1 = float(self.before[k]), float(self.after[k])
        mean = min(1.0, max(0.0, (n0 * self.mean_before[k] + n1 * self.mean_after[k]) / (n0 + n1)))
        spread = max(mean * (1.0 - mean), 1e-12) * (1.0 / n0 + 1.0 / n1)
        z = abs(self.mean_after[k] - self.mean_before[k]) / math.sqrt(spread)
        return min(1.0, (n0 + n1) * math.erfc(z / math.sqrt(2.0)))


class Detector(ABC):
    """A description of a detector: a frozen dataclass of settings, with methods over a `State`.

    The same values in the same order raise the same alarms, however they are cut into calls. After an alarm a
    detector starts anew with the next value.
    """

    @abstractmethod
    def start(self) -> State:
        """A state before the first value."""

    @abstractmethod
    def estimate(self, state: State) -> float:
        """The mean of the values since the last alarm or cut; nan before the first value."""

    @abstractmethod
    def _pass(self, state: State, values: Floats, found: Floats) -> int:
        """Read the values in place and write a row of `found` for each alarm; returns how many."""

    @final
    def update(self, state: State, values: NDArray[Any]) -> NDArray[np.int64]:
        """Read `values` in their order; the indices among them at which a change was noticed.

        Raises:
            DataError: a value is not finite; the state is then as it was.
        """
        return self.alarms(state, values).at

    @final
    def alarms(self, state: State, values: NDArray[Any]) -> Alarms:
        """As `update`, with the size of each change and how long ago it began."""
        read = np.ascontiguousarray(values, np.float64)
        wrong = np.flatnonzero(~np.isfinite(read))
        if wrong.size:
            raise DataError(
                f"{type(self).__name__} got {read[wrong[0]]} at index {wrong[0]} of {len(read)} values",
                cure="Leave out what is not finite; a model that predicts such values has diverged.",
            )
        found = np.empty((len(read), 5))
        return Alarms.of(found[: self._pass(state, read, found)])
