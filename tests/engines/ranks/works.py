"""What ranks do in tests."""

from __future__ import annotations

import contextlib
import io
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from patience import NEVER
from talkoot.core.engine import Engine
from talkoot.core.sync import Sync
from talkoot.core.transform import Transform
from talkoot.engines.ranks.collectives.group import Group
from talkoot.testing.engines import check_engine

Send = Callable[[Any], None]
STEPS = 4  # of a job that is slow, until it has to stop
Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
SYNCS: dict[str, Sync] = {
    "every step": tk.every_step(),
    "sharded": tk.every_step(sharded=True),
    "every 4 steps": tk.every(steps=4),
    "in parts, delayed": tk.every(steps=8, fragments=2, delay=2),
}
mean_loss: Loss = torch.nn.functional.cross_entropy
rng = np.random.default_rng(0)
X = rng.normal(size=(240, 6)).astype(np.float32)
Y = (X @ rng.normal(size=6) > 0).astype(np.int64)


def build() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    module = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Tanh(), torch.nn.Linear(8, 2))
    return module, torch.optim.AdamW(module.parameters(), lr=0.01)


def build_normed() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    module = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.BatchNorm1d(8), torch.nn.Linear(8, 2))
    return module, torch.optim.SGD(module.parameters(), lr=0.1)


def task(loss: Loss = mean_loss, *, build: Callable[[], Any] = build, epochs: float = 2) -> tk.Torch:
    return tk.Torch(build, loss, batch=24, epochs=epochs)


def weights(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in module.state_dict().items()}


def rank() -> int:
    return int(os.environ["RANK"])


def answers(on: Any) -> dict[str, Any]:
    """What several learners learn on an engine."""
    found: dict[str, Any] = {
        "scaler": tk.fit(StandardScaler(), X, nodes=5, on=on).model.var_,
        "logistic": tk.fit(LogisticRegression(), X, Y, nodes=3, on=on).model.coef_,
    }
    for name, sync in SYNCS.items():
        module = tk.fit(task(), X, Y, nodes=2, on=on, sync=sync).model
        found |= {f"{name} {leaf}": value for leaf, value in weights(module).items()}
    return found


def well(send: Send, folder: Path) -> Any:
    """All that needs no failure, in one start of the ranks: answers, statistics, what is shown."""
    del send
    on = tk.Ranks(timeout=NEVER)
    check_engine(on)
    normed = tk.fit(task(build=build_normed), X, Y, on=on).model
    with contextlib.redirect_stdout(shown := io.StringIO()), contextlib.redirect_stderr(shown):
        tk.fit(task(), X, Y, on=on, log=folder / f"{rank()}.jsonl", progress=True)
    return answers(on), weights(normed), shown.getvalue()


def coefficients(on: Engine, chain: Sequence[Transform]) -> np.ndarray:
    """Of an exact learner over three nodes."""
    rows = {f"node {part}": (X[part::3], Y[part::3]) for part in range(3)}
    return np.asarray(tk.fit(LogisticRegression(), rows, on=on, chain=chain).model.coef_)


def masked(send: Send) -> list[np.ndarray]:
    """The same in the open and under masks."""
    del send
    on = tk.Ranks(timeout=NEVER)
    return [coefficients(on, chain) for chain in ([tk.fixed()], [tk.fixed(), tk.mask()])]


def train(send: Send, culprit: int, how: str, sync: str, timeout: float = NEVER) -> Any:
    """Train for long; in its sixth step the culprit says so, and does what `how` says."""
    calls = 0

    def loss(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += torch.is_grad_enabled()  # not in the try-out of halves
        time.sleep(0.005)
        if calls == 6 and torch.is_grad_enabled() and rank() == culprit:
            send("there")
            if how == "raises":
                raise KeyError("no such word")
            if how == "diverges":
                return mean_loss(out, y) * float("nan")
            if how == "hangs":
                time.sleep(NEVER)
        return mean_loss(out, y)

    try:
        tk.fit(task(loss, epochs=500), X, Y, nodes=3, on=tk.Ranks(timeout=timeout), sync=SYNCS[sync])
    except Exception as error:
        send((type(error).__name__, str(error), getattr(error, "node", None)))
    return "done"


def is_late(send: Send) -> list[bytes]:
    """The second rank is still at something that takes longer than ranks wait for each other."""
    del send
    store = dist.TCPStore("127.0.0.1", int(os.environ["MASTER_PORT"]), is_master=rank() == 0)
    time.sleep(4.0 * rank())
    group = Group(store, epoch=0, rank=rank(), world=2, timeout=2.0, patience=NEVER)
    try:
        return group.all_gather(b"%d" % rank())
    finally:
        group.gather_numbers([0.0])
        group.close()


def joins(send: Send, timeout: float) -> Any:
    """Only join."""
    del send
    return tk.fit(StandardScaler(), X, on=tk.Ranks(timeout=timeout)).model.mean_


def differ(send: Send) -> list[str]:
    """Jobs that are not the same on all ranks, one after the other; then one that is."""
    del send
    jobs: list[Callable[[], tk.Fit]] = [
        lambda: tk.fit(task(epochs=1 + rank()), X, Y, on=tk.Ranks()),
        lambda: tk.fit(StandardScaler(), {"a": X, f"b{rank()}": X}, on=tk.Ranks()),
        lambda: tk.fit(task(build=_differently), X, Y, on=tk.Ranks()),
        lambda: tk.fit(StandardScaler(), X, on=tk.Ranks()),
    ]
    errors = []
    for job in jobs:
        try:
            errors.append(type(job().model).__name__)
        except tk.TalkootError as error:
            errors.append(str(error))
    return errors


def _differently() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    module = torch.nn.Linear(6, 2 + rank())
    return module, torch.optim.SGD(module.parameters(), lr=0.1)


def drains(send: Send, folder: Path, slow: bool) -> Any:
    """Train with checkpoints; if slowly, wait behind some steps until the file "stop" is there."""
    steps = 0
    pace = [slow]  # whose content is no setting of the loss

    def loss(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        nonlocal steps
        steps += torch.is_grad_enabled()  # not in the try-out of halves
        if pace[0] and torch.is_grad_enabled():
            send("step")
            time.sleep(0.3)  # long enough for a report behind every step
            while steps > STEPS and not folder.with_name("stop").exists():
                time.sleep(0.01)
        return mean_loss(out, y)

    loss.__name__ = "loss"
    fit = tk.fit(task(loss, epochs=8), X, Y, on=tk.Ranks(timeout=NEVER, checkpoint=folder))
    return weights(fit.model), [outcome.round.index for outcome in fit.history]
