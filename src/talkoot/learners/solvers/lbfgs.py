"""L-BFGS with a strong-Wolfe line search, as a state machine that asks for one evaluation at a time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import final

import numpy as np

from talkoot.learners.solvers.solver import End, Evaluation, Solution, Solver, Stop, gain, greatest

MEMORY = 10  # pairs of steps and gradient changes that are kept
DECREASE, CURVATURE = 1e-4, 0.9  # the two Wolfe constants
TRIES = 20  # evaluations in one line search
BLIND = 3  # the same where the fall that is to be had is below the digits of the objective


@final
@dataclass(frozen=True, slots=True)
class Trial:
    """A step length with the objective and its slope along the line."""

    step: float
    value: float
    slope: float


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """A strong-Wolfe search in one dimension: `step` is to be tried next.

    `low` still falls and is not too high; `high` lies behind a minimum. Between the two there is an
    acceptable step. Source: Nocedal and Wright, Numerical Optimization (2006), section 3.5.

    Args:
        start: the objective at step 0, with a negative slope.
        low: the best step known that is too short.
        high: a step that is too long, once one is known.
        step: what to try next.
        digits: relative accuracy of the objective, within which a rise says nothing.
        tries: evaluations so far.
        accepted: the step that was tried last is acceptable.
    """

    start: Trial
    low: Trial
    step: float
    digits: float
    high: Trial | None = None
    tries: int = 0
    accepted: bool = False

    @property
    def failed(self) -> bool:
        """Whether the search has given up."""
        return not self.accepted and self.tries >= (BLIND if self.blind else TRIES)

    @property
    def blind(self) -> bool:
        """Whether the objective has too few digits to tell steps apart."""
        return -self.start.slope <= self._noise

    @property
    def _noise(self) -> float:
        return self.digits * max(abs(self.start.value), 1.0)

    def told(self, value: float, slope: float) -> Search:
        """The state after the objective and slope at `step` are known."""
        tried = Trial(self.step, value, slope)
        steep = -CURVATURE * self.start.slope
        low, high = self.low, self.high
        if not self._fell(tried) or slope > steep:
            high = tried
        elif slope < -steep:
            low = tried
        else:
            return replace(self, accepted=True)
        step = longer(low, self.low) if high is None else between(low, high)
        return replace(self, low=low, high=high, step=step, tries=self.tries + 1)

    def _fell(self, at: Trial) -> bool:
        """Enough decrease, or (where the digits of the objective end) a slope that says so."""
        if not (np.isfinite(at.value) and np.isfinite(at.slope)):
            return False
        if at.value <= self.start.value + DECREASE * at.step * self.start.slope:
            return True
        return (
            at.value <= self.start.value + self._noise and at.slope <= (2 * DECREASE - 1) * self.start.slope
        )


def longer(now: Trial, before: Trial) -> float:
    """A step further out, where the slope would vanish if it went on as it did; 1.5 to 10 times as long."""
    bend = now.slope - before.slope
    zero = now.step - now.slope * (now.step - before.step) / bend if bend > 0 else np.inf
    return float(np.clip(zero, 1.5 * now.step, 10 * now.step))


def between(low: Trial, high: Trial) -> float:
    """The minimum of the cubic through two trials, a tenth of their distance away from either."""
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

    Args:
        point: (n,) where to start, then where to evaluate next.
        stop: when to stop.
        base: (n,) the best point so far; None before the first evaluation.
        value: the objective there.
        gradient: (n,) the gradient there.
        search: the line search from there.
        direction: (n,) its direction.
        pairs: what is remembered of earlier steps.

    >>> solver: Solver = Lbfgs(point=np.array([4.0, -3.0]), stop=Stop(tol=1e-8, max_iter=50))
    >>> while not solver.done:
    ...     solver = solver.told(Evaluation(solver.point @ solver.point, 2 * solver.point))
    >>> bool(np.allclose(solver.point, 0)), solver.end
    (True, 'converged')
    """

    point: np.ndarray
    stop: Stop
    iterations: int = 0
    end: End | None = None
    base: np.ndarray | None = None
    value: float = np.inf
    gradient: np.ndarray | None = None
    search: Search | None = None
    direction: np.ndarray | None = None
    pairs: tuple[Pair, ...] = ()

    def told(self, at: Evaluation) -> Lbfgs:
        """Go on with the line search, or accept the point and begin the next one."""
        if self.search is None or self.direction is None or self.base is None:
            return self._begin(at)
        search = self.search.told(at.value, float(at.gradient @ self.direction))
        if search.accepted:
            return self._accept(at)
        if search.failed:
            return self._give_up(at, "flat" if search.blind else "stuck")
        return replace(self, search=search, point=self.base + search.step * self.direction)

    def again(self, stop: Stop) -> Lbfgs:
        """Keep what is remembered; evaluate the best point anew."""
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
        """Forget earlier steps and try once more; without any, stay at the best point."""
        if not self.pairs or end == "flat":
            assert self.base is not None
            return replace(self, end=end, point=self.base)
        return replace(self, pairs=())._aim(at)

    def _aim(self, at: Evaluation) -> Lbfgs:
        """A new direction from the best point and the first step along it."""
        assert self.base is not None
        assert self.gradient is not None
        direction = -descend(self.gradient, self.pairs, at.precondition)
        slope = float(direction @ self.gradient)
        known = bool(self.pairs) or at.precondition is not None
        step = 1.0 if known else min(1.0, 1.0 / float(np.linalg.norm(self.gradient)))
        start = Trial(0.0, self.value, slope)
        search = Search(start=start, low=start, step=step, digits=self.stop.digits)
        return replace(self, search=search, direction=direction, point=self.base + step * direction)


def descend(gradient: np.ndarray, pairs: tuple[Pair, ...], precondition: Solution | None) -> np.ndarray:
    """About H^-1 g by the two-loop recursion. The start matrix is scaled to the newest pair."""
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
