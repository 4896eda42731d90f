"""Training loops by hand: with tk.join, with DDP, and DiLoCo in plain torch on two copies of a module."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch.nn.functional import mse_loss
from torch.nn.parallel import DistributedDataParallel
from works import Send, rank

import talkoot as tk
from patience import NEVER

H = 3


def module(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1))


def batches(rank: int, steps: int = 12) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(rank)
    for _ in range(steps):
        X = torch.randn(4 + 4 * rank, 5, generator=generator)
        yield X, X.sum(1, keepdim=True)


def plan(sync: Any, **parts: Any) -> tk.Plan:
    task = tk.Torch(lambda: (), mse_loss)
    return tk.Plan(task, **{"chain": [tk.weigh("rows")], "sync": sync, **parts})


def state(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.detach().numpy().copy() for name, tensor in module.state_dict().items()}


def report(send: Send) -> str:
    """Every loop in one start of the ranks; modules start differently on purpose: the first rank's counts.

    In the end one rank raises, and all send what they caught.
    """
    found: dict[str, Any] = {"every step": state(at_every_step()), "ddp": state(ddp())}
    found["weighed"], found["refused"] = gradient_of_all(), refused()
    found["unused"] = gradients_of_some()
    for fragments in (1, 3):
        sync = tk.every(steps=H * fragments, fragments=fragments)
        found[f"diloco {fragments}"], found[f"met {fragments}"] = diloco(sync)
    send(found)
    try:
        with tk.join(plan(tk.every_step()), module(), timeout=NEVER) as link:
            if rank() == 1:
                raise KeyError("by hand")
            link.merge_()
    except Exception as error:
        return repr(error)
    return "nothing was raised"


def at_every_step() -> torch.nn.Module:
    mine = module(seed=rank())
    with tk.join(plan(tk.every_step()), mine, timeout=NEVER) as link:
        optimizer = torch.optim.AdamW(mine.parameters(), lr=0.01)
        for X, y in batches(link.rank):
            optimizer.zero_grad()
            torch.autograd.backward(mse_loss(mine(X), y))
            assert link.merge_()
            optimizer.step()
    return mine


def ddp() -> torch.nn.Module:
    mine = module()
    with tk.join(plan(tk.every_step()), mine, timeout=NEVER):
        net = DistributedDataParallel(mine)
        optimizer = torch.optim.AdamW(mine.parameters(), lr=0.01)
        for X, y in batches(rank()):
            optimizer.zero_grad()
            torch.autograd.backward(mse_loss(net(X), y))
            optimizer.step()
    return mine


def gradient_of_all() -> np.ndarray:
    """The gradient of the loss over both ranks' samples, which are not equally many."""
    mine = module()
    with tk.join(plan(tk.every_step()), mine, timeout=NEVER) as link:
        X, y = next(batches(link.rank))
        torch.autograd.backward(mse_loss(mine(X), y))
        link.merge_(weight=len(X))
    return gradient(mine)


def gradients_of_some() -> list[Any]:
    """Of a parameter that both ranks use, one that the first uses, one that nobody uses; then of a rank whose
    samples count nothing, so that its mean loss is not a number."""
    mine = torch.nn.ParameterList(torch.nn.Parameter(torch.ones(1)) for _ in range(3))
    with tk.join(plan(tk.every_step()), mine, timeout=NEVER) as link:
        torch.autograd.backward(mine[0] * 2 + (mine[1] * 4 if link.rank == 0 else 0))
        link.merge_(weight=1.0)
        found = [None if p.grad is None else float(p.grad) for p in mine]
        mine.zero_grad()
        torch.autograd.backward(mine[0] * (3.0 if link.rank == 0 else float("nan")))
        link.merge_(weight=1.0 - link.rank)
        return [*found, float(mine[0].grad)]


def gradient(module: torch.nn.Module) -> np.ndarray:
    return torch.cat([p.grad.reshape(-1) for p in module.parameters() if p.grad is not None]).numpy()


def diloco(sync: Any) -> tuple[dict[str, np.ndarray], list[bool]]:
    mine = module(seed=rank())
    with tk.join(plan(sync, outer=tk.Nesterov()), mine, timeout=NEVER) as link:
        optimizer = torch.optim.AdamW(mine.parameters(), lr=0.01)
        met = []
        for X, y in batches(link.rank):
            optimizer.zero_grad()
            torch.autograd.backward(mse_loss(mine(X), y))
            optimizer.step()
            met.append(link.merge_())
    return state(mine), met


def refused() -> str:
    """Modules that differ."""
    try:
        tk.join(plan(tk.every_step()), torch.nn.Linear(2, 1 + rank()), timeout=NEVER)
    except tk.PlanError as error:
        return str(error)
    return ""


def diloco_in_torch() -> dict[str, np.ndarray]:
    """Two copies in one process, and torch's own SGD as the outer step."""
    shared = module()
    outer = torch.optim.SGD(shared.parameters(), lr=0.7, momentum=0.9, nesterov=True)
    nodes = [copy.deepcopy(shared) for _ in range(2)]
    optimizers = [torch.optim.AdamW(node.parameters(), lr=0.01) for node in nodes]
    for step, pair in enumerate(zip(batches(0), batches(1), strict=True), 1):
        for node, optimizer, (X, y) in zip(nodes, optimizers, pair, strict=True):
            optimizer.zero_grad()
            torch.autograd.backward(mse_loss(node(X), y))
            optimizer.step()
        if step % H == 0:
            for name, parameter in shared.named_parameters():
                there = [dict(node.named_parameters())[name].detach() for node in nodes]
                parameter.grad = parameter.detach() - sum(there) / 2
            outer.step()
            for node in nodes:
                node.load_state_dict(shared.state_dict())
    return state(shared)
