"""Checks that gradients and parameters are finite."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch

from talkoot.core.errors import NodeFailed
from talkoot.learners.deep.losses import CURE


@torch.no_grad()
def checksum(gradients: Iterable[torch.Tensor | None]) -> torch.Tensor:
    """A number that is finite if all gradients are.

    It is their sum, which may overflow; on a GPU, where a sum for each would take longer to start than to do,
    the greatest magnitude.

    >>> checksum([torch.ones(2), None, torch.tensor([float("nan")])])
    tensor(nan)
    """
    parts = [local(gradient) for gradient in gradients if gradient is not None]
    if parts and parts[0].device.type == "cuda":
        return greatest(parts)
    sums = [part.sum() for part in parts]
    return sum(sums[1:], start=sums[0]) if sums else torch.zeros(())


def greatest(parts: Iterable[torch.Tensor]) -> torch.Tensor:
    """The greatest magnitude in tensors, in a few kernels for all of them; nan if there is one.

    >>> greatest([torch.tensor([1.0, -3.0]), torch.ones(2, 2)])
    tensor(3.)
    >>> greatest([torch.tensor([1.0, float("nan")]), torch.tensor([float("inf")])])
    tensor(nan)
    """
    return torch.nn.utils.get_total_norm(parts, math.inf)


def nonfinite(named: Iterable[tuple[str, torch.Tensor | None]]) -> list[str]:
    """The names of tensors that are not finite."""
    return [name for name, t in named if t is not None and not torch.isfinite(local(t)).all()]


def local(tensor: torch.Tensor) -> torch.Tensor:
    """The stored values of a sparse tensor; this process's part of a sharded one."""
    if tensor.is_sparse:
        return tensor._values()
    part = getattr(tensor, "to_local", None)
    return tensor if part is None else part()


def bad_gradient(name: str, step: int, *, node: str | None = None) -> NodeFailed:
    """The error for a gradient that is not finite."""
    cause = f"the loss is finite, and the gradient of {name!r} is not"
    return NodeFailed(cause, node=node, step=f"step {step}", cure=CURE)


def bad_parameter(name: str, step: int) -> NodeFailed:
    """The error for a parameter that an optimizer's step made infinite or NaN."""
    return NodeFailed(
        f"the optimizer has made parameter {name!r} infinite or not a number",
        step=f"step {step}",
        cure="A smaller learning rate helps, or a larger eps= of the optimizer.",
    )
