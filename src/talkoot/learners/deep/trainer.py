"""A module in training on this process, one step at a time."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, final

import numpy as np
import torch

from talkoot.core.errors import PlanError
from talkoot.data.loading.generators import exclusive_generators, sample_seeds
from talkoot.data.loading.loader import Batch
from talkoot.learners.deep.building import build, device_for
from talkoot.learners.deep.finite import bad_gradient, bad_parameter, checksum, nonfinite
from talkoot.learners.deep.losses import CURE, Losses, as_weight, untrained
from talkoot.learners.deep.outputs import zero_backward
from talkoot.learners.deep.settings import TorchSettings
from talkoot.learners.deep.tensors import floats_of, named

_EMPTY = " If all targets of a part may be missing, write count=, so that the part counts 0."


@final
class Trainer:
    """A live module with its optimizer.

    Args:
        task: what is trained and how.
        seed: of the initial parameters.

    Attributes:
        module: the module itself.
        net: the callable: the module, or what an engine wraps around it.
        dtype: to which floats of samples and targets are converted.
        before: called with the loss of each part before its backward pass.
        after: called after the backward pass of each part, with whether it was the step's last; an engine
            may exchange gradients there.
        sparse: a gradient is a sparse tensor; known after the dry run.
        graph_is_complete: the graph of a loss shows every parameter that gets a gradient; known after the
            dry run.
        steps: optimizer steps done.
        losses: since the last `take`.
    """

    def __init__(self, task: TorchSettings, seed: int) -> None:
        self.task, self.seed = task, seed
        self._cure = CURE if task.count is not None else CURE + _EMPTY
        self.device = device_for(task.device)
        with exclusive_generators(seed):
            self.module, self.optimizer, self.scheduler = build(task.build, self.device)
        self.dtype = floats_of(self.module)
        self._frozen = [part for part in self.module.modules() if self.module.training and not part.training]
        self.train()
        self.net: Callable[[torch.Tensor], Any]
        self.before: Callable[[torch.Tensor], None]
        self.after: Callable[[bool], None]
        self.call(self.module)
        self.named = dict(named(self.module, task.buffers))
        self.sparse, self.graph_is_complete = False, False
        self.steps = 0
        self.losses = Losses(self._cure)
        fresh = self.state()
        self._fresh = copy.deepcopy((fresh["optimizer"], fresh["scheduler"]))

    def call(
        self,
        net: torch.nn.Module,
        after: Callable[[bool], None] = lambda last: None,
        before: Callable[[torch.Tensor], None] = lambda loss: None,
    ) -> None:
        """Call `net` from now on: the module, or a wrapper; compiled if the task says so."""
        self.net = torch.compile(net) if self.task.compile else net
        self.before, self.after = before, after

    def train(self) -> None:
        """Set training mode, except for parts that `build` set to evaluation mode."""
        self.module.train()
        for part in self._frozen:
            part.training = False

    def turn(self, step: int, part: int) -> AbstractContextManager[None]:
        """Seed the random generators for a step by (seed, step, part); other threads wait for them."""
        return exclusive_generators(int(sample_seeds(self.seed, np.array([step]), np.array([part]))[0]))

    def backward(
        self,
        batch: Batch,
        *,
        of: int = 0,
        ranks: int = 1,
        total: Callable[[float], float] = float,
        parts: int | None = None,
    ) -> float:
        """Add these samples' share of the gradient of a step's mean loss, and record the loss.

        Args:
            batch: samples of the step.
            of: number of samples of the step on all ranks; by default these alone.
            ranks: number of ranks over which an engine averages the gradient.
            total: from what these samples count to what those of all ranks count; called if the task has a
                `count`.
            parts: number of parts; by default the task's `accumulate`.

        Returns:
            What these samples count.

        Raises:
            NodeFailed: the loss is not finite; no gradient was added for that part of the batch. On a GPU
                it is raised one part later.
        """
        scale = ranks / (of or batch.rows) if self.task.count is None else float(ranks)
        pieces = self.parts(batch, parts)
        counted = 0.0
        for number, piece in enumerate(pieces, 1):
            counted += self._add(*piece, scale)
            self.after(number == len(pieces))
        if self.task.count is not None:
            self._divide(total(counted))
        return counted

    def parts(self, batch: Batch, count: int | None = None) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The batch and its targets in parts of nearly equal size."""
        x, y = self.tensors(batch)
        size = -(-len(x) // (count or self.task.accumulate))
        count = -(-len(x) // size)
        pieces = torch.tensor_split(x, count)
        return [*zip(pieces, pieces if y is None else torch.tensor_split(y, count), strict=True)]

    def _add(self, x: torch.Tensor, y: torch.Tensor, scale: float) -> float:
        """Add the gradient of a part times what it counts and `scale`; returns what it counts."""
        out = self.forward(x)
        weight = self.weight(out, y)
        if weight:
            loss = self.loss(out, y)
            self.losses.add(loss.detach(), weight, step=self.steps)
            self.before(loss)
            if loss.requires_grad:
                torch.autograd.backward(loss * (weight * scale))
        elif self.task.unused != "zeros":
            zero_backward(out)
        return weight

    def weight(self, out: Any, y: torch.Tensor) -> float:
        """What a part counts: its samples, or the task's `count`.

        Raises:
            PlanError: `count` does not return a weight.
        """
        if self.task.count is None:
            return float(len(y))
        return as_weight(self.task.count(out, y))

    def _divide(self, total: float) -> None:
        """Divide gradients by the total count; without a count there is no gradient."""
        for parameter in self.trained():
            if parameter.grad is not None:
                parameter.grad = parameter.grad.div_(total) if total else None

    def forward(self, x: torch.Tensor) -> Any:
        """The module's output for a part of a batch."""
        with self._precision():
            return self.net(x)

    def loss(self, out: Any, y: torch.Tensor) -> torch.Tensor:
        """The task's loss.

        Raises:
            PlanError: it is not a tensor of one number, or depends on no parameter and `unused` refuses that.
        """
        with self._precision():
            loss: Any = self.task.loss(out, y)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            what = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else repr(loss)
            raise PlanError(f"the loss gave {what}, not one number", cure="Take the mean over the batch.")
        if not loss.requires_grad and self.task.unused != "zeros":
            raise untrained()
        return loss.reshape(())

    def check(self) -> None:
        """Check that the gradients are finite, before the step.

        Raises:
            NodeFailed: they are not; names the first parameter. On a GPU it is raised with the next loss.
        """
        if names := self.nonfinite_gradients():
            raise bad_gradient(names[0], self.steps)

    def trained(self) -> list[torch.nn.Parameter]:
        """The parameters that the optimizer steps, in its order; faster than walking the module."""
        groups = self.optimizer.param_groups
        return [p for group in groups for p in group["params"] if p.requires_grad]

    def nonfinite_gradients(self) -> list[str]:
        """The names of parameters whose gradient is not finite."""
        total = checksum([parameter.grad for parameter in self.trained()])
        if total.device.type == "cuda":
            self.losses.check(total, step=self.steps)
            return []
        named = self.module.named_parameters()
        return [] if bool(torch.isfinite(total)) else nonfinite((name, p.grad) for name, p in named)

    def check_parameters(self) -> None:
        """Check that the parameters are finite, before they are sent.

        Raises:
            NodeFailed: they are not.
        """
        named = self.module.named_parameters()
        if names := nonfinite((name, p.detach()) for name, p in named if p.requires_grad):
            raise bad_parameter(names[0], self.steps - 1)

    def apply(self) -> None:
        """Take the optimizer's step with the current gradients, and clear them."""
        if self.task.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.task.clip)
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()
        self.optimizer.zero_grad()
        self.steps += 1

    @torch.no_grad()
    def measure(self, batch: Batch) -> tuple[float, dict[str, float]]:
        """What a batch counts, and its metrics in evaluation mode; none if it counts 0."""
        if not self.task.metrics:
            return 0.0, {}
        x, y = self.tensors(batch)
        y = x if y is None else y
        self.module.eval()
        try:
            out = self.forward(x)
            weight = self.weight(out, y)
            of = self.task.metrics if weight else {}
            return weight, {name: float(of[name](out, y)) for name in of}
        finally:
            self.train()

    def state(self) -> dict[str, Any]:
        """All that training continues from; tensors are not copied."""
        return {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler is not None else {},
            "step": self.steps,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continue from `state`."""
        self.module.load_state_dict(state["module"])
        self.resume(state["optimizer"], state["scheduler"], state["step"])

    def resume(self, optimizer: Mapping[str, Any], scheduler: Mapping[str, Any], steps: int) -> None:
        """Load copies of optimizer and scheduler state, after `steps` steps."""
        self.optimizer.load_state_dict(copy.deepcopy(dict(optimizer)))
        if self.scheduler is not None:
            self.scheduler.load_state_dict(dict(scheduler))
        self.forget()
        self.steps = steps

    def unwrap(self) -> None:
        """Call the module itself again, not an engine's wrapper; clears gradients."""
        self.call(self.module)
        self.forget()

    def forget(self) -> None:
        """Clear gradients, and losses since the last `take`."""
        self.optimizer.zero_grad()
        self.losses = Losses(self._cure)

    def restart(self, steps: int = 0) -> None:
        """Reset the optimizer to its initial state, and the scheduler to that after `steps` steps."""
        self.resume(*self._fresh, steps)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for _ in range(steps if self.scheduler is not None else 0):
                self.scheduler.step()

    def tensors(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The batch on the module's device."""
        return self._to_device(batch.X), None if batch.y is None else self._to_device(batch.y)

    def _to_device(self, array: np.ndarray) -> torch.Tensor:
        """A tensor on the device, floats in the module's dtype; from pinned memory, so that nothing waits."""
        tensor = torch.from_numpy(array)
        if tensor.is_floating_point():
            tensor = tensor.to(self.dtype)
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)

    def _precision(self) -> AbstractContextManager[Any]:
        if self.task.precision == "bf16":
            return torch.autocast(self.device.type, dtype=torch.bfloat16)
        return nullcontext()
