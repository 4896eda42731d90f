"""Whether the loss of a batch is the mean over parts: a batch compared with its halves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, final

import torch

from talkoot.core.errors import PlanError
from talkoot.learners.deep.outputs import each, tensors
from talkoot.learners.deep.trainer import Trainer

TOLERANCE = {torch.float64: 1e-7, torch.float32: 2e-4}  # relative, of a mean in that dtype
_COUNT = "count=lambda output, target: (target != -100).sum()"

Part = tuple[Any, torch.Tensor]  # output and target


@final
@dataclass(frozen=True, slots=True)
class Halves:
    """The loss of some samples."""

    whole: float  # all at once
    mean: float  # of the halves, weighted by what they count
    sum: float  # of the halves
    differs: bool  # the whole is not the mean


@torch.no_grad()
def compare(trainer: Trainer, x: torch.Tensor, y: torch.Tensor) -> Halves | None:
    """The loss of all samples and of their halves.

    Returns:
        None if they cannot be compared: for a single sample, or a loss that draws random numbers or depends
        on more than the module's output.
    """
    rows = len(x)
    if rows < 2:
        return None
    whole = again = trainer.forward(x), y
    halves, least = _split(whole, rows), 0.0
    if halves is None:
        again = trainer.forward(x), y
        halves = [(trainer.forward(x[part]), y[part]) for part in _slices(rows)]
        least = 0.03 if trainer.task.precision == "bf16" else 1e-3  # rounding depends on the batch size
    for dtype, tolerance in TOLERANCE.items():
        try:
            losses = [_loss(trainer, part, dtype) for part in (whole, again, *halves)]
        except Exception:  # such as class weights in float32 beside float64
            continue
        weights = [trainer.weight(*part) for part in halves]
        return _judge(losses, weights, max(least, tolerance))
    return None


def _judge(losses: Sequence[float], weights: Sequence[float], tolerance: float) -> Halves | None:
    whole, again, *parts = losses
    if whole != again or not math.isfinite(whole) or not sum(weights):
        return None
    mean = sum(w * loss for w, loss in zip(weights, parts, strict=True) if w) / sum(weights)
    least = tolerance * max(abs(value) for value in (whole, *parts)) + 1e-12
    differs = not abs(whole - mean) <= least  # also where a half is not a number
    return Halves(whole, mean, sum(parts), differs)


def explain(halves: Halves, *, counted: bool) -> str:
    """What the difference means.

    Raises:
        PlanError: the task has no `count`.
    """
    found = f"the loss of a batch is {halves.whole:.6g}, and the mean of its halves {halves.mean:.6g}"
    if counted:
        return (
            f"{found}, though weighted by count=: the loss compares samples with each other, so each part "
            "compares its own samples alone, and the answer depends on ranks and accumulate="
        )
    if math.isclose(halves.whole, halves.sum, rel_tol=1e-4):
        raise PlanError(
            f"{found}: the loss is a sum over the samples, not their mean",
            cure='Take the mean, such as reduction="mean".',
        )
    raise PlanError(
        f"{found}: it is no mean over samples, so taken in parts it would give another model than at once",
        cure=f"If it is a mean over tokens or targets, say how many a part has: tk.Torch(..., {_COUNT}). If "
        "it compares samples with each other (in-batch negatives), count= cannot mend that: take "
        "on=tk.Inline() and accumulate=1, or count=lambda output, target: len(target) if each part may "
        "compare its own samples alone.",
    )


def _loss(trainer: Trainer, part: Part, dtype: torch.dtype) -> float:
    """The loss in `dtype`, so that it differs by more than rounding or not at all."""
    out, y = part
    wide = each(out, lambda t: t.to(dtype) if t.is_floating_point() else t)
    target = y.to(dtype) if y.is_floating_point() else y
    return float(trainer.task.loss(wide, target))


def _split(whole: Part, rows: int) -> list[Part] | None:
    """The halves of an output and its target; None if the output does not have a row for each sample."""
    out, y = whole
    found = [*tensors(out)]
    if not found or any(t.dim() == 0 or len(t) != rows for t in found):
        return None
    try:
        return [(each(out, itemgetter(part)), y[part]) for part in _slices(rows)]
    except TypeError:
        return None


def _slices(rows: int) -> tuple[slice, slice]:
    return slice(0, rows // 2), slice(rows // 2, rows)
