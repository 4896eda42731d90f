"""A plan that meets at every step: every rank runs its own optimizer on averaged gradients."""

from __future__ import annotations

import time
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast, final

import torch

from talkoot.core.context import LocalWork
from talkoot.core.engine import Emit, Run
from talkoot.core.errors import NodeFailed, PlanError
from talkoot.core.plan import Plan
from talkoot.core.round import Outcome, Round
from talkoot.core.shard import Schema, Shard
from talkoot.core.sync import EveryStep
from talkoot.core.update import BUFFER, Update
from talkoot.data.loading.generators import start_seed
from talkoot.data.loading.loader import Batch, Loader
from talkoot.data.samples.base import Samples, samples_of
from talkoot.engines.ranks.advice import Advice
from talkoot.engines.ranks.checkpoint.identity import settings
from talkoot.engines.ranks.checkpoint.saving import Saving, StepsState
from talkoot.engines.ranks.collectives.group import Peers, as_group_broken
from talkoot.engines.ranks.collectives.objects import broadcast_object
from talkoot.engines.ranks.rounds import hosted
from talkoot.engines.ranks.supervision.rank_state import RankState
from talkoot.engines.ranks.supervision.stop_request import GO_ON, SAVE, StopRequest
from talkoot.engines.ranks.wrap import agree_on_parameters, forget_shards, replicate, shard, whole_state
from talkoot.learners.deep.dry_run import dry_run
from talkoot.learners.deep.finite import bad_gradient
from talkoot.learners.deep.task import Torch
from talkoot.learners.deep.tensors import Arrays, everything
from talkoot.learners.deep.trainer import Trainer

# seconds between two reports: a share of the time so far, within bounds
MIN_INTERVAL, MAX_INTERVAL, SHARE = 0.25, 5.0, 0.005


