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
from talkoot.engines.processes.worker_nodes import Slot, WorkerNodes

__all__ = ["LocalNodes", "Slot"]


@final
@dataclass(slots=True, eq=False, kw_only=True)
class LocalNodes(WorkerNodes[Worker]):
    """Nodes on worker processes.

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

    def _start_worker(self, slot: Slot[Worker]) -> Worker:
        worker = self.pool.lease(self.silence)
        slot.worker = worker
        nodes = [node for node in self.placement.sizes if node in slot.nodes]
        load, segments = self.placement.load(nodes, self.states, self.setting)
        wire.send(worker.sock, wire.frame(load))
        for segment in segments:
            wire.lend(worker.sock, segment)
        return worker

    def _send(self, slot: Slot[Worker], worker: Worker, ask: Ask, message: Any) -> None:
        del slot
        wire.send(worker.sock, wire.frame(ask), message)

    def _ready(self, slots: list[Slot[Worker]], timeout: float) -> list[Slot[Worker]]:
        waiting = select.poll()
        by_descriptor = {}
        for slot in slots:
            if slot.worker is not None:
                by_descriptor[slot.worker.sock.fileno()] = slot
                waiting.register(slot.worker.sock, select.POLLIN)
        return [by_descriptor[fd] for fd, _ in waiting.poll(max(0, int(1000 * timeout)))]

    def _receive(self, worker: Worker) -> Answer:
        answer: Answer = wire.receive(worker.sock)
        return answer

    def _dismiss(self, worker: Worker) -> None:
        wire.send(worker.sock, wire.frame(CLEAR))
        self.pool.give_back(worker)
