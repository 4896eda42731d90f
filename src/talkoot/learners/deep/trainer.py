"""A module in training on this process, one step at a time."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

from talkoot.core.errors import PlanError
from talkoot.data.loading.generators import exclusive_generators, sample_seeds
from talkoot.data.loading.loader import Batch
from talkoot.learners.deep.building import build, device_of
from talkoot.learners.deep.finite import bad_gradient, bad_parameter, checksum, lost, spoilt
from talkoot.learners.deep.losses import CURE, Losses, as_weight
from talkoot.learners.deep.outputs import nothing
from talkoot.learners.deep.tensors import floats_of, named

if TYPE_CHECKING:
    from talkoot.learners.deep.task import Torch

_EMPTY = " Where the samples of a part may have no target at all, count= lets them count nothing."


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
        before: called with the loss of each part before its backward pass.
        after: called behind the backward pass of each part with whether it was the step's last: an engine
            may exchange gradients there.
        sparse: a gradient is a sparse tensor; known once the task was tried, as is whether
        open: the graph of a loss shows every parameter that its gradient reaches.
        steps: optimizer steps done.
        losses: since somebody asked.
    """

    def __init__(self, task: Torch, seed: int) -> None:
        self.task, self.seed = task, seed
        self._cure = CURE if task.count is not None else CURE + _EMPTY
        self.device = device_of(task.device)
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
        self.sparse, self.open = False, False
        self.steps = 0
        self.losses = Losses(self._cure)
        self._fresh = copy.deepcopy(
            (self.optimizer.state_dict(), self.scheduler.state_dict() if self.scheduler is not None else {})
        )

    def call(
        self,
        net: torch.nn.Module,
        after: Callable[[bool], None] = lambda last: None,
        before: Callable[[torch.Tensor], None] = lambda loss: None,
    ) -> None:
        """From now on call `net`: the module, or something around it. Compiled, if that is asked for."""
        self.net = torch.compile(net) if self.task.compile else net
        self.before, self.after = before, after

    def train(self) -> None:
        """Training mode, but for the parts that `build` has put in evaluation mode."""
        self.module.train()
        for part in self._frozen:
            part.training = False

    def turn(self, step: int, part: int) -> AbstractContextManager[None]:
        """A step: random numbers of dropout and the like are a function of (seed, step, part).

        The process's random generators are this thread's alone meanwhile.
        """
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
        """Add the gradient of a step's mean loss, as far as it comes from these samples, and note the loss.

        Args:
            batch: samples of the step.
            of: how many samples the step has on all ranks; by default these alone.
            ranks: over how many ranks an engine averages the gradient.
            total: from what these samples count to what those of all ranks do; asked for where the task
                has a `count`.
            parts: in how many parts; by default as many as the task wants.

        Returns:
            What these samples count.

        Raises:
            NodeFailed: the loss is not finite; no gradient was added for that part of the batch. On a GPU
                that shows one part later.
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
        """The batch and its targets in so many parts as the task wants, as even as can be."""
        x, y = self.tensors(batch)
        size = -(-len(x) // (count or self.task.accumulate))
        count = -(-len(x) // size)
        pieces = torch.tensor_split(x, count)
        return [*zip(pieces, pieces if y is None else torch.tensor_split(y, count), strict=True)]

    def _add(self, x: torch.Tensor, y: torch.Tensor, scale: float) -> float:
        """Add the gradient of a part, times what it counts and `scale`; returns what it counts."""
        out = self.forward(x)
        weight = self.weight(out, y)
        if weight:
            loss = self.loss(out, y)
            self.losses.add(loss.detach(), weight, step=self.steps)
            self.before(loss)
            if loss.requires_grad:
                torch.autograd.backward(loss * (weight * scale))
        elif self.task.unused != "zeros":
            nothing(out)
        return weight

    def weight(self, out: Any, y: torch.Tensor) -> float:
        """What a part counts: its samples, or what the task's `count` says.

        Raises:
            PlanError: that is no number that can be a weight.
        """
        if self.task.count is None:
            return float(len(y))
        return as_weight(self.task.count(out, y))

    def _divide(self, total: float) -> None:
        """Make a mean of the sum over all that counts; where nothing does, there is no gradient."""
        for parameter in self.trained():
            if parameter.grad is not None:
                parameter.grad = parameter.grad.div_(total) if total else None

    def forward(self, x: torch.Tensor) -> Any:
        """What the module says to a part of a batch."""
        with self._precision():
            return self.net(x)

    def loss(self, out: Any, y: torch.Tensor) -> torch.Tensor:
        """The task's loss.

        Raises:
            PlanError: it is not one number of torch, or depends on no parameter where one has to take part.
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
        """See that the gradients are finite, before the step is taken.

        Raises:
            NodeFailed: they are not; the first parameter is named. On a GPU that shows with the next loss.
        """
        if names := self.spoilt():
            raise bad_gradient(names[0], self.steps)

    def trained(self) -> list[torch.nn.Parameter]:
        """The parameters that the optimizer steps, in its order; modules take long to be walked through."""
        groups = self.optimizer.param_groups
        return [p for group in groups for p in group["params"] if p.requires_grad]

    def spoilt(self) -> list[str]:
        """The names of parameters whose gradient is not finite."""
        total = checksum(parameter.grad for parameter in self.trained())
        if total.device.type == "cuda":
            self.losses.check(total, step=self.steps)
            return []
        return [] if bool(torch.isfinite(total)) else spoilt(self.module.named_parameters())

    def ended(self) -> None:
        """See that the parameters are finite, before others get them.

        Raises:
            NodeFailed: they are not.
        """
        if names := lost((name, p) for name, p in self.module.named_parameters() if p.requires_grad):
            raise bad_parameter(names[0], self.steps - 1)

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
    def measure(self, batch: Batch) -> tuple[float, dict[str, float]]:
        """What a batch counts, and the task's metrics of it, in evaluation mode: none of nothing."""
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
        self.losses = Losses(self._cure)

    def restart(self, steps: int = 0) -> None:
        """Go on with the optimizer as it was built, and with its schedule as it is after `steps` steps."""
        self.resume(*self._fresh, steps)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            for _ in range(steps if self.scheduler is not None else 0):
                self.scheduler.step()

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


def untrained() -> PlanError:
    """The error of a loss that teaches nothing."""
    return PlanError(
        "the loss depends on no parameter that is trained",
        cure="Compute it from the module's output by functions of torch, without detach() or item().",
    )
