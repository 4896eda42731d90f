"""Nodes on worker processes of this machine, which are reached through sockets."""

from __future__ import annotations

import select
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar, final

from talkoot.core.engine import View
from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.core.round import Round
from talkoot.core.run import NodeState
from talkoot.engines.events import Answer, Slot
from talkoot.engines.processes import wire
from talkoot.engines.processes.messages import CLEAR, RoundRequest, Setting
from talkoot.engines.processes.placement import PlanPlacement
from talkoot.engines.processes.pool import Pool, Worker
from talkoot.engines.processes.worker_nodes import WorkerNodes


@final
@dataclass(slots=True, eq=False, kw_only=True)
class LocalNodes(WorkerNodes[Worker]):
    """Nodes on worker processes."""

    setting: Setting  # how workers are set up
    pool: Pool  # where they come from
    engine: ClassVar[str] = "Local"

    def _message(self, rnd: Round, question: Any) -> wire.Frame:
        try:
            return wire.frame((rnd, question))
        except Exception as error:
            raise PlanError(f"the model cannot go to worker processes: {error}") from error

    def _pack_plan(self, plan: Plan, view: View | None) -> PlanPlacement:
        return PlanPlacement.pack(plan, view)

    def _start_worker(self, slot: Slot) -> Worker:
        worker = self.pool.lease(self.silence)
        self.workers[slot.number] = worker
        nodes = [node for node in self.placement.sizes if node in slot.nodes]
        wire.send_with(worker.sock, *self.placement.load(nodes, self.setting))
        return worker

    def _send_plan(self, worker: Worker, plan: PlanPlacement, states: dict[str, NodeState]) -> None:
        wire.send_with(worker.sock, *plan.message(states))

    def _send(self, slot: Slot, worker: Worker, request: RoundRequest, message: Any) -> None:
        del slot
        wire.send(worker.sock, request, message)

    def _ready(self, slots: Iterable[Slot], timeout: float) -> list[Slot]:
        waiting = select.poll()
        by_descriptor = {}
        for slot in slots:
            if (worker := self.workers.get(slot.number)) is not None:
                by_descriptor[worker.sock.fileno()] = slot
                waiting.register(worker.sock, select.POLLIN)
        return [by_descriptor[fd] for fd, _ in waiting.poll(max(0, int(1000 * timeout)))]

    def _receive(self, worker: Worker) -> Answer:
        answer: Answer = wire.receive(worker.sock)
        return answer

    def _dismiss(self, worker: Worker) -> None:
        wire.send(worker.sock, CLEAR)
        self.pool.give_back(worker)
