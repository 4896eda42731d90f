"""tk.Torch: any module and any loss as a learner."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
import torch

from talkoot.core.context import Ctx
from talkoot.core.errors import PlanError
from talkoot.core.learner import Kind
from talkoot.core.outer import Add, Outer
from talkoot.core.shard import Schema, Shard
from talkoot.core.sync import EveryStep, Rounds, Sync
from talkoot.core.update import Update
from talkoot.data.loading.generators import start_seed
from talkoot.data.loading.loader import Loader, with_quotas
from talkoot.data.samples.base import Samples
from talkoot.learners.deep.building import build
from talkoot.learners.deep.dry_run import dry_run
from talkoot.learners.deep.local_state import LocalState, carries, continue_steps, difference, gradient
from talkoot.learners.deep.optimizer_step import OptimizerStep
from talkoot.learners.deep.settings import TorchSettings
from talkoot.learners.deep.tensors import Arrays, everything, put
from talkoot.learners.deep.trainer import Trainer

_thread = threading.local()  # the trainer that this thread used last: modules are costly to build


@final
@dataclass(frozen=True, eq=False, repr=False)
class Torch(TorchSettings):
    """A module of torch, trained on all nodes, which exchange updates as often as the plan's sync says.

    The order of samples is a function of seed, epoch and the sample's index, so neither it nor a step's
    samples depend on the number of nodes. The same holds for random numbers that a dataset draws for a sample
    from torch, numpy or Python; those of a step, such as dropout's, are a function of seed, step and rank.
    Floats of samples get the dtype of the module's first parameter; whole numbers stay as they are.

    Args:
        build: returns (module, optimizer) or (module, optimizer, scheduler). It is called on every node and
            must build the same there. Schedulers are stepped once a step, which is every `batch` samples
            over all nodes.
        loss: (output of the module, target) -> one number, the mean over the samples. Without targets it
            gets the samples themselves.
        metrics: more such functions by name, shown with the loss. They are measured from time to time, in
            evaluation mode, on the samples of a step before the step. In the first epoch the model has not
            learned from these samples before; later it has, as for the loss.
        count: (output of the module, target) -> what a part of a batch counts, if the loss is a mean over
            something else than samples: tokens, pixels, or targets that are not ignored. Gradients, losses
            and metrics of parts are weighted by it, so that all engines and any `accumulate` agree with the
            whole batch in one process. Parts that count 0 add nothing; if nothing counts, a step does not
            change the parameters.
        epochs: how often each sample is learned from.
        batch: samples of a step, over all nodes.
        accumulate: number of parts in which a node processes its samples of a step, to save memory.
        clip: maximum norm of the gradient.
        precision: "float32", or "bf16" for automatic mixed precision.
        compile: compile the module (torch.compile).
        device: such as "cuda"; by default the node's GPU if there is one, else its CPU.
        unused: for a parameter that a step's loss at one rank does not use: "refuse", as the others would
            wait for its gradient, or "zeros" for a zero gradient there. If no rank uses it, the optimizer
            skips it, as in one process. With "zeros", gradients are exchanged after the backward pass, not
            during it.
        buffers: how buffers merge, by pattern of their names: "mean", or "keep" for each node its own; the
            fitted model has those of the first rank or, if nodes meet in rounds, as built. By default
            floats and the counters of batch norms have a mean.

    Raises:
        PlanError: a parameter is out of range or of the wrong type.

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

    kind: ClassVar[Kind] = "averaged"
    reads: ClassVar[type[Shard]] = Samples
    ends: ClassVar[bool] = True
    means: ClassVar[bool] = True

    def divided(self, shards: Mapping[str, Any]) -> Mapping[str, Any]:
        """Each node's samples with its share of every batch."""
        return with_quotas(shards, self.batch)

    def limit(self, schema: Schema, sync: Sync) -> int | None:
        """Rounds until every sample was learned from `epochs` times.

        Raises:
            PlanError: rounds have a duration, not a number of steps, and no end.
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
        """The initial parameters from `build`, a function of the seed."""
        trainer = _thread.trainer = Trainer(self, int(rng.integers(2**31)))  # never a trained one
        return everything(trainer.module, self.buffers)

    def outer(self) -> Outer:
        """Add the mean difference."""
        return Add()

    def sync(self) -> Sync:
        """A round for every step, which gives the result of one machine."""
        return EveryStep()

    def gradient_outer(self) -> Outer:
        """The task's own optimizer."""
        return OptimizerStep(self)

    def work(
        self, question: Arrays, local: LocalState | None, shard: Shard, ctx: Ctx
    ) -> tuple[Update, LocalState | None]:
        """The gradient of one step, or the difference over several steps."""
        assert isinstance(shard, Samples)  # as the loop has seen to
        if not shard.rows:
            return Update(), local
        trainer = _trainer(self, start_seed(ctx.seed))
        with self.feed([shard], ctx.seed) as feed:
            if local is None:
                put(trainer.module, question, self.buffers)
                with trainer.turn(0, 0):
                    dry_run(trainer, feed, divided=ctx.work.gradient and len(ctx.cohort) > 1)
            if ctx.work.gradient:
                return gradient(trainer, question, feed, shard, ctx), None
            return difference(trainer, question, local, feed, shard, ctx)

    def portable(self, local: LocalState | None) -> None:
        """Nothing: an optimizer and a copy of the model are many times an update, so others start without."""

    def overlap(self, local: LocalState | None, shard: Shard, ctx: Ctx) -> LocalState | None:
        """Further steps while the update of the earlier ones is sent and merged."""
        if local is None or not ctx.work.delay or ctx.work.steps is None:
            return local
        stop = (ctx.round + 1) * ctx.work.steps
        assert isinstance(shard, Samples)
        trainer = _trainer(self, start_seed(ctx.seed))
        with self.feed([shard], ctx.seed) as feed:
            return continue_steps(trainer, local, feed, shard, range(stop - ctx.work.delay, stop))

    def carries(self, local: LocalState | None) -> bool:
        """Whether the optimizer has state such as momentum, or only a fragment was sent."""
        return local is not None and carries(local)

    def feed(self, sources: Sequence[Samples], seed: int) -> Loader:
        """The batches of each step for a process that has `sources`."""
        return Loader(sources, batch=self.batch, seed=seed)

    def finish(self, model: Arrays) -> torch.nn.Module:
        """The module with the trained parameters, on the CPU, in evaluation mode."""
        module = build(self.build, torch.device("cpu"))[0]
        put(module, model, self.buffers, own=True)
        return module.eval()


def _trainer(task: Torch, seed: int) -> Trainer:
    if (
        getattr(_thread, "trainer", None) is None
        or _thread.trainer.task is not task
        or _thread.trainer.seed != seed
    ):
        _thread.trainer = Trainer(task, seed)
    trainer: Trainer = _thread.trainer
    return trainer
