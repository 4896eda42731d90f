"""One contender of slow_link.py, as it runs on each host. Not run by hand.

    RANK=0 WORLD_SIZE=2 MASTER_ADDR=... MASTER_PORT=... GLOO_SOCKET_IFNAME=... \\
        python slow_link_contenders.py CONTENDER STEPS

A contender is a function `(meter, steps) -> None` that trains `build()` on the first ROWS of `table()` with
batches of BATCH a node, in the environment that torchrun would give it, and calls `meter(module, step)`
before each step and once after the last; where the loop is not its own, from the loss, which is called once a
step.
Rank 0 prints its points as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook
from torch.nn.parallel import DistributedDataParallel

import talkoot as tk

ROWS, HELD_OUT, INPUTS, CLASSES, CLUSTERS, NOISE = 60_000, 4096, 256, 10, 12, 1.7
BATCH = 64  # rows a step and node
RANK, WORLD = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))


@cache
def table() -> tuple[Tensor, Tensor]:
    """Classes of several normal clusters each: nothing that a linear model would find."""
    rng = torch.Generator().manual_seed(0)
    centers = torch.randn(CLASSES, CLUSTERS, INPUTS, generator=rng)
    total = ROWS + HELD_OUT
    y = torch.randint(CLASSES, (total,), generator=rng)
    which = torch.randint(CLUSTERS, (total,), generator=rng)
    return centers[y, which] + NOISE * torch.randn(total, INPUTS, generator=rng), y


def build() -> tuple[nn.Module, torch.optim.Optimizer]:
    """A perceptron of 1.32 M parameters, the same on every node."""
    torch.manual_seed(0)
    layers = (nn.Linear(INPUTS, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, CLASSES))
    module = nn.Sequential(*layers)
    return module, torch.optim.AdamW(module.parameters(), lr=3e-4)


def batches(X: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """This node's rows, shuffled, without end."""
    rng = torch.Generator().manual_seed(RANK)
    own = torch.arange(RANK, ROWS, WORLD)
    while True:
        for rows in own[torch.randperm(len(own), generator=rng)].split(BATCH):
            yield X[rows], y[rows]


@dataclass(slots=True)
class Meter:
    """What was reached when: keeps the module as it is now and looks at the losses once all is over.

    Args:
        every: steps between two looks, the interval of a contender's merges or a divisor of it: between
            merges nodes differ, and a look at one of them says nothing.
    """

    every: int
    points: list[dict[str, Any]] = field(default_factory=list)
    stopped: float = 0.0  # seconds that looking took

    def __call__(self, module: nn.Module, step: int) -> None:
        if step % self.every:
            return
        now = time.perf_counter()
        received, sent = traffic()
        state = {name: value.clone() for name, value in module.state_dict().items()}
        self.points.append(
            {"step": step, "clock": now - self.stopped, "received": received, "sent": sent, "state": state}
        )
        self.stopped += time.perf_counter() - now

    def report(self, X: Tensor, y: Tensor) -> list[dict[str, float]]:
        """Of each look: step, seconds and bytes since the first, and the loss on rows held out."""
        module, _ = build()
        first = self.points[0]
        found = []
        for point in self.points:
            module.load_state_dict(point.pop("state"))
            with torch.no_grad():
                loss = F.cross_entropy(module(X[ROWS:]), y[ROWS:]).item()
            since = {name: point[name] - first[name] for name in ("received", "sent")}
            found.append(
                {"step": point["step"], "seconds": point["clock"] - first["clock"], "loss": loss, **since}
            )
        return found


def traffic() -> tuple[int, int]:
    """Bytes that this host has received and sent."""
    for line in Path("/proc/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == os.environ["GLOO_SOCKET_IFNAME"]:
            received, *_, sent = counts.split()[:9]
            return int(received), int(sent)
    raise OSError(f"no device {os.environ['GLOO_SOCKET_IFNAME']}")


def descend(module: nn.Module, optimizer: torch.optim.Optimizer, batch: tuple[Tensor, Tensor]) -> None:
    """One step of the inner optimizer."""
    F.cross_entropy(module(batch[0]), batch[1]).backward()
    optimizer.step()
    optimizer.zero_grad()


@contextmanager
def group() -> Iterator[None]:
    """Torch's process group, and a common start."""
    dist.init_process_group("gloo")
    dist.barrier()
    yield
    dist.destroy_process_group()


@group()
def ddp(meter: Meter, steps: int, hook: Callable[..., Any] | None = None) -> None:
    """Torch's own: gradients are averaged at each step."""
    module, optimizer = build()
    parallel = DistributedDataParallel(module)
    if hook:
        parallel.register_comm_hook(None, hook)
    feed = batches(*table())
    for step in range(steps):
        meter(module, step)
        descend(parallel, optimizer, next(feed))
    meter(module, steps)


def ddp_fp16(meter: Meter, steps: int) -> None:
    """The same with gradients in half precision on the wire."""
    ddp(meter, steps, fp16_compress_hook)


@group()
def diloco(meter: Meter, steps: int, every: int = 50) -> None:
    """DiLoCo by hand (Douillard et al. 2023, arXiv:2311.08105), float32: what is possible without a codec."""
    module, optimizer = build()
    shared = [value.detach().clone() for value in module.parameters()]
    outer = torch.optim.SGD(shared, lr=0.7, momentum=0.9, nesterov=True)
    feed = batches(*table())
    for step in range(steps):
        meter(module, step)
        descend(module, optimizer, next(feed))
        if (step + 1) % every == 0:
            own = [value.detach() for value in module.parameters()]
            change = torch.cat([(a - b).flatten() for a, b in zip(shared, own, strict=True)])
            dist.all_reduce(change)
            for value, part in zip(shared, (change / WORLD).split([v.numel() for v in shared]), strict=True):
                value.grad = part.view_as(value)
            outer.step()
            for value, merged in zip(own, shared, strict=True):
                value.copy_(merged)
    meter(module, steps)


def talkoot(meter: Meter, steps: int, recipe: Callable[[tk.Torch], tk.Plan]) -> None:
    """Ours: DiLoCo with updates of one byte a value."""
    X, y = table()
    built: list[nn.Module] = []
    calls = iter(range(-1, steps))  # the first call rehearses

    def noted() -> tuple[nn.Module, torch.optim.Optimizer]:
        module, optimizer = build()
        built.append(module)
        return module, optimizer

    def loss(out: Tensor, target: Tensor) -> Tensor:
        if (step := next(calls)) >= 0:
            meter(built[-1], step)
        return F.cross_entropy(out, target)

    batch = BATCH * WORLD
    task = tk.Torch(noted, loss, batch=batch, epochs=steps * batch / ROWS)
    fit = tk.run(recipe(task), (X[:ROWS], y[:ROWS]), on=tk.Ranks(), progress=False)
    meter(fit.model, steps)


RECIPE = partial(tk.recipes.diloco, steps=40, bits=8, lr=1.0, momentum=0.5)
CONTENDERS: dict[str, tuple[Callable[[Meter, int], None], int]] = {  # and the steps between two looks
    "ddp": (ddp, 10),
    "ddp_fp16": (ddp_fp16, 10),
    "diloco": (diloco, 50),
    "talkoot": (partial(talkoot, recipe=RECIPE), 40),
}


def main(name: str, steps: int) -> None:
    torch.set_num_threads(1)
    table()  # before the clock starts
    contender, every = CONTENDERS[name]
    meter = Meter(every=every)
    contender(meter, steps)
    if RANK == 0:
        print(json.dumps(meter.report(*table())))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
