"""Small tasks of torch, and how far apart two modules are."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.functional import mse_loss

import talkoot as tk
from talkoot.core.context import stream_rng
from talkoot.data.loading.shuffle import Shuffle

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 5)).astype(np.float32)
Y = (X[:, :1] ** 2 + X[:, 1:2]).astype(np.float32)
SAME = 1e-5


def momentum() -> Any:
    module = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    return module, torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)


def adamw() -> Any:
    module, _ = momentum()
    return module, torch.optim.AdamW(module.parameters(), lr=0.01)


def at_rate(rate: float) -> Any:
    module = nn.Linear(5, 1)
    return module, torch.optim.SGD(module.parameters(), lr=rate)


def scheduled() -> Any:
    module, optimizer = momentum()
    return module, optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)


def forgetful() -> Any:
    module = nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    return module, torch.optim.SGD(module.parameters(), lr=0.05)


def normed() -> Any:
    module = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    return module, torch.optim.SGD(module.parameters(), lr=0.05)


def task(build: Any = momentum, loss: Any = mse_loss, **given: Any) -> tk.Torch:
    return tk.Torch(build=build, loss=loss, **{"batch": 50, "epochs": 5, **given})


def told(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, scheduler: Any = None) -> Any:
    """The module and the rest, told to write down, process by process, what it sees at which rate."""

    def write(module: nn.Module, args: tuple[torch.Tensor]) -> None:
        if not module.training:
            return  # the loss is compared with that of halves
        rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
        rate = optimizer.param_groups[0]["lr"]
        line = f"{rate:.9g} {' '.join(str(int(x)) for x in args[0][:, 0])}\n"
        with open(folder / f"rank {rank} of process {os.getpid()}", "a") as file:
            file.write(line)

    module.register_forward_pre_hook(write)
    return (module, optimizer) if scheduler is None else (module, optimizer, scheduler)


def seen(folder: Path) -> list[tuple[float, list[int]]]:
    """For each step the rate and the samples of all ranks, rehearsal left out."""
    ranks = [file.read_text().splitlines()[1:] for file in sorted(folder.iterdir())]
    steps = []
    for lines in zip(*ranks, strict=True):
        rates = {line.split()[0] for line in lines}
        rows = [int(x) for line in lines for x in line.split()[1:]]
        assert len(rates) == 1
        steps.append((float(rates.pop()), rows))
    return steps


def counting(folder: Path) -> Any:
    return told(folder, *scheduled())


def counted(folder: Path) -> Any:
    folder.mkdir()
    return partial(counting, folder)


def apart(one: Any, other: Any) -> float:
    """The largest difference of two modules' states."""
    mine, theirs = (model.state_dict() for model in (one, other))
    assert mine.keys() == theirs.keys()
    return max(float((mine[name].double() - theirs[name].double()).abs().max()) for name in mine)


def by_hand(task: tk.Torch, x: np.ndarray = X, y: np.ndarray = Y) -> nn.Module:
    """The loop that everybody writes, over the same order of samples."""
    torch.manual_seed(int(stream_rng(0, "init").integers(2**31)))
    model: nn.Module
    model, optimizer = task.build()
    order = Shuffle(rows=len(x), seed=0, key="node0")
    for step in range(task.steps(len(x))):
        rows = order.at(step * task.batch, (step + 1) * task.batch)
        optimizer.zero_grad()
        loss = task.loss(model(torch.from_numpy(x[rows])), torch.from_numpy(y[rows]))
        torch.autograd.backward(loss)
        optimizer.step()
    return model
