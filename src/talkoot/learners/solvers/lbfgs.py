"""L-BFGS with a strong-Wolfe line search, as a state machine that asks for one evaluation at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from talkoot.learners.solvers.solver import End, Evaluation, Solution, Solver, Stop, gain, greatest

MEMORY = 10  # pairs of steps and gradient changes
DECREASE, CURVATURE = 1e-4, 0.9  # the two Wolfe constants
TRIES = 20  # maximum tries in one line search
FLAT_TRIES = 3  # maximum tries when the expected decrease is below float precision


@final
@dataclass(frozen=True, slots=True)
class LinePoint:
    """A step length, the objective there and its slope along the line."""

    step: float
    value: float
    slope: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A strong-Wolfe line search as a state machine: evaluate at `step`, then `advance`.

    An acceptable step lies between `low` and `high`. Source: Nocedal and Wright, Numerical Optimization
    (2006), section 3.5.
    """

    start: LinePoint  # the objective at step 0, with a negative slope
    low: LinePoint  # the best known step that is too short
    step: float  # where to evaluate next
    digits: float  # relative accuracy of the objective; smaller increases are rounding
    high: LinePoint | None = None  # a step that is too long, if known
    tries: int = 0  # evaluations so far
    accepted: bool = False  # the last step is acceptable

    @property
    def failed(self) -> bool:
        """Whether the tries are used up."""
        return not self.accepted and self.tries >= (FLAT_TRIES if self.is_flat else TRIES)

    @property
    def is_flat(self) -> bool:
        """Whether the expected decrease is below the accuracy of the objective."""
        return -self.start.slope <= self._noise

    @property
    def _noise(self) -> float:
        return self.digits * max(abs(self.start.value), 1.0)

    def advance(self, value: float, slope: float) -> Search:
        """The state after an evaluation at `step`."""
        point = LinePoint(self.step, value, slope)
        steep = -CURVATURE * self.start.slope
        low, high = self.low, self.high
        if not self._decreased(point) or slope > steep:
            high = point
        elif slope < -steep:
            low = point
        else:
            return replace(self, accepted=True)
        step = longer(low, self.low) if high is None else between(low, high)
        return replace(self, low=low, high=high, step=step, tries=self.tries + 1)

    def _decreased(self, at: LinePoint) -> bool:
        """Sufficient decrease; below the accuracy of the objective the slope decides."""
        if not (np.isfinite(at.value) and np.isfinite(at.slope)):
            return False
        if at.value <= self.start.value + DECREASE * at.step * self.start.slope:
            return True
        return (
            at.value <= self.start.value + self._noise and at.slope <= (2 * DECREASE - 1) * self.start.slope
        )


def longer(now: LinePoint, before: LinePoint) -> float:
    """A longer step, to where the secant of the slopes vanishes; 1.5 to 10 times as long."""
    bend = now.slope - before.slope
    zero = now.step - now.slope * (now.step - before.step) / bend if bend > 0 else np.inf
    return float(np.clip(zero, 1.5 * now.step, 10 * now.step))


def between(low: LinePoint, high: LinePoint) -> float:
    """The minimum of the cubic through two points, at least a tenth of their distance from either."""
    width = high.step - low.step
    if not (np.isfinite(high.value) and np.isfinite(high.slope)):
        return low.step + 0.1 * width
    bend = low.slope + high.slope - 3 * (high.value - low.value) / width
    root = np.sqrt(max(bend**2 - low.slope * high.slope, 0.0))
    below = high.slope - low.slope + 2 * root
    share = 1 - (high.slope + root - bend) / below if below > 0 else 0.5
    return low.step + float(np.clip(share, 0.1, 0.9)) * width


