"""A node's training steps between two rounds, and the state that stays at the node."""

from __future__ import annotations

import copy
import math
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch

from talkoot.core.context import Ctx
from talkoot.core.update import METRIC, Update
from talkoot.data.loading.loader import Loader
from talkoot.data.samples.samples import Samples
from talkoot.learners.deep.tensors import Arrays, array, arrays, fragment, put
from talkoot.learners.deep.trainer import Trainer


@final
@dataclass(frozen=True, slots=True, eq=False)
class LocalState:
    """A node's own state between two rounds."""

    optimizer: Mapping[str, Any]  # state of the inner optimizer
    scheduler: Mapping[str, Any]  # state of its scheduler
    steps: int  # inner steps done
    now: Arrays  # the node's current parameters
    sent: Arrays  # the parameters that the last update was computed from; only the leaves that it had


def gradient(trainer: Trainer, model: Arrays, feed: Loader, source: Samples, ctx: Ctx) -> Update:
    """The gradient over the node's samples of this step."""
    put(trainer.module, model, trainer.task.buffers)
    trainer.forget()
    trainer.steps = ctx.round
    batch = feed.at(ctx.round)
    with trainer.turn(ctx.round, _part(source)):
        _, metrics = trainer.measure(batch)
    with trainer.turn(ctx.round, _part(source)):
        trainer.backward(batch)
        trainer.check()
        loss, weight = trainer.losses.take()
        values = {
            name: _change(tensor, model[name]) for name, tensor in trainer.named.items() if _is_sent(tensor)
        }
    return Update(values={**values, **_metrics(loss, weight, metrics)}, weight=weight)


def _is_sent(tensor: torch.Tensor) -> bool:
    """Whether the update has a leaf for it: a parameter that no sample used has no gradient."""
    return not isinstance(tensor, torch.nn.Parameter) or tensor.grad is not None


def _change(tensor: torch.Tensor, before: np.ndarray) -> np.ndarray:
    """The gradient of a parameter, the difference of a buffer."""
    if isinstance(tensor, torch.nn.Parameter):
        assert tensor.grad is not None
        return array(tensor.grad.to_dense())
    return np.asarray(array(tensor) - before)


def difference(
    trainer: Trainer, model: Arrays, local: LocalState | None, feed: Loader, source: Samples, ctx: Ctx
) -> tuple[Update, LocalState]:
    """The difference that the steps until the next round make."""
    _restore(trainer, _rebase(model, local), local, ctx.round * (ctx.work.steps or 0))
    if ctx.work.seconds is not None:
        metrics = _take_steps_until(trainer, feed, source, time.monotonic() + ctx.work.seconds)
    else:
        steps = ctx.work.steps or trainer.task.steps(source.rows, source.quota)
        start = ctx.round * steps
        metrics = _take_steps(
            trainer, feed, source, range(start, start + steps - ctx.work.delay), measured=True
        )
    trainer.check_parameters()
    loss, weight = trainer.losses.take()
    now = arrays(trainer.module, trainer.task.buffers)
    names = fragment(list(now), ctx.round, ctx.work.fragments)
    values = {name: now[name] - model[name] for name in names}
    state = _local_state(trainer, {name: now[name] for name in names})
    return Update(values={**values, **_metrics(loss, weight, metrics)}, weight=weight), state


def continue_steps(
    trainer: Trainer, local: LocalState, feed: Loader, source: Samples, steps: range
) -> LocalState:
    """The node's state after further steps, whose change is not sent yet."""
    _restore(trainer, local.now, local, 0)
    _take_steps(trainer, feed, source, steps)
    trainer.losses.take()
    return _local_state(trainer, local.sent)


def _metrics(loss: float, weight: float, metrics: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Loss and metrics as leaves."""
    values = {"loss": loss / weight, **metrics} if weight else metrics
    return {METRIC + name: np.array([value]) for name, value in values.items()}


def _rebase(model: Arrays, local: LocalState | None) -> Arrays:
    """The merged model plus what the node's parameters changed since its update."""
    if local is None:
        return model
    since = {name: model[name] + (local.now[name] - sent) for name, sent in local.sent.items()}
    return {**local.now, **since}


def carries(local: LocalState) -> bool:
    """Whether a node without this state would continue differently."""
    state = local.optimizer.get("state", {}).values()
    moments = any(isinstance(value, torch.Tensor) for each in state for value in each.values())
    return moments or local.now.keys() != local.sent.keys()


def _restore(trainer: Trainer, at: Arrays, local: LocalState | None, done: int) -> None:
    """Load parameters and optimizer; without a state the schedule starts after `done` steps."""
    put(trainer.module, at, trainer.task.buffers)
    if local is None:
        trainer.restart(done)
    else:
        trainer.resume(local.optimizer, local.scheduler, local.steps)


def _local_state(trainer: Trainer, sent: Arrays) -> LocalState:
    state, now = trainer.state(), arrays(trainer.module, trainer.task.buffers)
    optimizer, scheduler = copy.deepcopy((state["optimizer"], state["scheduler"]))
    return LocalState(optimizer, scheduler, trainer.steps, now, sent)


def _take_steps(
    trainer: Trainer, feed: Loader, source: Samples, steps: range, *, measured: bool = False
) -> dict[str, float]:
    """Take steps with this node's samples alone.

    Returns:
        With `measured`, the metrics of the last step's samples before the step.
    """
    seen: dict[str, float] = {}
    for step in steps:
        batch = feed.at(step)
        if measured and step == steps[-1]:
            with trainer.turn(step, _part(source)):
                weight, seen = trainer.measure(batch)
            seen = seen if weight else dict.fromkeys(trainer.task.metrics, math.nan)
        with trainer.turn(step, _part(source)):
            trainer.backward(batch)
            trainer.check()
            trainer.apply()
    return seen


def _take_steps_until(trainer: Trainer, feed: Loader, source: Samples, end: float) -> dict[str, float]:
    """Take steps until the time is over, at least one; returns the metrics of the first step's samples."""
    seen = _take_steps(trainer, feed, source, range(trainer.steps, trainer.steps + 1), measured=True)
    while time.monotonic() < end:
        _take_steps(trainer, feed, source, range(trainer.steps, trainer.steps + 1))
    return seen


def _part(source: Samples) -> int:
    return zlib.crc32(source.name.encode())
