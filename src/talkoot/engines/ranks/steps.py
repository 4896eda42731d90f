"""A plan that meets at every step, as every rank runs it: its own optimizer on averaged gradients."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast, final

import torch

from talkoot.core.engine import Emit, Run
from talkoot.core.errors import NodeFailed, PlanError
from talkoot.core.plan import Plan
from talkoot.core.shard import Schema, Shard
from talkoot.core.sync import EveryStep, Outcome, Round
from talkoot.core.update import BUFFER, Update
from talkoot.data.loading.generators import start_seed
from talkoot.data.loading.loader import Batch, Feed
from talkoot.data.samples.samples import Samples
from talkoot.engines.processes import wire
from talkoot.engines.ranks.advice import Advice
from talkoot.engines.ranks.checkpoint.identity import settings
from talkoot.engines.ranks.checkpoint.saving import Saving, Training
from talkoot.engines.ranks.collectives.group import Peers, broken
from talkoot.engines.ranks.rounds import hosted
from talkoot.engines.ranks.supervision.rank_state import RankState
from talkoot.engines.ranks.supervision.stop_request import GO_ON, SAVE, StopRequest
from talkoot.engines.ranks.wrap import agree_on_parameters, forget_shards, replicate, shard, whole_state
from talkoot.guards.weigh import Weigh
from talkoot.learners.deep.dry_run import rehearse
from talkoot.learners.deep.finite import bad_gradient
from talkoot.learners.deep.optimizer_step import Stepper
from talkoot.learners.deep.task import Torch
from talkoot.learners.deep.tensors import Arrays, everything
from talkoot.learners.deep.trainer import Trainer

SOON, LATE, SHARE = 0.25, 5.0, 0.005  # seconds between two reports: a share of all so far, within bounds


def lowers(plan: Plan) -> bool:
    """Whether a plan is one that `Steps` runs: a mean of gradients, and the task's own optimizer."""
    return (
        isinstance(plan.sync, EveryStep)
        and isinstance(plan.learner, Torch)
        and isinstance(plan.outer, Stepper)
        and plan.merge.needs == "sum"
        and [*plan.chain] == [Weigh("rows")]
    )


