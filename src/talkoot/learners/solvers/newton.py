"""Newton's method, proximal with an l1 penalty, as a state machine."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from talkoot.learners.solvers.quadratic import l1_step, newton_step
from talkoot.learners.solvers.solver import End, Evaluation, Solver, Stop, gain, greatest

DECREASE = 1e-4  # share of the predicted decrease that a step must reach
TRIES = 30  # halvings of one step


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Newton(Solver):
    """Minimises a smooth objective plus sum(l1 |x|) by Newton steps with backtracking.

    Every evaluation has the Hessian, so a full step costs one evaluation.
    Source: Lee, Sun and Saunders, Proximal Newton-type methods, SIAM J. Optim. 24 (2014).

    >>> solver: Solver = Newton(point=np.array([4.0]), stop=Stop(tol=1e-8, max_iter=9))
    >>> while not solver.done:  # (x - 3)^2 / 2 + |x|
    ...     x = solver.point
    ...     at = Evaluation(float((x[0] - 3) ** 2 / 2), x - 3, np.eye(1), l1=np.array([1.0]))
    ...     solver = solver.advance(at)
    >>> solver.point.round(9).tolist()
    [2.0]
    """

    point: np.ndarray  # (n,) the initial point, then where to evaluate next
    stop: Stop  # when to stop; its tolerance is for the smallest subgradient
    iterations: int = 0
    end: End | None = None
    base: np.ndarray | None = None  # (n,) the best point so far; None before the first evaluation
    value: float = np.inf  # the objective at `base`, l1 term included
    size: float = np.inf  # the greatest absolute entry of the smallest subgradient at `base`
    slope: float = 0.0  # the predicted change of the objective over a full step, negative
    step: np.ndarray | None = None  # (n,) the full step
    tries: int = 0  # halvings so far

    def advance(self, at: Evaluation) -> Newton:
        """Accept the point and compute the next step, or halve the step."""
        value = at.value + at.absolute(self.point)
        if self.base is None or self.step is None:
            if not np.isfinite(value):
                return replace(self, end="stuck")
            return self._accept(at, value, np.inf, self.iterations)
        required = DECREASE * 0.5**self.tries * self.slope
        noise = self.stop.digits * max(abs(self.value), 1.0)
        if np.isfinite(value) and value <= self.value + required + noise:
            return self._accept(at, value, abs(gain(self.value, value)), self.iterations + 1)
        if self.tries >= TRIES:
            return replace(self, end="stuck", point=self.base)
        halved = self.base + 0.5 ** (self.tries + 1) * self.step
        return replace(self, tries=self.tries + 1, point=halved)

    def restart(self, stop: Stop) -> Newton:
        """Evaluate the best point again."""
        best = self.point if self.base is None else self.base
        return replace(self, point=best, stop=stop, step=None, end=None)

    def _accept(self, at: Evaluation, value: float, gained: float, iterations: int) -> Newton:
        size = greatest(at.subgradient(self.point))
        end = self.stop.reached(size, self.size, iterations, gained)
        moved = replace(self, base=self.point, value=value, size=size, iterations=iterations, end=end)
        return moved if end else moved._aim(at)

    def _aim(self, at: Evaluation) -> Newton:
        assert at.hessian is not None
        if at.l1 is None:
            step = newton_step(at.gradient, at.hessian)
        else:
            step = l1_step(self.point, at.gradient, at.hessian, at.l1)
        slope = float(at.gradient @ step) + at.absolute(self.point + step) - at.absolute(self.point)
        return replace(self, step=step, slope=min(slope, 0.0), tries=0, point=self.point + step)
