"""How a weight moves with each gradient, for models that learn by gradients."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

from numpy import array, float64
from numpy.typing import NDArray

from talkoot.core.errors import PlanError


class Optimiser(ABC):
    """Settings of an optimiser, as kernels read them."""

    rate: float

    @abstractmethod
    def numbers(self) -> NDArray[float64]:
        """Which one it is in `kernels.gradient`, rate, decay or beta, l1 and l2 of FTRL."""

    @property
    def has_leads(self) -> bool:
        """Whether it remembers a third number for each weight."""
        return False

    def _check_rate(self) -> None:
        if not 0 < self.rate < float("inf"):
            raise PlanError(f"{type(self).__name__}(rate={self.rate}) does not learn", cure="Take rate > 0.")


@final
@dataclass(frozen=True, slots=True)
class AdaGrad(Optimiser):
    """Steps of `rate` over the root of all squared gradients so far: for streams that do not change.

    >>> AdaGrad(rate=0.3)
    AdaGrad(rate=0.3)
    """

    rate: float = 0.3

    def __post_init__(self) -> None:
        self._check_rate()

    def numbers(self) -> NDArray[float64]:
        """Which one it is in `kernels.gradient`, and its settings."""
        return array([0.0, self.rate, 0.0, 0.0, 0.0])


@final
@dataclass(frozen=True, slots=True)
class DecayedAdaGrad(Optimiser):
    """AdaGrad whose sum of squares forgets, so that it goes on learning: for streams that change.

    >>> DecayedAdaGrad(rate=0.1, decay=0.999)
    DecayedAdaGrad(rate=0.1, decay=0.999)
    """

    rate: float = 0.3
    decay: float = 0.9999  # of the sum, at each gradient of the weight

    def __post_init__(self) -> None:
        self._check_rate()
        if not 0 < self.decay <= 1:
            raise PlanError(f"a decay of {self.decay} is none", cure="Take 0 < decay <= 1.")

    def numbers(self) -> NDArray[float64]:
        """Which one it is in `kernels.gradient`, and its settings."""
        return array([1.0, self.rate, self.decay, 0.0, 0.0])


@final
@dataclass(frozen=True, slots=True)
class FTRL(Optimiser):
    """FTRL-proximal of McMahan et al. 2013; `l1` holds weights at 0 that explain little.

    >>> FTRL(l1=1.0).has_leads
    True
    """

    rate: float = 0.3  # alpha
    beta: float = 1.0
    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        self._check_rate()
        if min(self.beta, self.l1, self.l2) < 0:
            raise PlanError("FTRL takes no negative beta, l1 or l2", cure="Take 0 or more.")

    @property
    def has_leads(self) -> bool:
        """Whether it remembers a third number for each weight."""
        return True

    def numbers(self) -> NDArray[float64]:
        """Which one it is in `kernels.gradient`, and its settings."""
        return array([2.0, self.rate, self.beta, self.l1, self.l2])


@final
@dataclass(frozen=True, slots=True)
class SGD(Optimiser):
    """Steps of `rate` times the gradient.

    >>> SGD(rate=0.01)
    SGD(rate=0.01)
    """

    rate: float = 0.01

    def __post_init__(self) -> None:
        self._check_rate()

    def numbers(self) -> NDArray[float64]:
        """Which one it is in `kernels.gradient`, and its settings."""
        return array([3.0, self.rate, 0.0, 0.0, 0.0])
