"""Ranks on worker processes of this machine, which the pool's fork server starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import final

from talkoot.core.cores import cores
from talkoot.core.engine import Emit, Run
from talkoot.core.plan import Plan
from talkoot.core.shard import Schema, Shard
from talkoot.engines.checkpoint import Checkpoint
from talkoot.engines.processes import wire
from talkoot.engines.processes.messages import CLEAR
from talkoot.engines.processes.placement import PlanPlacement, ShardPlacement, note_changed, setting
from talkoot.engines.processes.pool import DEEP, Worker
from talkoot.engines.ranks.supervision.channel import Channel
from talkoot.engines.ranks.supervision.coordinator import Coordinator, RankHandle
from talkoot.engines.ranks.supervision.epochs import Epochs
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
        wire.send(self._worker.sock, CLEAR)
        DEEP.give_back(self._worker)


def train(
    plan: Plan,
    shards: Mapping[str, Shard],
    schema: Schema,
    emit: Emit,
    *,
    workers: int,
    silence: float,
    checkpoint: Checkpoint | None,
) -> Run:
    """Train by `workers` ranks on this machine; a rank without a sign of life for `silence` s is given up."""
    rows, what = ShardPlacement.pack(shards), PlanPlacement.pack(plan, None)
    note_changed((*rows.changed, *what.changed), emit)
    threads = max(1, cores() // workers)
    job = Train(schema=schema, silence=silence, threads=threads, checkpoint=checkpoint)

    def start_rank(wait: bool) -> RankHandle:
        del wait  # there is always one to be had
        worker = DEEP.lease(silence)
        wire.send_with(worker.sock, *rows.load([*shards], setting()))
        wire.send_with(worker.sock, *what.message({}))
        wire.send(worker.sock, job)
        return LocalRank(worker)

    epochs = Epochs(count=workers, silence=silence)
    return Coordinator(start_rank=start_rank, epochs=epochs, host="127.0.0.1", emit=emit).run()
