"""The interface of iterative solvers: immutable states that name the next point to evaluate."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, final

import numpy as np

Solution = Callable[[np.ndarray], np.ndarray]

# Why a solver ended: the gradient is small; the objective changes by less than its accuracy; no step of
# the line search was acceptable; max_iter is used up.
End = Literal["converged", "flat", "stuck", "limit"]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """A smooth objective at a point."""

    value: float  # the objective
    gradient: np.ndarray  # (n,) its gradient
    hessian: np.ndarray | None = None  # (n, n) its second derivatives, for solvers that want them
    # g -> about H^-1 g with a positive definite H near the Hessian; None if unknown
    precondition: Solution | None = None
    l1: np.ndarray | None = None  # (n,) weights of the l1 term, which `value` does not include; None without

    def absolute(self, x: np.ndarray) -> float:
        """The l1 term at `x`."""
        return 0.0 if self.l1 is None else float(self.l1 @ np.abs(x))

    def subgradient(self, x: np.ndarray) -> np.ndarray:
        """(n,) the smallest subgradient at `x`: zero at the minimum."""
        if self.l1 is None:
            return self.gradient
        at_zero = np.sign(self.gradient) * np.maximum(np.abs(self.gradient) - self.l1, 0.0)
        return np.asarray(np.where(x == 0, at_zero, self.gradient + self.l1 * np.sign(x)))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """When to stop."""

    tol: float  # the greatest absolute entry of the gradient that counts as zero
    max_iter: int  # iterations allowed
    # relative accuracy of the objective; smaller differences are rounding
    digits: float = 64 * float(np.finfo(float).eps)

    def reached(self, now: float, before: float, iterations: int, gain: float) -> End | None:
        """Why to stop after an iteration, or None to continue.

        Below the accuracy of the objective the gradient alone decides whether there is progress.

        Args:
            now: the greatest absolute entry of the gradient at the new point.
            before: the same at the point before.
            iterations: done so far.
            gain: relative decrease of the objective.
        """
        if now <= self.tol:
            return "converged"
        if gain <= self.digits and now > before / 2:
            return "flat"
        return "limit" if iterations >= self.max_iter else None


class Solver(ABC):
    """A minimiser as a state machine: evaluate at `point` and pass the result to `advance`, until `done`.

    Attributes:
        point: (n,) where to evaluate next; the best point once done.
        stop: when to stop.
        end: why it ended; None before.
        iterations: accepted steps.
    """

    point: np.ndarray
    stop: Stop
    end: End | None
    iterations: int

    @abstractmethod
    def advance(self, at: Evaluation) -> Solver:
        """The next state, from the objective at `point`; pure."""

    @abstractmethod
    def restart(self, stop: Stop) -> Solver:
        """Continue from the best point, evaluated again, with another stopping rule."""

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.end is not None


def greatest(gradient: np.ndarray) -> float:
    """The greatest absolute entry."""
    return float(np.abs(gradient).max(initial=0.0))


def gain(before: float, after: float) -> float:
    """The decrease of an objective, relative to its size or 1."""
    return (before - after) / max(abs(before), abs(after), 1.0)
