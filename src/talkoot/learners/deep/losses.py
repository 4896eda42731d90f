"""The losses of a training: summed, checked, and never waited for while a GPU is at work."""

from __future__ import annotations

import math
from typing import Any, final

import torch

from talkoot.core.errors import NodeFailed


@final
class Losses:
    """The losses since somebody asked.

    On a GPU a loss is looked at when the next one comes, so that its next step is already under way.

    >>> losses = Losses()
    >>> losses.add(torch.tensor(2.0), 3, step=0)
    >>> losses.add(torch.tensor(1.0), 1, step=0)
    >>> losses.take()
    (7.0, 4)
    >>> losses.take()
    (0.0, 0)
    """

    def __init__(self) -> None:
        self._sum, self._rows = 0.0, 0
        self._last: _Loss | None = None

    def add(self, loss: torch.Tensor, rows: int, *, step: int) -> None:
        """Note the mean loss of some samples of a step.

        Raises:
            NodeFailed: it is not finite; on a GPU, the one before is not.
        """
        self._look()
        self._last, self._rows = _Loss(loss, rows, step), self._rows + rows
        if loss.device.type != "cuda":
            self._look()

    def take(self) -> tuple[float, int]:
        """The sum of the losses of all samples since the last time, and how many samples these were.

        Raises:
            NodeFailed: the last one is not finite.
        """
        self._look()
        taken = self._sum, self._rows
        self._sum, self._rows = 0.0, 0
        return taken

    def _look(self) -> None:
        last, self._last = self._last, None
        if last is not None:
            self._sum += last.rows * last.value()


@final
class _Loss:
    """One loss, on its way to this process's memory."""

    def __init__(self, loss: torch.Tensor, rows: int, step: int) -> None:
        self.rows, self.step = rows, step
        gpu = loss.device.type == "cuda"
        self._here = torch.empty((), dtype=loss.dtype, pin_memory=gpu).copy_(loss, non_blocking=True)
        self._arrival: Any = torch.cuda.current_stream(loss.device).record_event() if gpu else None

    def value(self) -> float:
        """The number, once it is here."""
        if self._arrival is not None:
            self._arrival.synchronize()
        value = float(self._here)
        if not math.isfinite(value):
            raise NodeFailed(
                f"the loss is {value}",
                step=f"step {self.step}",
                cure="Look for such values in its samples; else a smaller learning rate or clip= helps.",
            )
        return value
