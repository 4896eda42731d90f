"""Means of gradients over the ranks after the backward pass, also where ranks used different parameters."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from typing import Any

import torch

from talkoot.engines.ranks.collectives.group import Peers
from talkoot.engines.ranks.collectives.objects import all_gather_object

_DENSE, _SPARSE = 1.0, 2.0**20  # a rank's term in the sum that shows who has which gradient


@torch.no_grad()
def average(parameters: Iterable[torch.nn.Parameter], group: Peers, scale: float) -> None:
    """Gradients become their sum over the ranks, times `scale`, a factor of each rank's own.

    All ranks have the same parameters in the same order. A gradient that is missing at some ranks counts as
    zero there; one that is missing at all stays missing, as optimizers skip such parameters. Sparse gradients
    stay sparse, with the rows of all ranks.
    """
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if not scale:  # this rank has no weight, and its gradients may be nan
        for parameter in trained:
            parameter.grad = None if parameter.grad is None else torch.zeros_like(parameter.grad)
    marks = torch.tensor([_mark(parameter) for parameter in trained], dtype=torch.float64)
    group.all_reduce(marks)
    used = [(p, mark) for p, mark in zip(trained, marks.tolist(), strict=True) if mark]
    sparse = [p for p, mark in used if not mark % _SPARSE]
    dense = sorted((p for p, mark in used if mark % _SPARSE), key=_kind)
    for _, alike in groupby(dense, key=_kind):
        _add([*alike], group, scale)
    if sparse:
        _add_rows(sparse, group, scale)


def _mark(parameter: torch.nn.Parameter) -> float:
    grad = parameter.grad
    return 0.0 if grad is None else _SPARSE if grad.is_sparse else _DENSE


def _kind(parameter: torch.nn.Parameter) -> tuple[str, str]:
    return str(parameter.dtype), str(parameter.device)


def _whole(parameter: torch.nn.Parameter) -> torch.Tensor:
    """The gradient as a plain tensor; zeros where this rank has none."""
    return torch.zeros_like(parameter) if parameter.grad is None else parameter.grad.to_dense()


def _add(parameters: list[torch.nn.Parameter], group: Peers, scale: float) -> None:
    grads = [_real(_whole(parameter)).reshape(-1) for parameter in parameters]
    flat = torch.cat(grads).mul_(scale)
    group.all_reduce(flat)
    for parameter, total in zip(parameters, torch.split(flat, [len(grad) for grad in grads]), strict=True):
        if parameter.is_complex():
            parameter.grad = torch.view_as_complex(total.view(*parameter.shape, 2))
        else:
            parameter.grad = total.view(parameter.shape)


def _real(tensor: torch.Tensor) -> torch.Tensor:
    """Collective sums take real numbers only."""
    return torch.view_as_real(tensor) if tensor.is_complex() else tensor


def _add_rows(parameters: list[torch.nn.Parameter], group: Peers, scale: float) -> None:
    """Sparse gradients: every rank gets the rows of all and adds them."""
    mine: list[Any] = [_rows(parameter.grad, scale) for parameter in parameters]
    received = all_gather_object(group, mine)
    for number, parameter in enumerate(parameters):
        parts = [rank[number] for rank in received if rank[number] is not None]
        indices = torch.cat([indices for indices, _ in parts], dim=1).to(parameter.device)
        values = torch.cat([values for _, values in parts]).to(parameter.device)
        parameter.grad = torch.sparse_coo_tensor(
            indices, values, parameter.shape, check_invariants=False
        ).coalesce()


def _rows(grad: torch.Tensor | None, scale: float) -> tuple[torch.Tensor, torch.Tensor] | None:
    if grad is None:
        return None
    one = grad.coalesce()
    return one.indices().cpu(), (one.values() * scale).cpu()
