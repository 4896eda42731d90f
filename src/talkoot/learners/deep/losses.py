"""The losses of a training: summed, checked, and never waited for while a GPU is at work."""

from __future__ import annotations

import math
from typing import Any, final

import numpy as np
import torch

from talkoot.core.errors import NodeFailed, PlanError

CURE = "Look for such values in its samples; else a smaller learning rate or clip= helps."


@final
class Losses:
    """The losses since somebody asked.

    On a GPU a loss is looked at when the next one comes, so that its next step is already under way.

    Args:
        cure: what helps where one is not finite.

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
        """Note the mean loss of some samples of a step, and what they count.

        Raises:
            NodeFailed: it is not finite; on a GPU, the one before is not.
        """
        self._look()
        self._weight += weight
        self._note(_Number("loss", loss, weight, step))

    def check(self, checksum: torch.Tensor, *, step: int) -> None:
        """Note the sum of all gradients of a step that is about to be taken.

        Raises:
            NodeFailed: it is not finite, on the processor; on a GPU that shows when the next loss is added.
        """
        self._note(_Number("gradient", checksum.abs(), 0.0, step))

    def take(self) -> tuple[float, float]:
        """The sum of the losses since the last time, each times its weight, and the sum of the weights.

        Raises:
            NodeFailed: the last one is not finite.
        """
        self._look()
        taken = self._sum, self._weight
        self._sum, self._weight = 0.0, 0.0
        return taken

    def _note(self, number: _Number) -> None:
        self._waiting.append(number)
        if not number.gpu:
            self._look()

    def _look(self) -> None:
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
    """One number, on its way to this process's memory."""

    def __init__(self, what: str, number: torch.Tensor, weight: float, step: int) -> None:
        self.what, self.weight, self.step = what, weight, step
        self.gpu = number.device.type == "cuda"
        self._here = torch.empty((), dtype=number.dtype, pin_memory=self.gpu)
        self._here.copy_(number, non_blocking=True)
        self._arrival: Any = torch.cuda.current_stream(number.device).record_event() if self.gpu else None

    def value(self) -> float:
        """The number, once it is here."""
        if self._arrival is not None:
            self._arrival.synchronize()
        return float(self._here)


def as_weight(said: Any) -> float:
    """What a task's `count` gave, as a number.

    Raises:
        PlanError: it cannot be a weight.
    """
    if isinstance(said, torch.Tensor) and said.numel() == 1:
        said = said.detach().item()
    if not isinstance(said, int | float | np.number) or not 0 <= float(said) < math.inf:
        what = f"a tensor of shape {tuple(said.shape)}" if isinstance(said, torch.Tensor) else repr(said)
        raise PlanError(
            f"count= gave {what}, not one number of 0 or more",
            cure="Return how many targets the loss is a mean of, such as (target != -100).sum().",
        )
    return float(said)