@final
@dataclass(slots=True, eq=False, kw_only=True)
class Steps:
    """The steps of one epoch, on one rank.

    Args:
        plan: what is run.
        shards: the samples of all nodes.
        schema: how many they are.
        group: the ranks.
        memory: what this rank holds from one epoch to the next.
        saving: where checkpoints go.
        pause: whether this rank wants all to stop.
        emit: hears of reports.
    """

    plan: Plan
    shards: Mapping[str, Shard]
    schema: Schema
    group: Peers
    memory: RankState
    saving: Saving
    pause: StopRequest
    emit: Emit
    since: float = field(default_factory=time.perf_counter)
    reported: int = 0
    elapsed: float = 0.0

    @property
    def task(self) -> Torch:
        """What is trained."""
        return cast(Torch, self.plan.learner)

    def run(self) -> Run:
        """Train to the end.

        Raises:
            TalkootError: something is wrong with the task or the samples.
            GroupBroken: a rank went away.
            Paused: all stop here, as one of them wanted.
        """
        sources = mine(self.shards, self.group.rank, self.group.world, self.task.batch)
        with self.saving.opened(self.group), self.task.feed(sources, self.plan.seed) as feed:
            trainer = self._trainer(feed)
            if self.saving.checkpoints is not None and self.group.rank == 0 and not trainer.steps:
                compared = self.memory.settings or settings(self.plan, self.shards, trainer)
                self.memory.settings = compared
            agree_on_parameters(trainer.module, self.group)
            self._wrap(trainer)
            try:
                self._catch_up(trainer)
                self._walk(trainer, feed)
                return self._ended(trainer)
            finally:
                trainer.unwrap()
                if self._sharded:
                    self.memory.trainer = None  # its part of the parameters means nothing in another epoch
                    forget_shards(trainer.module)

    @property
    def _sharded(self) -> bool:
        return self.group.world > 1 and cast(EveryStep, self.plan.sync).sharded

    def _trainer(self, feed: Feed) -> Trainer:
        if self.memory.trainer is None:
            trainer = Trainer(self.task, start_seed(self.plan.seed))
            with trainer.turn(0, self.group.rank):
                note = rehearse(trainer, feed, divided=self.group.world > 1)
            if note:
                self.emit("note", {"text": note})
            self.memory.trainer = trainer
        return self.memory.trainer

    def _wrap(self, trainer: Trainer) -> None:
        if self.group.world > 1:
            if self._sharded:
                shard(trainer, self.group)
            else:
                replicate(trainer, self.group)

    def _catch_up(self, trainer: Trainer) -> None:
        """Go on from where the furthest rank stands; else from the checkpoint; else all from one start."""
        if self._sharded or not self.group.numbers([trainer.steps]).any():
            most = self.task.steps(self.schema.rows)
            self.saving.begin(Training(trainer), self.group, self.memory.settings, most)
        if self._sharded:
            return
        marks = self.group.numbers([trainer.steps, _mark(trainer)])
        if (marks != marks[0]).any():
            furthest = int(marks[:, 0].argmax())
            mine = wire.packed((trainer.state(), self.memory.told)) if self.group.rank == furthest else b""
            said = self.group.gather(mine)
            if self.group.rank != furthest:
                state, self.memory.told = wire.unpacked(said[furthest])
                trainer.load(state)

    def _walk(self, trainer: Trainer, feed: Feed) -> None:
        total, ahead = self.task.steps(self.schema.rows), 1
        self.reported = trainer.steps
        advice = Advice(self.task, self.shards, self.group, self.emit)
        for step in range(trainer.steps, total):
            batch = feed.at(step)
            ahead -= 1
            due = not ahead or step + 1 == total
            seen = (
                self._measured(trainer, batch, step) if due else (0.0, {})
            )  # before the step learns from it
            self._step(trainer, batch, step)
            if due:
                ahead = self._report(trainer, *seen)
                advice.consider(trainer, total)

    def _measured(self, trainer: Trainer, batch: Batch, step: int) -> tuple[float, dict[str, float]]:
        """What a batch counts, and its metrics, before the step learns from it."""
        with trainer.turn(step, self.group.rank):
            return trainer.measure(batch)

    def _step(self, trainer: Trainer, batch: Batch, step: int) -> None:
        with trainer.turn(step, self.group.rank):
            with broken():
                trainer.backward(batch, of=self.task.batch, ranks=self.group.world, total=self._total)
            if names := trainer.spoilt():
                raise self._blamed(trainer, batch, step, names[0])
            trainer.apply()

    def _total(self, mine: float) -> float:
        """A number of this rank, summed over all."""
        numbers = torch.tensor([mine], dtype=torch.float64)
        self.group.add(numbers)
        return float(numbers)

    def _blamed(self, trainer: Trainer, batch: Batch, step: int, name: str) -> NodeFailed:
        """The mean gradient is not finite, at all ranks: each looks whether its own is."""
        blamed = ""
        if not self._sharded:
            trainer.unwrap()
            with trainer.turn(step, self.group.rank):
                trainer.backward(batch)
            ranks = self.group.numbers([len(trainer.spoilt())])[:, 0].nonzero()[0]
            blamed = ", ".join(f"rank {rank}" for rank in ranks)
        node = (blamed or "the sum over all ranks") if self.group.world > 1 else None
        return bad_gradient(name, step, node=node)

    def _report(self, trainer: Trainer, counted: float, seen: Mapping[str, float]) -> int:
        """Tell how it goes, save if it is time, stop if one wants to; the steps until the next report."""
        loss, weight = trainer.losses.take()
        now = time.perf_counter()
        going = trainer.steps < self.task.steps(self.schema.rows)
        wish = max(self.pause.wish(), self.saving.wish()) if going else GO_ON
        names = tuple(self.task.metrics)
        mine = [loss, weight, wish, now - self.since, counted, *(counted * seen.get(n, 0.0) for n in names)]
        table = self.group.numbers(mine)
        total = table.sum(axis=0)
        steps, seconds = trainer.steps - self.reported, float(table[0, 3])
        self.reported = trainer.steps
        means = {
            "loss": (total[0], total[1]),
            **{n: (t, total[4]) for n, t in zip(names, total[5:], strict=True)},
        }
        measured = {n: float(value / count) for n, (value, count) in means.items() if count}
        measured["samples_per_s"] = steps * self.task.batch / max(seconds, 1e-9)
        self._tell(trainer, measured, seconds)
        self.since, self.elapsed = now, self.elapsed + seconds
        stop = int(table[:, 2].max())
        if stop != GO_ON:
            self._settle(trainer)
            self.saving.save(Training(trainer), self.group)
        if stop > SAVE:
            self.saving.wait()
        self.pause.obey(stop, trainer.steps)
        pause = min(LATE, max(SOON, SHARE * self.elapsed))
        return max(1, int(pause * steps / max(seconds, 1e-9)))

    def _tell(self, trainer: Trainer, metrics: Mapping[str, float], seconds: float) -> None:
        nodes = tuple(self.shards)
        outcome = Outcome(
            round=Round(index=trainer.steps, gradient=True, cohort=nodes),
            arrived=nodes,
            failed={},
            committed=True,
            metrics=metrics,
            seconds=seconds,
        )
        self.memory.told = (*self.memory.told, outcome)
        facts = {"step": trainer.steps, "steps": self.task.steps(self.schema.rows), "seconds": seconds}
        self.emit("step", {**facts, "metrics": metrics, "ranks": self.group.world})

    def _settle(self, trainer: Trainer) -> None:
        """Statistics that every rank kept for itself become their mean."""
        for name, tensor in trainer.named.items():
            if name.startswith(BUFFER):
                whole = not (tensor.is_floating_point() or tensor.is_complex())
                mean = tensor.detach().to(torch.complex128 if tensor.is_complex() else torch.float64)
                self.group.add(torch.view_as_real(mean) if tensor.is_complex() else mean)
                mean /= self.group.world
                tensor.copy_(mean.round() if whole else mean)

    def _ended(self, trainer: Trainer) -> Run:
        trainer.ended()
        self._settle(trainer)
        self.saving.finish(Training(trainer), self.group)
        model = self._model(trainer)
        return Run(self.plan, self.schema, model, model, Update(), self.memory.told)

    def _model(self, trainer: Trainer) -> Arrays:
        if not self._sharded:
            return everything(trainer.module, self.task.buffers)
        with broken():
            state: Any = whole_state(trainer.module)
        whole = Trainer(self.task, trainer.seed).module
        whole.load_state_dict(state)
        return everything(whole, self.task.buffers)


def mine(shards: Mapping[str, Shard], rank: int, world: int, batch: int) -> list[Samples]:
    """The samples that a rank reads: its part of a source that all share, or those of its nodes.

    Raises:
        PlanError: there are more ranks than samples in a step, or than nodes.
    """
    sources = [cast(Samples, source) for source in shards.values()]
    first = sources[0]
    if batch < world:
        raise PlanError(
            f"batch={batch} leaves some of {world} ranks without samples", cure="Take a larger batch."
        )
    if len({source.whole for source in sources}) == 1 and first.of == len(sources):
        return [first.share([f"node{i}" for i in range(world)])[rank]]
    if len(sources) < world:
        raise PlanError(
            f"{world} ranks cannot share the samples of {len(sources)} nodes",
            cure="Take no more ranks than there are nodes.",
        )
    return [cast(Samples, shards[node]) for node in hosted(shards, rank, world)]


def _mark(trainer: Trainer) -> float:
    """A number that tells states apart."""
    mark = 0
    for tensor in trainer.module.state_dict().values():
        mark = zlib.crc32(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy(), mark)
    return float(mark)
