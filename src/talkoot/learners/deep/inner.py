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
from talkoot.data.feed import Batch, Feed
from talkoot.data.samples import Samples
from talkoot.learners.deep.tensors import Arrays, arrays, fragment, put
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


def gradient(trainer: Trainer, model: Arrays, feed: Feed, source: Samples, ctx: Ctx) -> Update:
    """Of the node's samples of this step."""
    put(trainer.module, model, trainer.task.buffers)
    trainer.forget()
    batch = feed.at(ctx.round)
    with trainer.turn(ctx.round, _part(source)):
        trainer.backward(batch)
        loss, rows = trainer.losses.take()
        said = {name: _moved(tensor, model[name]) for name, tensor in trainer.named.items()}
        return Update(values={**said, **_seen(trainer, loss / rows, batch)}, weight=float(rows))


def _moved(tensor: torch.Tensor, before: np.ndarray) -> np.ndarray:
    """The gradient of a parameter, the difference of a buffer."""
    if isinstance(tensor, torch.nn.Parameter):
        assert tensor.grad is not None
        return np.asarray(tensor.grad.float().cpu().numpy().copy())
    return np.asarray(tensor.cpu().numpy() - before)


def difference(
    trainer: Trainer, model: Arrays, local: Inner | None, feed: Feed, source: Samples, ctx: Ctx
) -> tuple[Update, Inner]:
    """What the steps until the next meeting change."""
    _place(trainer, _rebased(model, local), local)
    if ctx.seconds is not None:
        _walk_until(trainer, feed, source, time.monotonic() + ctx.seconds)
    else:
        steps = ctx.steps or _once(trainer.task, source)
        start = ctx.round * steps
        _walk(trainer, feed, source, range(start, start + steps - ctx.delay))
    loss, rows = trainer.losses.take()
    now = arrays(trainer.module, trainer.task.buffers)
    names = fragment(list(now), ctx.round, ctx.fragments)
    said = {name: now[name] - model[name] for name in names}
    inner = _inner(trainer, {name: now[name] for name in names})
    next_batch = feed.at(trainer.steps)
    with trainer.turn(trainer.steps, _part(source)):
        seen = _seen(trainer, loss / max(1, rows), next_batch)
    return Update(values={**said, **seen}, weight=float(rows)), inner


def further(trainer: Trainer, local: Inner, feed: Feed, source: Samples, steps: range) -> Inner:
    """Where the node is after some steps more, of which it has not told the others."""
    _place(trainer, local.now, local)
    _walk(trainer, feed, source, steps)
    trainer.losses.take()
    return _inner(trainer, local.sent)


def _seen(trainer: Trainer, loss: float, batch: Batch) -> dict[str, np.ndarray]:
    """What is worth watching, as leaves."""
    seen = {"loss": loss, **trainer.measure(batch)}
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


def _place(trainer: Trainer, at: Arrays, local: Inner | None) -> None:
    put(trainer.module, at, trainer.task.buffers)
    if local is None:
        trainer.restart()
    else:
        trainer.resume(local.optimizer, local.scheduler, local.steps)


def _inner(trainer: Trainer, sent: Arrays) -> Inner:
    optimizer = copy.deepcopy(trainer.optimizer.state_dict())
    scheduler = copy.deepcopy(trainer.scheduler.state_dict()) if trainer.scheduler is not None else {}
    now = arrays(trainer.module, trainer.task.buffers)
    return Inner(optimizer, scheduler, trainer.steps, now, sent)


def _walk(trainer: Trainer, feed: Feed, source: Samples, steps: range) -> None:
    """Take steps by this node's samples alone."""
    for step in steps:
        batch = feed.at(step)
        with trainer.turn(step, _part(source)):
            trainer.backward(batch)
            trainer.apply()


def _walk_until(trainer: Trainer, feed: Feed, source: Samples, end: float) -> None:
    """The same until the time is over; at least one."""
    _walk(trainer, feed, source, range(trainer.steps, trainer.steps + 1))
    while time.monotonic() < end:
        _walk(trainer, feed, source, range(trainer.steps, trainer.steps + 1))


def _part(source: Samples) -> int:
    return zlib.crc32(source.name.encode())
