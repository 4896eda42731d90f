"""What a node does between two meetings, and what it keeps for itself."""

from __future__ import annotations

import copy
import math
import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

from talkoot.core.context import Ctx
from talkoot.core.update import METRIC, Update
from talkoot.data.loading.loader import Loader
from talkoot.data.samples.samples import Samples
from talkoot.learners.deep.tensors import Arrays, array, arrays, fragment, put
from talkoot.learners.deep.trainer import Trainer

if TYPE_CHECKING:
    from talkoot.learners.deep.task import Torch


@final
@dataclass(frozen=True, slots=True, eq=False)
class Inner:
    """What a node keeps between two meetings.

    Args:
        optimizer: state of the inner optimizer.
        scheduler: state of its scheduler.
        steps: inner steps done.
        now: where the node is.
        sent: where it was when it told the others, for the leaves that it told.
    """

    optimizer: Mapping[str, Any]
    scheduler: Mapping[str, Any]
    steps: int
    now: Arrays
    sent: Arrays


def gradient(trainer: Trainer, model: Arrays, feed: Loader, source: Samples, ctx: Ctx) -> Update:
    """Of the node's samples of this step."""
    put(trainer.module, model, trainer.task.buffers)
    trainer.forget()
    trainer.steps = ctx.round
    batch = feed.at(ctx.round)
    with trainer.turn(ctx.round, _part(source)):
        _, seen = trainer.measure(batch)
    with trainer.turn(ctx.round, _part(source)):
        trainer.backward(batch)
        trainer.check()
        loss, weight = trainer.losses.take()
        said = {name: _moved(tensor, model[name]) for name, tensor in trainer.named.items() if _moves(tensor)}
    return Update(values={**said, **_seen(loss, weight, seen)}, weight=weight)


def _moves(tensor: torch.Tensor) -> bool:
    """Whether there is something to tell: a parameter that no sample has used has no gradient."""
    return not isinstance(tensor, torch.nn.Parameter) or tensor.grad is not None


def _moved(tensor: torch.Tensor, before: np.ndarray) -> np.ndarray:
    """The gradient of a parameter, the difference of a buffer."""
    if isinstance(tensor, torch.nn.Parameter):
        assert tensor.grad is not None
        return array(tensor.grad.to_dense())
    return np.asarray(array(tensor) - before)


def difference(
    trainer: Trainer, model: Arrays, local: Inner | None, feed: Loader, source: Samples, ctx: Ctx
) -> tuple[Update, Inner]:
    """What the steps until the next meeting change."""
    _place(trainer, _rebased(model, local), local, ctx.round * (ctx.steps or 0))
    if ctx.seconds is not None:
        seen = _walk_until(trainer, feed, source, time.monotonic() + ctx.seconds)
    else:
        steps = ctx.steps or _once(trainer.task, source)
        start = ctx.round * steps
        seen = _walk(trainer, feed, source, range(start, start + steps - ctx.delay), measured=True)
    trainer.ended()
    loss, weight = trainer.losses.take()
    now = arrays(trainer.module, trainer.task.buffers)
    names = fragment(list(now), ctx.round, ctx.fragments)
    said = {name: now[name] - model[name] for name in names}
    inner = _inner(trainer, {name: now[name] for name in names})
    return Update(values={**said, **_seen(loss, weight, seen)}, weight=weight), inner


def further(trainer: Trainer, local: Inner, feed: Loader, source: Samples, steps: range) -> Inner:
    """Where the node is after some steps more, of which it has not told the others."""
    _place(trainer, local.now, local, 0)
    _walk(trainer, feed, source, steps)
    trainer.losses.take()
    return _inner(trainer, local.sent)


def _seen(loss: float, weight: float, metrics: Mapping[str, float]) -> dict[str, np.ndarray]:
    """What is worth watching, as leaves."""
    seen = {"loss": loss / weight, **metrics} if weight else metrics
    return {METRIC + name: np.array([value]) for name, value in seen.items()}


def _once(task: Torch, source: Samples) -> int:
    """Steps in which a node learns `epochs` times from its own samples."""
    return max(1, math.ceil(task.epochs * source.rows / (source.quota or task.batch)))


def _rebased(model: Arrays, local: Inner | None) -> Arrays:
    """The model that the others made of what was sent, and on it what the node has done since."""
    if local is None:
        return model
    since = {name: model[name] + (local.now[name] - sent) for name, sent in local.sent.items()}
    return {**local.now, **since}


def carries(local: Inner) -> bool:
    """Whether a node that starts without this state goes on otherwise."""
    state = local.optimizer.get("state", {}).values()
    moments = any(isinstance(value, torch.Tensor) for each in state for value in each.values())
    return moments or local.now.keys() != local.sent.keys()


def _place(trainer: Trainer, at: Arrays, local: Inner | None, done: int) -> None:
    """Put the module where the node is; a node that starts `done` steps late has the schedule of then."""
    put(trainer.module, at, trainer.task.buffers)
    if local is None:
        trainer.restart(done)
    else:
        trainer.resume(local.optimizer, local.scheduler, local.steps)


def _inner(trainer: Trainer, sent: Arrays) -> Inner:
    optimizer = copy.deepcopy(trainer.optimizer.state_dict())
    scheduler = copy.deepcopy(trainer.scheduler.state_dict()) if trainer.scheduler is not None else {}
    now = arrays(trainer.module, trainer.task.buffers)
    return Inner(optimizer, scheduler, trainer.steps, now, sent)


def _walk(
    trainer: Trainer, feed: Loader, source: Samples, steps: range, *, measured: bool = False
) -> dict[str, float]:
    """Take steps by this node's samples alone.

    Returns:
        The metrics of the last step's samples, before they are learned from, if that is asked for.
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


def _walk_until(trainer: Trainer, feed: Loader, source: Samples, end: float) -> dict[str, float]:
    """The same until the time is over, at least one; the metrics are those of the first one's samples."""
    seen = _walk(trainer, feed, source, range(trainer.steps, trainer.steps + 1), measured=True)
    while time.monotonic() < end:
        _walk(trainer, feed, source, range(trainer.steps, trainer.steps + 1))
    return seen


def _part(source: Samples) -> int:
    return zlib.crc32(source.name.encode())