@final
@dataclass(slots=True, eq=False, kw_only=True)
class Steps:
    """The steps of one epoch, on one rank; `rank_state` is what it keeps from one epoch to the next."""

    plan: Plan
    shards: Mapping[str, Shard]
    schema: Schema
    group: Peers
    rank_state: RankState
    saving: Saving
    stop_request: StopRequest
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
            GroupBroken: a rank is gone.
            Stopped: all stop here, as one of them requested.
        """
        sources = local_samples(self.shards, self.group.rank, self.group.world, self.task.batch)
        with self.saving.locked(self.group), self.task.feed(sources, self.plan.seed) as feed:
            trainer = self._trainer(feed)
            if self.saving.checkpoints is not None and self.group.rank == 0 and not trainer.steps:
                compared = self.rank_state.settings or settings(self.plan, self.shards, trainer)
                self.rank_state.settings = compared
            agree_on_parameters(trainer.module, self.group)
            self._wrap(trainer)
            try:
                self._catch_up(trainer)
                self._train(trainer, feed)
                return self._finish(trainer)
            finally:
                trainer.unwrap()
                if self._sharded:
                    self.rank_state.trainer = None  # its part of the parameters has no use in another epoch
                    forget_shards(trainer.module)

    @property
    def _sharded(self) -> bool:
        return self.group.world > 1 and cast(EveryStep, self.plan.sync).sharded

    def _trainer(self, feed: Loader) -> Trainer:
        if self.rank_state.trainer is None:
            trainer = Trainer(self.task, start_seed(self.plan.seed))
            with trainer.turn(0, self.group.rank):
                note = dry_run(trainer, feed, divided=self.group.world > 1)
            if note:
                self.emit("note", {"text": note})
            self.rank_state.trainer = trainer
        return self.rank_state.trainer

    def _wrap(self, trainer: Trainer) -> None:
        if self.group.world > 1:
            if self._sharded:
                shard(trainer, self.group)
            else:
                replicate(trainer, self.group)

    def _catch_up(self, trainer: Trainer) -> None:
        """Go on from the furthest rank, else from the checkpoint, else from the same start."""
        if self._sharded or not self.group.gather_numbers([trainer.steps]).any():
            most = self.task.steps(self.schema.rows)
            self.saving.begin(StepsState(trainer), self.group, self.rank_state.settings, most)
        if self._sharded:
            return
        versions = self.group.gather_numbers([trainer.steps, _checksum(trainer)])
        if (versions != versions[0]).any():
            furthest = int(versions[:, 0].argmax())
            mine = (trainer.state(), self.rank_state.history)
            state, self.rank_state.history = broadcast_object(self.group, mine, furthest)
            if self.group.rank != furthest:
                trainer.load(state)

    def _train(self, trainer: Trainer, feed: Loader) -> None:
        total, until_report = self.task.steps(self.schema.rows), 1
        self.reported = trainer.steps
        advice = Advice(self.task, self.shards, self.group, self.emit)
        for step in range(trainer.steps, total):
            batch = feed.at(step)
            until_report -= 1
            due = not until_report or step + 1 == total
            measured = self._measure(trainer, batch, step) if due else (0.0, {})
            self._step(trainer, batch, step)
            if due:
                until_report = self._report(trainer, *measured)
                advice.consider(trainer, total)

    def _measure(self, trainer: Trainer, batch: Batch, step: int) -> tuple[float, dict[str, float]]:
        """The weight of a batch and its metrics, before the step learns from it."""
        with trainer.turn(step, self.group.rank):
            return trainer.measure(batch)

    def _step(self, trainer: Trainer, batch: Batch, step: int) -> None:
        with trainer.turn(step, self.group.rank):
            with as_group_broken():
                trainer.backward(batch, of=self.task.batch, ranks=self.group.world, total=self._total)
            if names := trainer.nonfinite_gradients():
                raise self._bad_gradient(trainer, batch, step, names[0])
            trainer.apply()

    def _total(self, mine: float) -> float:
        """A number of this rank, summed over all."""
        numbers = torch.tensor([mine], dtype=torch.float64)
        self.group.all_reduce(numbers)
        return float(numbers)

    def _bad_gradient(self, trainer: Trainer, batch: Batch, step: int, name: str) -> NodeFailed:
        """The error of a mean gradient that is not finite: each rank checks its own gradient."""
        culprits = ""
        if not self._sharded:
            trainer.unwrap()
            with trainer.turn(step, self.group.rank):
                trainer.backward(batch)
            ranks = self.group.gather_numbers([len(trainer.nonfinite_gradients())])[:, 0].nonzero()[0]
            culprits = ", ".join(f"rank {rank}" for rank in ranks)
        node = (culprits or "the sum over all ranks") if self.group.world > 1 else None
        return bad_gradient(name, step, node=node)

    def _report(self, trainer: Trainer, counted: float, seen: Mapping[str, float]) -> int:
        """Report, and save or stop if a rank requests it; returns the steps until the next report."""
        loss, weight = trainer.losses.take()
        now = time.perf_counter()
        going = trainer.steps < self.task.steps(self.schema.rows)
        request = max(self.stop_request.pending(), self.saving.pending()) if going else GO_ON
        names = tuple(self.task.metrics)
        values = [counted * seen.get(name, 0.0) for name in names]
        mine = [loss, weight, request, now - self.since, counted, *values]
        table = self.group.gather_numbers(mine)
        total = table.sum(axis=0)
        steps, seconds = trainer.steps - self.reported, float(table[0, 3])
        self.reported = trainer.steps
        means = {
            "loss": (total[0], total[1]),
            **{n: (t, total[4]) for n, t in zip(names, total[5:], strict=True)},
        }
        measured = {n: float(value / count) for n, (value, count) in means.items() if count}
        measured["samples_per_s"] = steps * self.task.batch / max(seconds, 1e-9)
        self._emit_step(trainer, measured, seconds)
        self.since, self.elapsed = now, self.elapsed + seconds
        stop = int(table[:, 2].max())
        if stop != GO_ON:
            self._average_buffers(trainer)
            self.saving.save(StepsState(trainer), self.group)
        if stop > SAVE:
            self.saving.wait()
        self.stop_request.raise_if_stop(stop, trainer.steps)
        interval = min(MAX_INTERVAL, max(MIN_INTERVAL, SHARE * self.elapsed))
        return max(1, int(interval * steps / max(seconds, 1e-9)))

    def _emit_step(self, trainer: Trainer, metrics: Mapping[str, float], seconds: float) -> None:
        nodes = tuple(self.shards)
        outcome = Outcome(
            round=Round(index=trainer.steps, work=LocalWork(gradient=True), cohort=nodes),
            arrived=nodes,
            failed={},
            committed=True,
            metrics=metrics,
            seconds=seconds,
        )
        self.rank_state.history = (*self.rank_state.history, outcome)
        facts = {"step": trainer.steps, "steps": self.task.steps(self.schema.rows), "seconds": seconds}
        self.emit("step", {**facts, "metrics": metrics, "ranks": self.group.world})

    def _average_buffers(self, trainer: Trainer) -> None:
        """Replace buffers, which every rank computes for itself, by their mean."""
        for name, tensor in trainer.named.items():
            if name.startswith(BUFFER):
                whole = not (tensor.is_floating_point() or tensor.is_complex())
                mean = tensor.detach().to(torch.complex128 if tensor.is_complex() else torch.float64)
                self.group.all_reduce(torch.view_as_real(mean) if tensor.is_complex() else mean)
                mean /= self.group.world
                tensor.copy_(mean.round() if whole else mean)

    def _finish(self, trainer: Trainer) -> Run:
        trainer.check_parameters()
        self._average_buffers(trainer)
        self.saving.finish(StepsState(trainer), self.group)
        model = self._model(trainer)
        return Run(self.plan, self.schema, model, model, Update(), self.rank_state.history)

    def _model(self, trainer: Trainer) -> Arrays:
        if not self._sharded:
            return everything(trainer.module, self.task.buffers)
        with as_group_broken():
            state: Any = whole_state(trainer.module)
        whole = Trainer(self.task, trainer.seed).module
        whole.load_state_dict(state)
        return everything(whole, self.task.buffers)


def local_samples(shards: Mapping[str, Shard], rank: int, world: int, batch: int) -> list[Samples]:
    """The samples that a rank reads: its part of a source that all ranks share, or those of its nodes.

    Raises:
        PlanError: there are more ranks than samples in a step, or than nodes.
    """
    sources = samples_of(shards)
    first = next(iter(sources.values()))
    if batch < world:
        raise PlanError(
            f"batch={batch} leaves some of {world} ranks without samples", cure="Take a larger batch."
        )
    if len({source.whole for source in sources.values()}) == 1 and first.of == len(sources):
        return [first.share([f"node{i}" for i in range(world)])[rank]]
    if len(sources) < world:
        raise PlanError(
            f"{world} ranks cannot share the samples of {len(sources)} nodes",
            cure="Take no more ranks than there are nodes.",
        )
    return [sources[node] for node in hosted(shards, rank, world)]


def _checksum(trainer: Trainer) -> float:
    """A checksum of the module's state."""
    crc = 0
    for tensor in trainer.module.state_dict().values():
        crc = zlib.crc32(tensor.detach().cpu().reshape(-1).view(torch.uint8).numpy(), crc)
    return float(crc)
