"""tk.Torch: any module and any loss as a learner."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, fields
from functools import partial
from numbers import Integral, Real
from typing import Any, ClassVar, Literal, cast, final

import numpy as np
import torch

from talkoot.core.context import Ctx
from talkoot.core.errors import PlanError
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Add, Outer
from talkoot.core.shard import Schema, Shard
from talkoot.core.sync import EveryStep, Rounds, Sync
from talkoot.core.update import Update
from talkoot.data.loading.generators import start_seed
from talkoot.data.loading.loader import Loader
from talkoot.data.samples.samples import Samples
from talkoot.learners.deep.building import build
from talkoot.learners.deep.dry_run import rehearse
from talkoot.learners.deep.local_state import Inner, carries, difference, further, gradient
from talkoot.learners.deep.optimizer_step import Stepper
from talkoot.learners.deep.tensors import KEEP, MEAN, Arrays, everything, put
from talkoot.learners.deep.trainer import Trainer

_NUMBERS = (
    ("epochs", Real, "number"),
    ("batch", Integral, "whole number"),
    ("accumulate", Integral, "whole number"),
    ("clip", Real, "number"),
)
_HERE = threading.local()  # the trainer that this thread used last: modules are costly to build


@final
@dataclass(frozen=True, eq=False)
class Torch(Learner):
    """A module of torch, trained on all nodes: every step, or every so many steps, as the plan's sync says.

    Samples come in an order that is a function of the seed, the epoch and the sample's index: the number of
    nodes does not change it, nor what a step learns from. So are the random numbers that a dataset draws for
    a sample from torch, numpy or Python; those of a step, such as dropout's, follow from seed, step and rank.
    Floats of samples become those of the module's first parameter; whole numbers stay what they are.

    Args:
        build: gives (module, optimizer) or (module, optimizer, scheduler). It is called on every node and
            must build the same there. Schedulers are stepped once a step, which is once every `batch`
            samples of all nodes together.
        loss: (output of the module, target) -> one number, the mean over the samples. Without targets it
            gets the samples themselves.
        metrics: more such functions by name, to be seen beside the loss. They are measured now and then, in
            evaluation mode, on the samples of a step before it learns from them. In the first epoch these
            are new to the model; from the second on it has seen them, as the loss does.
        count: (output of the module, target) -> what a part of a batch counts, where the loss is a mean over
            something else than samples: over tokens, pixels, or targets that are not ignored. Gradients,
            losses and metrics of parts are weighed by it, so that all engines and any `accumulate` agree
            with the whole batch in one process. Parts that count 0 add nothing; where nothing counts, a step
            leaves the parameters as they are.
        epochs: how often each sample is learned from.
        batch: samples of a step, over all nodes together.
        accumulate: parts in which a node takes its samples of a step, where memory is short.
        clip: greatest norm of the gradient; longer ones are shortened to it.
        precision: "float32", or "bf16" for automatic mixed precision.
        compile: compile the module (torch.compile).
        device: such as "cuda"; by default the node's GPU if there is one, else its processor.
        unused: what holds for a parameter that takes no part in a step's loss at one rank: "refuse", as the
            others would wait for its gradient, or "zeros", that its gradient is zero there. Where no rank
            used it the optimizer passes it over, as in one process. Gradients are exchanged behind the
            backward pass then, not beside it.
        buffers: how buffers merge, by pattern of their names: "mean", or "keep" for each node its own; the
            model that comes back has those of the first rank or, where nodes meet in rounds, as built.
            Floats and the counters of batch norms have a mean by default.

    Raises:
        PlanError: a number that makes no sense.

    >>> import numpy as np, torch, talkoot as tk
    >>> def build():
    ...     module = torch.nn.Linear(2, 1)
    ...     return module, torch.optim.SGD(module.parameters(), lr=0.1)
    >>> X = np.random.default_rng(0).normal(size=(64, 2)).astype("float32")
    >>> task = tk.Torch(build=build, loss=torch.nn.functional.mse_loss, batch=16, epochs=20)
    >>> fit = tk.fit(task, X, X @ np.float32([[2.0], [-1.0]]), on=tk.Inline(), sync=tk.every_step())
    >>> fit.model.weight.detach().numpy().round(2)
    array([[ 2., -1.]], dtype=float32)
    """

    build: Callable[[], Any]
    loss: Callable[[Any, Any], torch.Tensor]
    _: KW_ONLY
    metrics: Mapping[str, Callable[[Any, Any], torch.Tensor]] = field(default_factory=dict)
    epochs: float = 1.0
    batch: int = 256
    accumulate: int = 1
    clip: float | None = None
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    device: str | None = None
    buffers: Mapping[str, str] = field(default_factory=dict)
    count: Callable[[Any, Any], Any] | None = None
    unused: Literal["refuse", "zeros"] = "refuse"

    kind: ClassVar[Kind] = "averaged"
    samples: ClassVar[bool] = True
    ends: ClassVar[bool] = True
    means: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("build", "loss"):
            value = getattr(self, name)
            if not callable(value) or (name == "build" and isinstance(value, torch.nn.Module)):
                raise PlanError(
                    f"{name}= is a {type(value).__name__}, not a function",
                    cure="Write build=lambda: (module, optimizer), and loss=torch.nn.functional.mse_loss.",
                )
        if not isinstance(self.metrics, Mapping):
            raise PlanError("metrics= is no dict", cure='Write metrics={"accuracy": accuracy}.')
        for name, kind, what in _NUMBERS:
            value = getattr(self, name)
            if value is not None and not (isinstance(value, kind) and 0 < float(value) < math.inf):
                raise PlanError(f"{name}={value!r} is no positive {what}")
        if self.precision not in ("float32", "bf16"):
            raise PlanError(f"precision={self.precision!r} is unknown", cure='Take "float32" or "bf16".')
        if self.unused not in ("refuse", "zeros"):
            raise PlanError(f"unused={self.unused!r} is unknown", cure='Take "refuse" or "zeros".')
        if self.count is not None and not callable(self.count):
            raise PlanError(
                f"count= is a {type(self.count).__name__}, not a function",
                cure="Write count=lambda output, target: (target != -100).sum().",
            )
        wrong = {rule for rule in self.buffers.values() if rule not in (MEAN, KEEP)}
        if wrong:
            raise PlanError(f"buffers merge by 'mean' or 'keep', not {wrong.pop()!r}")

    def __repr__(self) -> str:
        plain = {f.name: f.default for f in fields(self) if isinstance(f.default, int | float | str | None)}
        given = {k: getattr(self, k) for k, v in plain.items() if getattr(self, k) != v}
        said = [f"{k}={_name(v) if callable(v) else repr(v)}" for k, v in given.items()]
        return f"Torch({', '.join([_name(self.build), _name(self.loss), *said])})"

    def steps(self, rows: int) -> int:
        """Steps in all, where the nodes have `rows` samples together."""
        return max(1, math.ceil(self.epochs * rows / self.batch))

    def limit(self, schema: Schema, sync: Sync) -> int | None:
        """Rounds until every sample was seen `epochs` times.

        Raises:
            PlanError: the nodes meet by the clock, which says nothing of samples.
        """
        most = self.steps(schema.rows)
        if isinstance(sync, Rounds) and sync.steps is not None:
            return math.ceil(most / (sync.steps // sync.fragments))
        if isinstance(sync, EveryStep):
            return most
        if sync.ends:
            return None
        raise PlanError(
            "meeting by the clock does not say when to stop", cure="Write tk.every(seconds=..., rounds=...)."
        )

    def init(self, schema: Schema, rng: np.random.Generator) -> Arrays:
        """The parameters as `build` makes them, a function of the seed."""
        del schema
        trainer = _HERE.trainer = Trainer(self, int(rng.integers(2**31)))  # not one that a fit has trained
        return everything(trainer.module, self.buffers)

    def outer(self) -> Outer:
        """Add the mean difference."""
        return Add()

    def sync(self) -> Sync:
        """At every step: the answer of one machine."""
        return EveryStep()

    def stepper(self) -> Outer:
        """The task's own optimizer."""
        return Stepper(self)

    def work(self, model: Arrays, local: Inner | None, shard: Shard, ctx: Ctx) -> tuple[Update, Inner | None]:
        """The gradient of one step, or the difference that some steps make."""
        source = cast(Samples, shard)
        if not source.rows:
            return Update(), local
        trainer = _trainer(self, start_seed(ctx.seed))
        with self.feed([source], ctx.seed) as feed:
            if local is None:
                put(trainer.module, model, self.buffers)
                with trainer.turn(0, 0):
                    rehearse(trainer, feed, divided=ctx.gradient and len(ctx.cohort) > 1)
            if ctx.gradient:
                return gradient(trainer, model, feed, source, ctx), None
            return difference(trainer, model, local, feed, source, ctx)

    def overlap(self, local: Inner | None, shard: Shard, ctx: Ctx) -> Inner | None:
        """The steps that a node goes on with while the others hear of the earlier ones."""
        if local is None or not ctx.delay or ctx.steps is None:
            return local
        stop = (ctx.round + 1) * ctx.steps
        source, trainer = cast(Samples, shard), _trainer(self, start_seed(ctx.seed))
        with self.feed([source], ctx.seed) as feed:
            return further(trainer, local, feed, source, range(stop - ctx.delay, stop))

    def carries(self, local: Inner | None) -> bool:
        """Whether its optimizer holds anything, such as momentum, or only a part of it was sent."""
        return local is not None and carries(local)

    def feed(self, sources: Sequence[Samples], seed: int) -> Loader:
        """What a process that holds `sources` reads for each step."""
        return Loader(sources, batch=self.batch, seed=seed)

    def finish(self, model: Arrays) -> torch.nn.Module:
        """The module with the trained parameters, on the processor, in evaluation mode."""
        module = build(self.build, torch.device("cpu"))[0]
        put(module, model, self.buffers, own=True)
        return module.eval()


def _name(function: Any) -> str:
    """A function in words that are the same in every process."""
    if isinstance(function, partial):
        given = [*map(repr, function.args), *(f"{k}={v!r}" for k, v in function.keywords.items())]
        return f"{_name(function.func)}({', '.join(given)})"
    said = str(getattr(function, "__qualname__", repr(function)))
    return f"{type(function).__name__}()" if " at 0x" in said else said


def _trainer(task: Torch, seed: int) -> Trainer:
    if (
        getattr(_HERE, "trainer", None) is None
        or _HERE.trainer.task is not task
        or _HERE.trainer.seed != seed
    ):
        _HERE.trainer = Trainer(task, seed)
    trainer: Trainer = _HERE.trainer
    return trainer
