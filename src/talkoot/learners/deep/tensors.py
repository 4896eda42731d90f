"""A module's parameters and buffers as named numpy arrays, which are sent, and back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatch

import numpy as np
import torch

from talkoot.core.errors import PlanError
from talkoot.core.update import BUFFER

Arrays = dict[str, np.ndarray]
MEAN, KEEP = "mean", "keep"
_KNOWN = {"*running_mean": MEAN, "*running_var": MEAN, "*num_batches_tracked": MEAN}  # torch's batch norms


def named(module: torch.nn.Module, rules: Mapping[str, str]) -> Iterator[tuple[str, torch.Tensor]]:
    """Trained parameters and merged buffers, by the name of their leaf; tied ones once.

    `rules` are "mean" or "keep" by pattern of buffer names; "keep" leaves a buffer out.

    Raises:
        PlanError: a buffer of whole numbers without a rule.
    """
    seen: set[int] = set()
    for name, tensor in module.state_dict(keep_vars=True).items():
        if not isinstance(tensor, torch.Tensor) or id(tensor) in seen:
            continue
        seen.add(id(tensor))
        if isinstance(tensor, torch.nn.Parameter):
            if tensor.requires_grad:
                yield name, tensor
        elif rule(name, tensor, rules) == MEAN:
            yield BUFFER + name, tensor


def rule(name: str, tensor: torch.Tensor, rules: Mapping[str, str]) -> str:
    """How a buffer merges: by the task's rule, else that for torch's batch norms, else the mean of floats.

    >>> rule("bn.num_batches_tracked", torch.tensor(3), {})
    'mean'
    """
    for pattern, chosen in (*rules.items(), *_KNOWN.items()):
        if fnmatch(name, pattern):
            return chosen
    if tensor.is_floating_point() or tensor.is_complex():
        return MEAN
    raise PlanError(
        f"buffer {name!r} holds {str(tensor.dtype).removeprefix('torch.')}, which has no mean of its own",
        cure=f"Declare how it merges: tk.Torch(..., buffers={{{name!r}: 'keep'}}) leaves each node its own, "
        "'mean' takes the rounded mean.",
    )


def fixed(module: torch.nn.Module, rules: Mapping[str, str]) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors that are not sent, by name: frozen parameters, and buffers that each node has its own of."""
    moving = {id(tensor) for _, tensor in named(module, rules)}
    for name, tensor in module.state_dict(keep_vars=True).items():
        if isinstance(tensor, torch.Tensor) and id(tensor) not in moving:
            yield name, tensor


def everything(module: torch.nn.Module, rules: Mapping[str, str]) -> Arrays:
    """Copies of all tensors of `named` and `fixed`: a whole model."""
    return arrays(module, rules) | {name: array(tensor) for name, tensor in fixed(module, rules)}


def arrays(module: torch.nn.Module, rules: Mapping[str, str]) -> Arrays:
    """Copies of all tensors of `named`, in float32 or wider."""
    return {name: array(tensor) for name, tensor in named(module, rules)}


def floats_of(module: torch.nn.Module) -> torch.dtype:
    """The dtype of a module's first floating-point parameter, by default torch's.

    >>> floats_of(torch.nn.Linear(1, 1).double())
    torch.float64
    """
    kinds = (parameter.dtype for parameter in module.parameters() if parameter.is_floating_point())
    return next(kinds, torch.get_default_dtype())


def array(tensor: torch.Tensor) -> np.ndarray:
    """A copy of a tensor."""
    whole = not (tensor.is_floating_point() or tensor.is_complex())
    least = torch.float64 if whole else torch.float32  # the mean of whole numbers is a float
    return np.asarray(tensor.detach().to(torch.promote_types(tensor.dtype, least), copy=True).cpu().numpy())


@torch.no_grad()
def put(
    module: torch.nn.Module,
    values: Mapping[str, np.ndarray],
    rules: Mapping[str, str],
    *,
    own: bool = False,
) -> None:
    """Copy arrays, from `arrays` or `everything`, into the module, in place; whole numbers are rounded.

    With `own` also into buffers that each node has its own of.
    """
    frozen = ((n, t) for n, t in fixed(module, rules) if own or isinstance(t, torch.nn.Parameter))
    for name, tensor in (*named(module, rules), *frozen):
        if name in values:
            value = torch.from_numpy(np.ascontiguousarray(values[name]))
            if not (tensor.is_floating_point() or tensor.is_complex()):
                value = value.round()
            tensor.copy_(value.reshape(tensor.shape))


def fragment(names: Sequence[str], index: int, count: int) -> list[str]:
    """The names of part `index` of `count`: every count-th, so that parts mix early and late layers.

    Buffers are in every part. Source of the strided pattern: Streaming DiLoCo, arXiv:2501.18512.

    >>> fragment(["a", "b", "c", "buffer:n"], 1, 2)
    ['b', 'buffer:n']
    """
    weights = [name for name in names if not name.startswith(BUFFER)]
    return weights[index % count :: count] + [name for name in names if name.startswith(BUFFER)]
