"""Nodes on worker processes of this machine, which are reached through sockets."""

from __future__ import annotations

import select
from dataclasses import dataclass
from typing import Any, ClassVar, final

from talkoot.core.errors import PlanError
from talkoot.core.sync import Round
from talkoot.engines.processes import wire
from talkoot.engines.processes.messages import CLEAR, Answer, Ask, Setting
from talkoot.engines.processes.pool import Pool, Worker
from talkoot.engines.processes.worker_nodes import Crew, Seat

__all__ = ["Seat", "WorkerNodes"]


@final
@dataclass(slots=True, eq=False, kw_only=True)
class WorkerNodes(Crew[Worker]):
    """A crew of worker processes.

    Args:
        setting: how workers are set up.
        pool: where they come from.
    """

    setting: Setting
    pool: Pool
    engine: ClassVar[str] = "Local"

    def _message(self, rnd: Round, model: Any) -> wire.Frame:
        try:
            return wire.frame((rnd, model))
        except Exception as error:
            raise PlanError(f"the model cannot go to worker processes: {error}") from error

    def _hire(self, seat: Seat[Worker]) -> Worker:
        worker = self.pool.lease(self.silence)
        seat.worker = worker
        nodes = [node for node in self.cargo.sizes if node in seat.nodes]
        load, segments = self.cargo.load(nodes, self.states, self.setting)
        wire.send(worker.sock, wire.frame(load))
        for segment in segments:
            wire.lend(worker.sock, segment)
        return worker

    def _send(self, seat: Seat[Worker], worker: Worker, ask: Ask, message: Any) -> None:
        del seat
        wire.send(worker.sock, wire.frame(ask), message)

    def _ready(self, seats: list[Seat[Worker]], timeout: float) -> list[Seat[Worker]]:
        waiting = select.poll()
        by_descriptor = {}
        for seat in seats:
            if seat.worker is not None:
                by_descriptor[seat.worker.sock.fileno()] = seat
                waiting.register(seat.worker.sock, select.POLLIN)
        return [by_descriptor[fd] for fd, _ in waiting.poll(max(0, int(1000 * timeout)))]

    def _receive(self, worker: Worker) -> Answer:
        answer: Answer = wire.receive(worker.sock)
        return answer

    def _dismiss(self, worker: Worker) -> None:
        wire.send(worker.sock, wire.frame(CLEAR))
        self.pool.give_back(worker)
