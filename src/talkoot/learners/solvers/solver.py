"""What iterative solvers have in common: a value that says where to evaluate next, until it is done."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import numpy as np

Solution = Callable[[np.ndarray], np.ndarray]

# Why a solver ended: the gradient is small; the objective no longer moves in its digits; no step of the
# line search was acceptable; max_iter is used up.
End = Literal["converged", "flat", "stuck", "limit"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A smooth objective at a point.

    Args:
        value: the objective.
        gradient: (n,) its gradient.
        hessian: (n, n) its second derivatives, for solvers that want them.
        precondition: g -> about H^-1 g with a positive definite H near the Hessian, for solvers that
            can use it; None where nothing is known.
        l1: (n,) weights of absolute values that are to be minimised with the objective; None without.
    """

    value: float
    gradient: np.ndarray
    hessian: np.ndarray | None = None
    precondition: Solution | None = None
    l1: np.ndarray | None = None

    def absolute(self, x: np.ndarray) -> float:
        """The sum of weighted absolute values of `x`."""
        return 0.0 if self.l1 is None else float(self.l1 @ np.abs(x))

    def subgradient(self, x: np.ndarray) -> np.ndarray:
        """(n,) the smallest subgradient at `x`: zero at the least point."""
        if self.l1 is None:
            return self.gradient
        at_zero = np.sign(self.gradient) * np.maximum(np.abs(self.gradient) - self.l1, 0.0)
        return np.asarray(np.where(x == 0, at_zero, self.gradient + self.l1 * np.sign(x)))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """When to stop.

    Args:
        tol: the greatest entry of the gradient that counts as zero.
        max_iter: iterations allowed.
        digits: relative accuracy of the objective; smaller differences say nothing.
    """

    tol: float
    max_iter: int
    digits: float = 64 * float(np.finfo(float).eps)

    def reached(self, now: float, before: float, iterations: int, gain: float) -> End | None:
        """Why to stop after an iteration, or None to go on.

        Below the digits of the objective the gradient alone says whether there still is progress.

        Args:
            now: the greatest entry of the gradient at the new point.
            before: the same at the point before.
            iterations: done so far.
            gain: by how much the objective fell, relative to its size.
        """
        if now <= self.tol:
            return "converged"
        if gain <= self.digits and now > before / 2:
            return "flat"
        return "limit" if iterations >= self.max_iter else None


class Solver(ABC):
    """A minimiser as an explicit state machine: evaluate at `point`, hand the result to `told`, until `done`.

    Attributes:
        point: (n,) where to evaluate next; the best point once done.
        stop: when to stop.
        end: why it ended; None while it runs.
        iterations: steps accepted so far.
    """

    point: np.ndarray
    stop: Stop
    end: End | None
    iterations: int

    @abstractmethod
    def told(self, at: Evaluation) -> Solver:
        """The state after the objective at `point` is known; pure."""

    @abstractmethod
    def again(self, stop: Stop) -> Solver:
        """Go on from the best point, evaluating it anew, with another rule to stop."""

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.end is not None


def greatest(gradient: np.ndarray) -> float:
    """The greatest absolute entry."""
    return float(np.abs(gradient).max(initial=0.0))


def gain(before: float, after: float) -> float:
    """By how much an objective fell, relative to its size or 1."""
    return (before - after) / max(abs(before), abs(after), 1.0)
