"""A task's own optimizer as an outer step on the mean gradient."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
import torch

from talkoot.core.outer import Outer
from talkoot.core.update import BUFFER, Update
from talkoot.learners.deep.settings import TorchSettings
from talkoot.learners.deep.tensors import Arrays, arrays, put
from talkoot.learners.deep.trainer import Trainer

State = Mapping[str, Any]  # of the optimizer and its scheduler


@final
@dataclass(frozen=True, slots=True, eq=False)
class OptimizerStep(Outer):
    """One step of the task's optimizer in each round; engines may lower it to an optimizer on every rank."""

    task: TorchSettings

    def __repr__(self) -> str:
        return "OptimizerStep()"

    def apply(self, model: Arrays, update: Update, state: State | None) -> tuple[Arrays, State]:
        """Step on the mean gradient, and add the mean differences of buffers."""
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
        buffers = {k: model[k] + v for k, v in update.values.items() if k.startswith(BUFFER)}
        stepped = {**model, **arrays(trainer.module, self.task.buffers), **buffers}
        return stepped, copy.deepcopy({k: v for k, v in trainer.state().items() if k != "module"})


def _make_sparse(module: torch.nn.Module) -> None:
    """Make gradients of sparse embeddings sparse, as their optimizers may need."""
    for part in module.modules():
        if isinstance(part, torch.nn.Embedding | torch.nn.EmbeddingBag) and part.sparse:
            grad = part.weight.grad
            if grad is not None:
                rows = grad.flatten(1).any(1).nonzero()[:, 0]
                part.weight.grad = torch.sparse_coo_tensor(
                    rows[None], grad[rows], grad.shape, check_invariants=False
                )
