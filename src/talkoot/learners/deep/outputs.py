"""What a module returns: tensors, alone or in tuples, lists, dicts and dataclasses."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch.autograd.graph import Node


def tensors(output: Any) -> Iterator[torch.Tensor]:
    """Every tensor in an output.

    >>> len([*tensors({"logits": torch.zeros(2), "hidden": [torch.zeros(2), None]})])
    2
    """
    if isinstance(output, torch.Tensor):
        yield output
    elif isinstance(output, Mapping):
        for value in output.values():
            yield from tensors(value)
    elif isinstance(output, tuple | list):
        for value in output:
            yield from tensors(value)
    elif is_dataclass(output) and not isinstance(output, type):
        for entry in fields(output):
            yield from tensors(getattr(output, entry.name))


def each(output: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    """The same structure with every tensor changed.

    Raises:
        TypeError: a mapping or tuple that cannot be built from its parts.
    """
    if isinstance(output, torch.Tensor):
        return change(output)
    if is_dataclass(output) and not isinstance(output, type):
        return replace(output, **{f.name: each(getattr(output, f.name), change) for f in fields(output)})
    if isinstance(output, Mapping):
        return type(output)({name: each(value, change) for name, value in output.items()})  # type: ignore[call-arg]
    if isinstance(output, tuple) and hasattr(output, "_fields"):
        return type(output)(*(each(value, change) for value in output))
    if isinstance(output, tuple | list):
        return type(output)(each(value, change) for value in output)
    return output


def zero_backward(output: Any) -> None:
    """A backward pass of zeros, so that this process takes part in an exchange of gradients."""
    reached = [tensor for tensor in tensors(output) if tensor.requires_grad]
    if reached:
        torch.autograd.backward(reached, [torch.zeros_like(tensor) for tensor in reached])


def leaves(loss: torch.Tensor) -> list[torch.Tensor]:
    """The tensors that get a gradient from the backward pass of a loss, as far as its graph shows.

    >>> weight = torch.ones(2, requires_grad=True)
    >>> [leaf is weight for leaf in leaves((weight * 2).sum())]
    [True]
    """
    found: list[torch.Tensor] = []
    seen: set[Node] = set()
    waiting = [loss.grad_fn]
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        variable = getattr(node, "variable", None)
        if variable is not None:
            found.append(variable)
        waiting += [following for following, _ in node.next_functions]
    return found
