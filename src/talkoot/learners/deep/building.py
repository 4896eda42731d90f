"""Calls a task's build() and checks what it returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from talkoot.core.errors import PlanError

Built = tuple[torch.nn.Module, torch.optim.Optimizer, Any]
_WANTED = "return (module, optimizer) or (module, optimizer, scheduler)"


def build(function: Callable[[], Any], device: torch.device) -> Built:
    """Module, optimizer and scheduler (or None) that `function` builds, on `device`.

    Raises:
        PlanError: it returns anything else, or the optimizer has other parameters.
    """
    built = function()
    parts = built if isinstance(built, tuple) else (built,)
    if len(parts) not in (2, 3) or not isinstance(parts[0], torch.nn.Module):
        kinds = ", ".join(type(part).__name__ for part in parts)
        raise PlanError(f"build() gave ({kinds})", cure=f"It has to {_WANTED}.")
    module, optimizer, scheduler = (*parts, None)[:3]
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise PlanError(
            f"build() gave a {type(optimizer).__name__} as optimizer", cure=f"It has to {_WANTED}."
        )
    if isinstance(optimizer, torch.optim.LBFGS):
        raise PlanError(
            "LBFGS evaluates the loss several times a step, and nodes meet once a step",
            cure="Take another optimizer.",
        )
    _check_shapes(module)
    _check_scheduler(scheduler)
    _check_owner(module, optimizer)
    module.to(device)
    return module, optimizer, scheduler


def _check_shapes(module: torch.nn.Module) -> None:
    """Refuse parameters without a shape: nodes start from equal ones before they read a sample."""
    named = (*module.named_parameters(), *module.named_buffers())
    lazy = next((name for name, tensor in named if torch.nn.parameter.is_lazy(tensor)), None)
    if lazy is not None:
        owner = type(module.get_submodule(lazy.rpartition(".")[0])).__name__
        raise PlanError(
            f"parameter {lazy!r} has no shape before a {owner} has seen a sample, and nodes start from the "
            "same parameters before they see any",
            cure=f"Write {owner.removeprefix('Lazy')} with its number of inputs, or call module(torch.zeros("
            "1, ...)) in build(), with the shape of a sample, before the optimizer is made.",
        )


def _check_scheduler(scheduler: Any) -> None:
    """Refuse schedulers that need more than step()."""
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise PlanError(
            "ReduceLROnPlateau waits for a metric that stops falling, and schedulers are stepped once a step "
            "without one",
            cure="Take one that knows its steps, such as CosineAnnealingLR(optimizer, T_max=steps), or train "
            "once more from the first model, with a smaller rate.",
        )
    if scheduler is not None and not callable(getattr(scheduler, "step", None)):
        kind = type(scheduler).__name__
        raise PlanError(f"build() gave a {kind} as scheduler", cure=f"It has to {_WANTED}.")


def _check_owner(module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    own = {id(p) for p in module.parameters()}
    stepped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    if not stepped <= own:
        raise PlanError(
            "the optimizer steps parameters that are not the module's",
            cure="Make it from this module's parameters().",
        )
    idle = [n for n, p in module.named_parameters() if p.requires_grad and id(p) not in stepped]
    if idle:
        raise PlanError(
            f"the optimizer does not step {idle[0]!r}" + (f" and {len(idle) - 1} more" if idle[1:] else ""),
            cure="Give it all of module.parameters(), or freeze the others with requires_grad_(False).",
        )


def device_for(name: str | None) -> torch.device:
    """The device of that name; None for the GPU of this process's local rank if there is one, else the CPU.

    Raises:
        PlanError: there is no such device.
    """
    gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name is None:
        name = "cuda" if gpus else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise PlanError(f"device={name!r} is none of torch's", cure='Take "cpu" or "cuda".') from None
    if device.type == "cuda" and (device.index or 0) >= gpus:
        raise PlanError(
            f"device={name!r} is set, and torch {torch.__version__} sees {gpus or 'no'} GPU here",
            cure="Leave device= out to use what there is, or install a CUDA build on a machine that has one.",
        )
    if device == torch.device("cuda"):
        return torch.device("cuda", torch.cuda.current_device())
    return device
