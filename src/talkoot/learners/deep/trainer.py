"""A module in training on this process, one step at a time."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

from talkoot.core.errors import PlanError
from talkoot.data.feed import Batch
from talkoot.data.generators import sample_seeds, turn
from talkoot.learners.deep.building import build, device_of
from talkoot.learners.deep.losses import Losses
from talkoot.learners.deep.tensors import floats_of, named

if TYPE_CHECKING:
    from talkoot.learners.deep.task import Torch


@final
class Trainer:
    """A live module with its optimizer.

    Args:
        task: what is trained and how.
        seed: parameters start as a function of it.

    Attributes:
        module: the module itself.
        net: what is called: the module, or what an engine wraps around it.
        dtype: what floats of samples and targets become for it.
        hold: gives a context in which gradients are not exchanged yet.
        steps: optimizer steps done.
        losses: since somebody asked.
    """

    def __init__(self, task: Torch, seed: int) -> None:
        self.task, self.seed = task, seed
        self.device = device_of(task.device)
        with turn(seed):
            self.module, self.optimizer, self.scheduler = build(task.build, self.device)
        self.dtype = floats_of(self.module)
        self.module.train()
        self.net: Callable[[torch.Tensor], Any]
        self.hold: Callable[[], AbstractContextManager[Any]]
        self.call(self.module)
        self.named = dict(named(self.module, task.buffers))
        self.steps = 0
        self.losses = Losses()
        self._fresh = copy.deepcopy(
            (self.optimizer.state_dict(), self.scheduler.state_dict() if self.scheduler is not None else {})
        )

    def call(
        self, net: torch.nn.Module, hold: Callable[[], AbstractContextManager[Any]] = nullcontext
    ) -> None:
        """From now on call `net`: the module, or something around it. Compiled, if that is asked for."""
        self.net = torch.compile(net) if self.task.compile else net
        self.hold = hold

    def turn(self, step: int, part: int) -> AbstractContextManager[None]:
        """A step: random numbers of dropout and the like are a function of (seed, step, part).

        The process's random generators are this thread's alone meanwhile.
        """
        return turn(int(sample_seeds(self.seed, np.array([step]), np.array([part]))[0]))

    def backward(self, batch: Batch, share: float = 1.0) -> None:
        """Add the gradient of the batch's mean loss, times `share`, to what is there, and note the loss.

        Raises:
            NodeFailed: the loss is not finite; no gradient was added for that part of the batch. On a GPU
                that shows one part later.
        """
        x, y = self.tensors(batch)
        size = -(-len(x) // self.task.accumulate)
        starts = range(0, len(x), size)
        for start in starts:
            part = slice(start, start + size)
            rows = len(x[part])
            with self.hold() if start != starts[-1] else nullcontext():
                loss = self.loss(self.forward(x[part]), x[part] if y is None else y[part])
                self.losses.add(loss.detach(), rows, step=self.steps)
                torch.autograd.backward(loss * (rows / len(x) * share))

    def forward(self, x: torch.Tensor) -> Any:
        """What the module says to a part of a batch."""
        with self._precision():
            return self.net(x)

    def loss(self, out: Any, y: torch.Tensor) -> torch.Tensor:
        """The task's loss.

        Raises:
            PlanError: it is not one number of torch, or depends on no parameter.
        """
        with self._precision():
            loss: Any = self.task.loss(out, y)
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            what = f"a tensor of shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else repr(loss)
            raise PlanError(f"the loss gave {what}, not one number", cure="Take the mean over the batch.")
        if not loss.requires_grad:
            raise PlanError(
                "the loss depends on no parameter that is trained",
                cure="Compute it from the module's output by functions of torch, without detach() or item().",
            )
        return loss.reshape(())

    def apply(self) -> None:
        """Take the optimizer's step with the gradients that are there, and forget them."""
        if self.task.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.module.parameters(), self.task.clip)
        self.optimizer.step()
        if self.scheduler is not None:
            self.scheduler.step()
        self.optimizer.zero_grad()
        self.steps += 1

    @torch.no_grad()
    def measure(self, batch: Batch) -> dict[str, float]:
        """The task's metrics of a batch, in evaluation mode."""
        if not self.task.metrics:
            return {}
        x, y = self.tensors(batch)
        self.module.eval()
        try:
            out = self.forward(x)
            return {name: float(of(out, x if y is None else y)) for name, of in self.task.metrics.items()}
        finally:
            self.module.train()

    def state(self) -> dict[str, Any]:
        """All that training goes on from; tensors are the live ones."""
        return {
            "module": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict() if self.scheduler is not None else {},
            "step": self.steps,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from `state`."""
        self.module.load_state_dict(state["module"])
        self.resume(state["optimizer"], state["scheduler"], state["step"])

    def resume(self, optimizer: Mapping[str, Any], scheduler: Mapping[str, Any], steps: int) -> None:
        """Go on with an optimizer, and its schedule, after `steps` steps; what is given stays as it is."""
        self.optimizer.load_state_dict(copy.deepcopy(dict(optimizer)))
        if self.scheduler is not None:
            self.scheduler.load_state_dict(dict(scheduler))
        self.forget()
        self.steps = steps

    def unwrap(self) -> None:
        """Call the module itself again, not what an engine wrapped around it; forget half of a gradient."""
        self.call(self.module)
        self.forget()

    def forget(self) -> None:
        """Forget gradients, and losses that nobody asked for."""
        self.optimizer.zero_grad()
        self.losses = Losses()

    def restart(self) -> None:
        """Go on with the optimizer as it was built."""
        self.resume(*self._fresh, 0)

    def tensors(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The batch on the module's device."""
        return self._there(batch.X), None if batch.y is None else self._there(batch.y)

    def _there(self, array: np.ndarray) -> torch.Tensor:
        """On the device; from pinned memory a GPU fetches it without keeping this process waiting.

        Floats become those of the module, whole numbers and booleans stay what they are.
        """
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
