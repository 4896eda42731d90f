"""Ranks on worker processes of this machine, which the pool's fork server starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from talkoot.core.engine import Emit, Run
from talkoot.core.plan import Plan
from talkoot.core.shard import Schema, Shard
from talkoot.engines.checkpoint import Checkpoint
from talkoot.engines.machine import cores
from talkoot.engines.processes import wire
from talkoot.engines.processes.messages import CLEAR
from talkoot.engines.processes.placement import PlanPlacement, ShardPlacement, note_changed, setting
from talkoot.engines.processes.pool import DEEP, Worker
from talkoot.engines.ranks.supervision.channel import Channel
from talkoot.engines.ranks.supervision.coordinator import Coordinator, RankHandle
from talkoot.engines.ranks.supervision.rank_process import Train


@final
class LocalRank(RankHandle):
    """A worker process as a rank."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self.channel = Channel(worker.sock)
        self.name = f"process {worker.pid}"

    @property
    def beats(self) -> int:
        """Counts up once a second."""
        return self._worker.board.beats

    def end(self) -> str:
        """End it and say how it ended."""
        return self._worker.end()

    def release(self) -> None:
        """Back to the pool."""
        wire.send(self._worker.sock, wire.frame(CLEAR))
        DEEP.give_back(self._worker)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LocalRanks:
    """A training by `workers` ranks on this machine."""

    plan: Plan
    shards: Mapping[str, Shard]
    schema: Schema
    workers: int
    silence: float  # seconds without a sign of life after which a rank is given up
    checkpoint: Checkpoint | None = None

    def run(self, emit: Emit) -> Run:
        """Train on them."""
        shards, plan = ShardPlacement.pack(self.shards), PlanPlacement.pack(self.plan, None)
        note_changed((*shards.changed, *plan.changed), emit)
        coordinator = Coordinator(
            start_rank=lambda wait: self._start_rank(shards, plan),
            count=self.workers,
            host="127.0.0.1",
            silence=self.silence,
            emit=emit,
        )
        return coordinator.run()

    def _start_rank(self, shards: ShardPlacement, plan: PlanPlacement) -> RankHandle:
        worker = DEEP.lease(self.silence)
        for message, segments in (shards.load([*self.shards], setting()), plan.message({})):
            wire.send(worker.sock, wire.frame(message))
            for segment in segments:
                wire.lend(worker.sock, segment)
        job = Train(
            schema=self.schema,
            silence=self.silence,
            threads=max(1, cores() // self.workers),
            checkpoint=self.checkpoint,
        )
        wire.send(worker.sock, wire.frame(job))
        return LocalRank(worker)
