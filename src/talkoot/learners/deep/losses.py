"""Sums and checks the losses of a training, without waiting for a GPU."""

from __future__ import annotations

import math
from typing import Any, final

import numpy as np
import torch

from talkoot.core.errors import NodeFailed, PlanError

CURE = "Look for such values in its samples; else a smaller learning rate or clip= helps."


@final
class Losses:
    """The losses since the last `take`.

    On a GPU a loss is checked when the next one is added, so that the next step has started by then.

    Args:
        cure: what helps if a loss is not finite.

    >>> losses = Losses()
    >>> losses.add(torch.tensor(2.0), 3, step=0)
    >>> losses.add(torch.tensor(1.0), 1, step=0)
    >>> losses.take()
    (7.0, 4.0)
    >>> losses.take()
    (0.0, 0.0)
    """

    def __init__(self, cure: str = CURE) -> None:
        self._cure = cure
        self._sum, self._weight = 0.0, 0.0
        self._waiting: list[_Number] = []

    def add(self, loss: torch.Tensor, weight: float, *, step: int) -> None:
        """Add the mean loss of some samples of a step, and what they count.

        Raises:
            NodeFailed: the loss is not finite; on a GPU, the one before.
        """
        self._check_waiting()
        self._weight += weight
        self._note(_Number("loss", loss, weight, step))

    def check(self, checksum: torch.Tensor, *, step: int) -> None:
        """Check the sum of all gradients of a step before the step.

        Raises:
            NodeFailed: it is not finite; on a GPU that is raised when the next loss is added.
        """
        self._note(_Number("gradient", checksum.abs(), 0.0, step))

    def take(self) -> tuple[float, float]:
        """The weighted sum of the losses since the last `take`, and the sum of the weights.

        Raises:
            NodeFailed: the last loss is not finite.
        """
        self._check_waiting()
        draw_samples = self._sum, self._weight
        self._sum, self._weight = 0.0, 0.0
        return draw_samples

    def _note(self, number: _Number) -> None:
        self._waiting.append(number)
        if not number.gpu:
            self._check_waiting()

    def _check_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for number in waiting:
            value = number.value()
            if not math.isfinite(value):
                cause = f"the {number.what} is {value}"
                raise NodeFailed(cause, step=f"step {number.step}", cure=self._cure)
            if number.weight:
                self._sum += number.weight * value


@final
class _Number:
    """A number that is copied to this process's memory."""

    def __init__(self, what: str, number: torch.Tensor, weight: float, step: int) -> None:
        self.what, self.weight, self.step = what, weight, step
        self.gpu = number.device.type == "cuda"
        self._copy = torch.empty((), dtype=number.dtype, pin_memory=self.gpu)
        self._copy.copy_(number, non_blocking=True)
        self._arrival: Any = torch.cuda.current_stream(number.device).record_event() if self.gpu else None

    def value(self) -> float:
        """The number; waits for the copy."""
        if self._arrival is not None:
            self._arrival.synchronize()
        return float(self._copy)


def as_weight(count: Any) -> float:
    """The result of a task's `count` as a number.

    Raises:
        PlanError: it cannot be a weight.
    """
    if isinstance(count, torch.Tensor) and count.numel() == 1:
        count = count.detach().item()
    if not isinstance(count, int | float | np.number) or not 0 <= float(count) < math.inf:
        what = f"a tensor of shape {tuple(count.shape)}" if isinstance(count, torch.Tensor) else repr(count)
        raise PlanError(
            f"count= gave {what}, not one number of 0 or more",
            cure="Return how many targets the loss is a mean of, such as (target != -100).sum().",
        )
    return float(count)


def untrained() -> PlanError:
    """The error for a loss that depends on no trained parameter."""
    return PlanError(
        "the loss depends on no parameter that is trained",
        cure="Compute it from the module's output by functions of torch, without detach() or item().",
    )
