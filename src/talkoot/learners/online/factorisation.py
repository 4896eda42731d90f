"""Factorisation machines: a linear model and the pairs of its features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, final

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import PlanError
from talkoot.learners.online.checking import Rows
from talkoot.learners.online.features import Layout
from talkoot.learners.online.linear import GradientModel
from talkoot.learners.online.model import Task
from talkoot.learners.online.state import State


@final
@dataclass(frozen=True)
class FactorisationMachine(GradientModel):
    """Rendle's factorisation machine: what pairs of numbers and categories add, by `factors` for each.

    Args:
        optimiser: how weights move; FTRL is refused, as it begins factors at 0, where they stay.
        l2: how strongly each step draws the weights and factors of the row's features towards 0.
        intercept: True: a weight as others are; a number: its own rate; False: none.
        scale: numbers are scaled by the mean and deviation of the rows so far.
        bits: categories share 2**bits lines of factors.
        factors: how many factors each feature has.
        predicts: "binary" or "number".

    >>> import talkoot as tk
    >>> tk.online.FactorisationMachine(factors=4).task
    'binary'
    """

    bits: int = 14
    factors: int = 8
    predicts: Literal["binary", "number"] = "binary"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.optimiser.has_leads:
            raise PlanError("FTRL holds factors at 0", cure="Take tk.online.AdaGrad().")
        if self.factors < 1 or self.predicts not in ("binary", "number"):
            raise PlanError("factors are 1 or more, and predicts is 'binary' or 'number'")

    @property
    def task(self) -> Task:
        """What is predicted."""
        return self.predicts

    @property
    def loss(self) -> int:
        """Which loss it is in `kernels.gradient`."""
        return 0 if self.predicts == "binary" else 1

    def start(self, layout: Layout, seed: int) -> State:
        """Weights of 0, and small factors that are the same for the same seed."""
        state = super().start(layout, seed)
        shape = (state["weights"].shape[1] - 1, self.factors)
        state["factors"] = np.random.default_rng(seed).normal(scale=0.01, size=shape)
        state["factor_sums"] = np.zeros(shape)
        return state

    def _run(self, state: State, ready: Rows) -> NDArray[Any]:
        from talkoot.kernels.gradient import factorisation

        predicted: NDArray[Any] = factorisation(
            *ready,
            state["weights"],
            state["sums"],
            state["factors"],
            state["factor_sums"],
            state["moments"],
            state["target"],
            *self._settings(),
        )
        return predicted