@final
@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """A step s, the gradient's change y over it, and s'y > 0."""

    step: np.ndarray
    change: np.ndarray
    inner: float


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lbfgs(Solver):
    """Limited-memory BFGS. Source: Nocedal and Wright (2006), algorithms 7.4 and 7.5.

    >>> solver: Solver = Lbfgs(point=np.array([4.0, -3.0]), stop=Stop(tol=1e-8, max_iter=50))
    >>> while not solver.done:
    ...     solver = solver.advance(Evaluation(solver.point @ solver.point, 2 * solver.point))
    >>> bool(np.allclose(solver.point, 0)), solver.end
    (True, 'converged')
    """

    point: np.ndarray  # (n,) the initial point, then where to evaluate next
    stop: Stop  # when to stop
    iterations: int = 0
    end: End | None = None
    base: np.ndarray | None = None  # (n,) the best point so far; None before the first evaluation
    value: float = np.inf  # the objective at `base`
    gradient: np.ndarray | None = None  # (n,) the gradient at `base`
    search: Search | None = None  # the line search from `base`
    direction: np.ndarray | None = None  # (n,) direction of the search
    pairs: tuple[Pair, ...] = ()  # the last steps and gradient changes

    def advance(self, at: Evaluation) -> Lbfgs:
        """Continue the line search, or accept the point and start the next search."""
        if self.search is None or self.direction is None or self.base is None:
            return self._begin(at)
        search = self.search.advance(at.value, float(at.gradient @ self.direction))
        if search.accepted:
            return self._accept(at)
        if search.failed:
            return self._give_up(at, "flat" if search.is_flat else "stuck")
        return replace(self, search=search, point=self.base + search.step * self.direction)

    def restart(self, stop: Stop) -> Lbfgs:
        """Evaluate the best point again; curvature pairs stay."""
        best = self.point if self.base is None else self.base
        return replace(self, point=best, stop=stop, search=None, end=None)

    def _begin(self, at: Evaluation) -> Lbfgs:
        if not np.isfinite(at.value):
            return replace(self, end="stuck")
        end = self.stop.reached(greatest(at.gradient), np.inf, self.iterations, np.inf)
        moved = replace(self, base=self.point, value=at.value, gradient=at.gradient, end=end)
        return moved if end else moved._aim(at)

    def _accept(self, at: Evaluation) -> Lbfgs:
        assert self.base is not None
        assert self.gradient is not None
        pair = Pair(
            step := self.point - self.base, change := at.gradient - self.gradient, float(step @ change)
        )
        done = self.iterations + 1
        sizes = greatest(at.gradient), greatest(self.gradient)
        end = self.stop.reached(*sizes, done, abs(gain(self.value, at.value)))
        moved = replace(
            self,
            base=self.point,
            value=at.value,
            gradient=at.gradient,
            iterations=done,
            end=end,
            pairs=(*self.pairs, pair)[-MEMORY:] if pair.inner > 0 else self.pairs,
        )
        return moved if end else moved._aim(at)

    def _give_up(self, at: Evaluation, end: End) -> Lbfgs:
        """Drop the curvature pairs and search once more; without any, end at the best point."""
        if not self.pairs or end == "flat":
            assert self.base is not None
            return replace(self, end=end, point=self.base)
        return replace(self, pairs=())._aim(at)

    def _aim(self, at: Evaluation) -> Lbfgs:
        """Start a line search from the best point."""
        assert self.base is not None
        assert self.gradient is not None
        direction = -descend(self.gradient, self.pairs, at.precondition)
        slope = float(direction @ self.gradient)
        known = bool(self.pairs) or at.precondition is not None
        step = 1.0 if known else min(1.0, 1.0 / float(np.linalg.norm(self.gradient)))
        start = LinePoint(0.0, self.value, slope)
        search = Search(start=start, low=start, step=step, digits=self.stop.digits)
        return replace(self, search=search, direction=direction, point=self.base + step * direction)


def descend(gradient: np.ndarray, pairs: tuple[Pair, ...], precondition: Solution | None) -> np.ndarray:
    """About H^-1 g by the two-loop recursion; the initial matrix is scaled to the last pair."""
    q, shares = gradient, []
    for pair in reversed(pairs):
        shares.append(float(pair.step @ q) / pair.inner)
        q = q - shares[-1] * pair.change
    r = q if precondition is None else precondition(q)
    if pairs:
        change = pairs[-1].change
        r = r * (pairs[-1].inner / float(change @ (change if precondition is None else precondition(change))))
    for pair, share in zip(pairs, reversed(shares), strict=True):
        r = r + (share - float(pair.change @ r) / pair.inner) * pair.step
    return r
