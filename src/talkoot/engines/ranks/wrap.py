"""Wraps a trainer's module so that ranks exchange gradients: DDP, or FSDP where each rank has a part."""

from __future__ import annotations

import os
import sys
from collections import Counter
from collections.abc import Iterable
from functools import partial
from typing import Any, final

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from talkoot.core.errors import PlanError
from talkoot.engines.ranks.collectives.gradients import average
from talkoot.engines.ranks.collectives.group import Peers
from talkoot.engines.ranks.collectives.objects import all_gather_object
from talkoot.learners.deep.outputs import leaves
from talkoot.learners.deep.torch_private import forget_groups
from talkoot.learners.deep.trainer import Trainer

Signature = list[tuple[str, tuple[int, ...], str]]


def agree_on_parameters(module: torch.nn.Module, group: Peers) -> None:
    """Check that all ranks have built the same module.

    Raises:
        PlanError: they have not; the first difference is named.
    """
    mine: Signature = [
        (name, tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in module.state_dict().items()
    ]
    first, *others = all_gather_object(group, mine)
    for rank, other in enumerate(others, 1):
        if other != first:
            raise PlanError(
                f"build() gave rank 0 {_difference(first, other)}, "
                f"and rank {rank} {_difference(other, first)}",
                step="comparing parameters",
                cure="It has to build the same module in every process: nothing random or local may decide.",
            )


def _difference(mine: Signature, theirs: Signature) -> str:
    only = [tensor for tensor in mine if tensor not in theirs]
    if not only:
        return f"{len(mine)} tensors without it" if len(mine) < len(theirs) else "the same in another order"
    name, shape, dtype = only[0]
    return f"{name!r} as {dtype} {shape}"


def replicate(trainer: Trainer, group: Peers) -> None:
    """Every rank has all parameters; gradients are averaged bucket by bucket during the backward pass.

    Where all ranks are on one machine, buckets go through shared memory instead of sockets. Gradients that
    DDP cannot exchange, or only in the last of several parts, are averaged after the backward pass.
    """
    here, task = trainer.device, trainer.task
    shared = group.share_memory() if here.type == "cpu" else None
    complexes = any(parameter.is_complex() for parameter in trainer.module.parameters())
    if task.unused == "zeros" or task.accumulate > 1 or trainer.sparse or complexes:
        trainer.call(trainer.module, lambda last: _average(trainer, group) if last else None)
        return
    net = DistributedDataParallel(
        trainer.module,
        device_ids=[here.index] if here.type == "cuda" else None,
        forward_sync_buffers=False,
        gradient_as_bucket_view=True,
        init_sync=False,
    )
    if shared is not None:
        from talkoot.engines.ranks.collectives.hook import hook

        net.register_comm_hook(shared, hook)
    trainer.call(net, lambda last: check_used(trainer, group))


def _average(trainer: Trainer, group: Peers) -> None:
    if trainer.task.unused != "zeros":
        check_used(trainer, group)
    average(trainer.trained(), group, 1 / group.world)


def check_used(trainer: Trainer, group: Peers, names: Iterable[str] | None = None) -> None:
    """Check that this rank has every gradient that the others wait for.

    `names` are the parameters that take part; None after a backward pass: those that have a gradient.

    Raises:
        PlanError: one is missing; the parameter is named.
    """
    if names is None and all(parameter.grad is not None for parameter in trainer.trained()):
        return
    named = [(name, p) for name, p in trainer.module.named_parameters() if p.requires_grad]
    used = {name for name, p in named if p.grad is not None} if names is None else {*names}
    unused = [name for name, _ in named if name not in used]
    if unused:
        more = f" (and {len(unused) - 1} more)" if unused[1:] else ""
        raise PlanError(
            f"parameter {unused[0]!r}{more} took no part in the loss of this rank's samples, and the others "
            "wait for its gradient",
            node=f"rank {group.rank}",
            step=f"step {trainer.steps}",
            cure='Write tk.Torch(..., unused="zeros") if samples decide which parameters are used, or use '
            "all of them in forward().",
        )


def shard(trainer: Trainer, group: Peers) -> None:
    """Every rank has a part of each parameter, of its gradient and of the optimizer's state (FSDP2).

    Torch caches by mesh which part belongs to this process. In another epoch it may be another rank, so each
    epoch's mesh has another name.

    Raises:
        PlanError: the task has gradients that FSDP cannot divide, or ranks share a GPU.
    """
    if trainer.task.unused == "zeros" or trainer.sparse:
        what = "sparse gradients" if trainer.sparse else 'unused="zeros"'
        raise PlanError(
            f"{what} and sharded=True do not go together: FSDP divides gradients that every rank has in full",
            cure="Take tk.every_step() without sharded=True.",
        )
    if trainer.device.type == "cuda" and group.world > 1 and "nccl" not in dist.get_backend_config():
        raise PlanError(
            "ranks that share a GPU cannot keep a part of the parameters each",
            cure="Take as many workers as there are GPUs, or tk.every_step() without sharded=True.",
        )
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    name = group.all_gather(os.urandom(8))[0].hex()
    mesh = init_device_mesh(trainer.device.type, (group.world,), mesh_dim_names=(name,))
    names = {id(parameter): name for name, parameter in trainer.module.named_parameters()}
    module: Any = trainer.module
    for unit in units(module):
        fully_shard(unit, mesh=mesh)
    fully_shard(module, mesh=mesh)
    parts = dict(module.named_parameters())
    for part in trainer.optimizer.param_groups:
        part["params"] = [parts[names[id(parameter)]] for parameter in part["params"]]
    parts_of_step = _Parts(trainer, group)
    trainer.call(module, parts_of_step.after, parts_of_step.before)


@final
class _Parts:
    """Gradients of the parts of a step (`accumulate`), each of which FSDP sums over the ranks.

    FSDP exchanges the gradients of the parameters that take part. If these differed between ranks, it would
    add one parameter's gradient to another's, so the graph is checked before the backward pass.
    """

    def __init__(self, trainer: Trainer, group: Peers) -> None:
        self._trainer, self._group = trainer, group
        self._before: list[torch.Tensor] = []
        self._names: dict[int, str] = {}
        for place, unit in trainer.module.named_modules():
            if is_sharded(unit):
                unit.register_forward_pre_hook(partial(self._note_names, place))

    def _note_names(self, place: str, unit: torch.nn.Module, args: Any) -> None:
        """Note the names of a unit's gathered parameters, which are other tensors than its shards."""
        prefix = f"{place}." if place else ""
        self._names |= {id(p): prefix + name for name, p in unit.named_parameters()}

    def before(self, loss: torch.Tensor) -> None:
        """Check that all parameters take part."""
        if self._trainer.graph_is_complete:
            check_used(self._trainer, self._group, (self._names.get(id(leaf), "") for leaf in leaves(loss)))

    def after(self, last: bool) -> None:
        """Check that all parameters took part, and add up the gradients of the parts."""
        check_used(self._trainer, self._group)
        trained = self._trainer.trained()
        grads = [p.grad for p in trained if p.grad is not None]
        if self._before:
            grads = [torch.add(a, b) for a, b in zip(self._before, grads, strict=True)]
        for parameter, grad in zip(trained, grads, strict=True):
            parameter.grad = grad if last else None
        self._before = [] if last else grads


def forget_shards(module: Any) -> None:
    """Drop a sharded module's references to its process group.

    Torch caches each operation on sharded tensors together with their mesh, which would hold the group's
    threads and sockets for good.
    """
    for part in module.parameters():
        mesh = getattr(part, "device_mesh", None)  # None after a forward pass that raised
        if mesh is not None:
            forget_groups(mesh)


def units(module: torch.nn.Module) -> list[torch.nn.Module]:
    """Parts of a module that FSDP gathers one after the other: its blocks, also those in its lists.

    Not among them are single layers, whose outputs may be views that must not be changed in place, and parts
    that share a parameter, such as an embedding and a layer tied to it.

    >>> blocks = [torch.nn.Sequential(torch.nn.Linear(2, 2)) for _ in range(3)]
    >>> len(units(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ModuleList(blocks))))
    3
    """
    owners = Counter(id(p) for _, p in module.named_parameters(remove_duplicate=False))
    own = {unit: [owners[id(p)] for p in unit.parameters()] for unit in _blocks(module)}
    return [unit for unit, counts in own.items() if counts and max(counts) == 1]


def _blocks(module: torch.nn.Module) -> list[torch.nn.Module]:
    found: list[torch.nn.Module] = []
    for child in module.children():
        if isinstance(child, torch.nn.ModuleList | torch.nn.ModuleDict):
            found += _blocks(child)
        elif any(True for _ in child.children()):
            found.append(child)
    return found


def is_sharded(module: torch.nn.Module) -> bool:
    """Whether `shard` has sharded this module."""
    return "torch.distributed.fsdp" in sys.modules and isinstance(
        module, sys.modules["torch.distributed.fsdp"].FSDPModule
    )


def whole_state(module: torch.nn.Module) -> dict[str, Any]:
    """A module's state with every tensor complete and on the CPU, also where each rank has a part."""
    from torch.distributed.tensor import DTensor

    return {
        name: (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).detach().cpu()
        for name, tensor in module.state_dict().items()
    }
