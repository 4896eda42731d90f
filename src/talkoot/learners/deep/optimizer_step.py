"""A task's own optimizer as an outer step: what arrives is the mean gradient of a step."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

from talkoot.core.outer import Outer
from talkoot.core.update import BUFFER, Update
from talkoot.learners.deep.tensors import Arrays, arrays, put
from talkoot.learners.deep.trainer import Trainer

if TYPE_CHECKING:
    from talkoot.learners.deep.task import Torch

State = Mapping[str, Any]  # of the optimizer and its scheduler


@final
@dataclass(frozen=True, slots=True, eq=False)
class Stepper(Outer):
    """One step of the optimizer that the task builds; the meaning of meeting at every step.

    Engines lower it to a live optimizer on every rank.
    """

    task: Torch

    def __repr__(self) -> str:
        return "Stepper()"

    def apply(self, model: Arrays, update: Update, state: State | None) -> tuple[Arrays, State]:
        """Step on the mean gradient, and add to statistics."""
        trainer = Trainer(self.task, 0)
        put(trainer.module, model, self.task.buffers)
        if state is not None:
            trainer.resume(state["optimizer"], state["scheduler"], state["step"])
        for name, tensor in trainer.named.items():
            value = update.values.get(name)
            if value is not None and not name.startswith(BUFFER):
                tensor.grad = torch.from_numpy(np.ascontiguousarray(value)).to(tensor)
        _make_sparse(trainer.module)
        with trainer.turn(trainer.steps, 0):
            trainer.apply()
        said = {k: v for k, v in update.values.items() if k.startswith(BUFFER)}
        moved = {
            **model,
            **arrays(trainer.module, self.task.buffers),
            **{k: model[k] + v for k, v in said.items()},
        }
        return moved, copy.deepcopy({k: v for k, v in trainer.state().items() if k != "module"})


def _make_sparse(module: torch.nn.Module) -> None:
    """Gradients of sparse embeddings name the rows that a step used, as optimizers may ask for."""
    for part in module.modules():
        if isinstance(part, torch.nn.Embedding | torch.nn.EmbeddingBag) and part.sparse:
            grad = part.weight.grad
            if grad is not None:
                rows = grad.flatten(1).any(1).nonzero()[:, 0]
                part.weight.grad = torch.sparse_coo_tensor(
                    rows[None], grad[rows], grad.shape, check_invariants=False
                )
