"""One forward and backward pass before any exchange: what is wrong with a task shows on its own node."""

from __future__ import annotations

import copy
import warnings

import torch

from talkoot.core.errors import PlanError, TalkootError, place_of
from talkoot.data.feed import Batch
from talkoot.learners.deep.trainer import Trainer

FEW = 8  # samples that are enough to try


def rehearse(trainer: Trainer, batch: Batch) -> None:
    """Try the task on the first samples of a batch; nothing of it remains.

    Raises:
        PlanError: the module does not take the samples, the loss is not one number or depends on no
            parameter, or a parameter takes no part in it.
    """
    trainer.net = trainer.module  # to compile it for these few would take long, and fit no other size
    kept = {name: copy.deepcopy(buffer) for name, buffer in trainer.module.named_buffers()}
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("error", message="Using a target size")  # it would be broadcast
            trainer.backward(_few(batch))
            trainer.losses.take()
    except TalkootError:
        raise
    except Exception as error:
        raise PlanError(
            f"the module or the loss cannot take the samples, X {_said(batch.X)}, "
            f"y {_said(batch.y)}: {type(error).__name__}: {str(error).rstrip('.')}{place_of(error)}",
            cure=_cure(batch, error),
        ) from error
    _check_used(trainer.module)
    trainer.unwrap()
    with torch.no_grad():
        for name, buffer in trainer.module.named_buffers():
            buffer.copy_(kept[name])


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


def _few(batch: Batch) -> Batch:
    return Batch(batch.X[:FEW], None if batch.y is None else batch.y[:FEW], min(FEW, batch.rows))


def _check_used(module: torch.nn.Module) -> None:
    unused = [n for n, p in module.named_parameters() if p.requires_grad and p.grad is None]
    if unused:
        more = f" (and {len(unused) - 1} more)" if unused[1:] else ""
        raise PlanError(
            f"parameter {unused[0]!r}{more} takes no part in the loss: others would wait for its gradient",
            cure="Use it in forward(), or freeze it with requires_grad_(False).",
        )


def _said(array: object) -> str:
    return "none" if array is None else f"{array.dtype} {tuple(array.shape)}"  # type: ignore[attr-defined]
