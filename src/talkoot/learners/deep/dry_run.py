"""One forward and backward pass before any exchange: what is wrong with a task shows on its own node."""

from __future__ import annotations

import copy
import warnings

import torch

from talkoot.core.errors import PlanError, TalkootError, place_of
from talkoot.data.loading.loader import Batch, Loader
from talkoot.learners.deep.halves import compare, explained
from talkoot.learners.deep.outputs import leaves
from talkoot.learners.deep.trainer import Trainer, untrained

FEW = 8  # samples that are enough to try
MANY = 256  # samples whose loss is compared with that of their halves, if a few steps have so many
_STEPS = 8


def rehearse(trainer: Trainer, feed: Loader, *, divided: bool) -> str:
    """Try the task on the first samples; nothing of it remains.

    Args:
        trainer: of the task.
        feed: the samples.
        divided: a step's samples are learned from in several places, whose gradients are averaged.

    Returns:
        What its user should know of it, if anything.

    Raises:
        PlanError: the module does not take the samples, the loss is not one number or depends on no
            parameter, a parameter takes no part in it, or the loss cannot be taken in parts.
    """
    batch = feed.at(0)
    trainer.net = trainer.module  # to compile it for these few would take long, and fit no other size
    kept = {name: copy.deepcopy(buffer) for name, buffer in trainer.module.named_buffers()}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Using a target size")  # it would be broadcast
            reached: list[torch.Tensor] = []
            trainer.before = lambda loss: reached.extend(leaves(loss))
            counted = trainer.backward(_few(trainer, batch), parts=1)
            trainer.open = {id(p) for p in trainer.module.parameters() if p.grad is not None} <= {
                *map(id, reached)
            }
            trainer.losses.take()
            _check_gradients(trainer, counted)
            note = _parts(trainer, feed) if divided or trainer.task.accumulate > 1 else ""
    except TalkootError:
        raise
    except Exception as error:
        raise PlanError(
            f"the module or the loss cannot take the samples, X {_said(batch.X)}, "
            f"y {_said(batch.y)}: {type(error).__name__}: {str(error).rstrip('.')}{place_of(error)}",
            cure=_cure(batch, error),
        ) from error
    trainer.unwrap()
    with torch.no_grad():
        for name, buffer in trainer.module.named_buffers():
            buffer.copy_(kept[name])
    return note


def _cure(batch: Batch, error: Exception) -> str:
    """What to try; where floats meet whole numbers, which of the two to change."""
    kind = batch.X.dtype.kind
    if kind != "f" and any(word in str(error) for word in ("dtype", "type", "Float", "float")):
        what = "booleans" if kind == "b" else "whole numbers"
        return (
            f"X holds {what}, which come to the module as they are: write x.float() in forward(), or make "
            "them floats in the data."
        )
    return "Try module(X) and loss(module(X), y) with such tensors by hand."


def _few(trainer: Trainer, batch: Batch) -> Batch:
    """The first samples of a batch, no more than its smallest part has."""
    rows = min(FEW, *(len(x) for x, _ in trainer.parts(batch)))
    return Batch(batch.X[:rows], None if batch.y is None else batch.y[:rows], rows)


def _check_gradients(trainer: Trainer, counted: float) -> None:
    """See what gradients there are."""
    named = [(name, p) for name, p in trainer.module.named_parameters() if p.requires_grad]
    unused = [name for name, parameter in named if parameter.grad is None]
    if len(unused) == len(named) and counted:
        raise untrained()
    if unused and counted and trainer.task.unused != "zeros":
        more = f" (and {len(unused) - 1} more)" if unused[1:] else ""
        raise PlanError(
            f"parameter {unused[0]!r}{more} takes no part in the loss: others would wait for its gradient",
            cure="Use it in forward(), freeze it with requires_grad_(False), or write "
            'tk.Torch(..., unused="zeros") if only some samples or ranks use it.',
        )
    sparse = [name for name, parameter in named if parameter.grad is not None and parameter.grad.is_sparse]
    trainer.sparse = bool(sparse)
    if sparse and trainer.task.clip is not None:
        raise PlanError(
            f"parameter {sparse[0]!r} has sparse gradients, whose norm torch cannot clip",
            cure="Leave out clip=, or build the embedding with sparse=False.",
        )


def _parts(trainer: Trainer, feed: Loader) -> str:
    """Whether the loss of a batch is the mean over its parts."""
    seen, step = 0, 0
    trainer.module.eval()
    try:
        while seen < MANY and step < _STEPS:
            x, y = trainer.parts(feed.at(step))[0]
            halves = compare(trainer, x, y)
            if halves is not None and halves.apart:
                return explained(halves, counted=trainer.task.count is not None)
            seen, step = seen + len(x), step + 1
    finally:
        trainer.train()
    return ""


def _said(array: object) -> str:
    return "none" if array is None else f"{array.dtype} {tuple(array.shape)}"  # type: ignore[attr-defined]
