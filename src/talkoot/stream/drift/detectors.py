"""The detectors: ADWIN, HDDM_A, HDDM_W and Page-Hinkley."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, final

import numpy as np

from talkoot.core.errors import PlanError
from talkoot.learners.online.state import State
from talkoot.stream.drift.detector import Detector, Floats

LEVELS = 48  # of ADWIN: room for 2 ** 48 values


def positive(settings: Detector, *names: str) -> None:
    """Refuse settings that are not above zero."""
    for name in names:
        if not getattr(settings, name) > 0:
            raise PlanError(
                f"{type(settings).__name__}({name}=) must be above 0, not {getattr(settings, name)}"
            )


@final
@dataclass(frozen=True, slots=True)
class ADWIN(Detector):
    """Adaptive windowing (Bifet and Gavaldà, 2007): cuts its window where the means of two halves differ.

    Args:
        delta: how likely a false alarm may be at a look.
        clock: look at every so many values.
        buckets: buckets of one size; more find the cut more exactly.
        least: values that either half must have.
        grace: values before the first look.

    >>> import talkoot as tk
    >>> detector = tk.ADWIN()
    >>> state = detector.start()
    >>> detector.update(state, np.repeat([0.0, 1.0], 500)).tolist()
    [511]
    """

    delta: float = 0.002
    clock: int = 32
    buckets: int = 5
    least: int = 5
    grace: int = 10

    def __post_init__(self) -> None:
        positive(self, "delta", "clock", "buckets", "least")

    def start(self) -> State:
        """An empty window."""
        shape = (LEVELS, self.buckets + 1)
        return {
            "ints": np.array([0, 0, 1]),
            "reals": np.zeros(2),
            "counts": np.zeros(LEVELS, np.int64),
            "sums": np.zeros(shape),
            "squares": np.zeros(shape),
        }

    def estimate(self, state: State) -> float:
        """The mean of the window."""
        width = int(state["ints"][0])
        return float(state["reals"][0] / width) if width else float("nan")

    def _pass(self, state: State, values: Floats, found: Floats) -> int:
        from talkoot.kernels.adwin import adwin

        settings = np.array([self.delta, self.clock, self.least, self.grace], np.float64)
        ints, reals, counts = state["ints"], state["reals"], state["counts"]
        return adwin(settings, ints, reals, counts, state["sums"], state["squares"], values, found)


@final
@dataclass(frozen=True, slots=True)
class HDDM_A(Detector):
    """Means by Hoeffding's bound (Frías-Blanco et al., 2015), for values in [0, 1].

    Args:
        confidence: how likely a false alarm may be at a look.
        two_sided: whether falls raise an alarm too, and not rises only.

    >>> import talkoot as tk
    >>> detector = tk.HDDM_A()
    >>> detector.update(detector.start(), np.repeat([0.0, 1.0], 500)).tolist()
    [503]
    """

    confidence: float = 0.001
    two_sided: bool = False

    def __post_init__(self) -> None:
        positive(self, "confidence")

    def start(self) -> State:
        """No rows."""
        return {"reals": np.zeros(6)}

    def estimate(self, state: State) -> float:
        """The mean since the last alarm."""
        return float(state["reals"][1]) if state["reals"][0] else float("nan")

    def _pass(self, state: State, values: Floats, found: Floats) -> int:
        return self.blocks(state, values, np.ones(len(values)), found)

    def blocks(self, state: State, means: Floats, rows: Floats, found: Floats) -> int:
        """As `alarms` for blocks of rows, such as sums over nodes: their means and numbers of rows."""
        from talkoot.kernels.mean_tests import hddm_a

        return hddm_a(
            np.array([self.confidence, self.two_sided], np.float64), state["reals"], means, rows, found
        )


@final
@dataclass(frozen=True, slots=True)
class HDDM_W(Detector):
    """Fading means by McDiarmid's bound (Frías-Blanco et al., 2015), for values in [0, 1].

    Quick where the mean jumps; when the change began is known less well than with the others.

    Args:
        confidence: how likely a false alarm may be at a look.
        share: weight of the newest value in a mean.
        two_sided: whether falls raise an alarm too, and not rises only.

    >>> import talkoot as tk
    >>> detector = tk.HDDM_W()
    >>> detector.update(detector.start(), np.repeat([0.0, 1.0], 500)).tolist()
    [510]
    """

    confidence: float = 0.001
    share: float = 0.05
    two_sided: bool = False

    def __post_init__(self) -> None:
        positive(self, "confidence", "share")

    def start(self) -> State:
        """No rows."""
        reals = np.zeros((6, 4))
        reals[:5, 2], reals[5] = 1.0, np.inf
        return {"reals": reals}

    def estimate(self, state: State) -> float:
        """The fading mean."""
        return float(state["reals"][0, 1]) if state["reals"][0, 0] else float("nan")

    def _pass(self, state: State, values: Floats, found: Floats) -> int:
        from talkoot.kernels.mean_tests import hddm_w

        settings = np.array([self.confidence, self.share, self.two_sided], np.float64)
        return hddm_w(settings, state["reals"], values, found)


@final
@dataclass(frozen=True, slots=True)
class PageHinkley(Detector):
    """The Page-Hinkley test of sums of deviations from the mean.

    Args:
        threshold: the sum of deviations that raises an alarm.
        delta: how far values may be off the mean without counting.
        alpha: how much of a sum stays with each value.
        least: values before the first alarm.
        side: whether rises, falls or both raise an alarm.

    >>> import talkoot as tk
    >>> detector = tk.PageHinkley()
    >>> detector.update(detector.start(), np.repeat([0.0, 1.0], 500)).tolist()
    [553]
    """

    threshold: float = 50.0
    delta: float = 0.005
    alpha: float = 1 - 0.0001
    least: int = 30
    side: Literal["up", "down", "both"] = "both"

    def __post_init__(self) -> None:
        positive(self, "threshold", "alpha", "least")
        if self.side not in ("up", "down", "both"):
            raise PlanError(f"PageHinkley(side=) must be 'up', 'down' or 'both', not {self.side!r}")

    def start(self) -> State:
        """No rows."""
        reals = np.zeros(10)
        reals[4], reals[5] = np.inf, -1.0
        return {"reals": reals}

    def estimate(self, state: State) -> float:
        """The mean since the last alarm."""
        return float(state["reals"][1]) if state["reals"][0] else float("nan")

    def _pass(self, state: State, values: Floats, found: Floats) -> int:
        from talkoot.kernels.mean_tests import page_hinkley

        sides = (self.side != "down", self.side != "up")
        settings = np.array([self.least, self.delta, self.threshold, self.alpha, *sides], np.float64)
        return page_hinkley(settings, state["reals"], values, found)
