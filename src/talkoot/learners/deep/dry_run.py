"""A forward and backward pass before any exchange, so that errors of a task show at its own node."""

from __future__ import annotations

import copy
import warnings

import torch

from talkoot.core.errors import PlanError, TalkootError, place_of
from talkoot.data.loading.loader import Batch, Loader
from talkoot.learners.deep.halves import compare, explain
from talkoot.learners.deep.losses import untrained
from talkoot.learners.deep.outputs import leaves
from talkoot.learners.deep.trainer import Trainer

TRY_ROWS = 8  # samples of the pass
COMPARE_ROWS = 256  # samples whose loss is compared with that of their halves
COMPARE_STEPS = 8


def dry_run(trainer: Trainer, feed: Loader, *, divided: bool) -> str:
    """Run the task on the first samples, without a lasting effect; returns a note for the user, if any.

    Where it is `divided`, gradients of a step are averaged over several processes.

    Raises:
        PlanError: the module does not take the samples, the loss is not one number or depends on no
            parameter, a parameter is not used, or the loss is not a mean over parts.
    """
    batch = feed.at(0)
    trainer.net = trainer.module  # not compiled: compiling for this size is slow
    buffers = {name: copy.deepcopy(buffer) for name, buffer in trainer.module.named_buffers()}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Using a target size")  # torch would broadcast
            reached: list[torch.Tensor] = []
            trainer.before = lambda loss: reached.extend(leaves(loss))
            counted = trainer.backward(_first_rows(trainer, batch), parts=1)
            trainer.graph_is_complete = {
                id(p) for p in trainer.module.parameters() if p.grad is not None
            } <= {*map(id, reached)}
            trainer.losses.take()
            _check_gradients(trainer, counted)
            note = _compare_halves(trainer, feed) if divided or trainer.task.accumulate > 1 else ""
    except TalkootError:
        raise
    except Exception as error:
        raise PlanError(
            f"the module or the loss cannot take the samples, X {_describe(batch.X)}, "
            f"y {_describe(batch.y)}: {type(error).__name__}: {str(error).rstrip('.')}{place_of(error)}",
            cure=_cure(batch, error),
        ) from error
    trainer.unwrap()
    with torch.no_grad():
        for name, buffer in trainer.module.named_buffers():
            buffer.copy_(buffers[name])
    return note


def _cure(batch: Batch, error: Exception) -> str:
    """What to try; for whole numbers in X, how to make them floats."""
    kind = batch.X.dtype.kind
    if kind != "f" and any(word in str(error) for word in ("dtype", "type", "Float", "float")):
        what = "booleans" if kind == "b" else "whole numbers"
        return (
            f"X holds {what}, which the module gets as they are: write x.float() in forward(), or make them "
            "floats in the data."
        )
    return "Try module(X) and loss(module(X), y) with such tensors by hand."


def _first_rows(trainer: Trainer, batch: Batch) -> Batch:
    """The first samples of a batch, at most as many as its smallest part has."""
    rows = min(TRY_ROWS, *(len(x) for x, _ in trainer.parts(batch)))
    return Batch(batch.X[:rows], None if batch.y is None else batch.y[:rows], rows)


def _check_gradients(trainer: Trainer, counted: float) -> None:
    """Refuse parameters without a gradient, and sparse gradients with clip=."""
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


def _compare_halves(trainer: Trainer, feed: Loader) -> str:
    """Refuse a loss that is not the mean over parts of a batch; returns a note for the user."""
    seen, step = 0, 0
    trainer.module.eval()
    try:
        while seen < COMPARE_ROWS and step < COMPARE_STEPS:
            x, y = trainer.parts(feed.at(step))[0]
            halves = compare(trainer, x, y)
            if halves is not None and halves.differs:
                return explain(halves, counted=trainer.task.count is not None)
            seen, step = seen + len(x), step + 1
    finally:
        trainer.train()
    return ""


def _describe(array: object) -> str:
    return "none" if array is None else f"{array.dtype} {tuple(array.shape)}"  # type: ignore[attr-defined]
