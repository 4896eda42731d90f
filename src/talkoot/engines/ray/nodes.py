"""Nodes on actors of a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import ray

from talkoot.core.engine import Emit, View
from talkoot.core.errors import NodeLost, PlanError
from talkoot.core.plan import Plan
from talkoot.core.round import Round
from talkoot.core.run import NodeState
from talkoot.core.shard import Shard
from talkoot.engines.events import Answer, Slot
from talkoot.engines.processes.messages import RoundRequest
from talkoot.engines.processes.placement import PlanPlacement, ShardPlacement, deal, note_changed
from talkoot.engines.processes.worker_nodes import WorkerNodes
from talkoot.engines.ray.actor import Paths
from talkoot.engines.ray.actor_pool import ACTORS, ActorSet
from talkoot.engines.ray.cluster import CLUSTER
from talkoot.engines.ray.resources import Resources
from talkoot.engines.ray.serialized import pack, pack_shared, put_buffers
from talkoot.engines.ray.worker_handle import WorkerHandle


@final
@dataclass(slots=True, eq=False, kw_only=True)
class ActorNodes(WorkerNodes[WorkerHandle]):
    """The actors that host the nodes of a run."""

    actors: ActorSet
    paths: Paths
    engine: ClassVar[str] = "Ray"

    def start_workers(self) -> None:
        """Start an actor for every slot, and wait until all have loaded their nodes.

        Raises:
            NodeLost: an actor cannot start.
        """
        for slot in self.slots:
            self.workers[slot.number] = self._load(slot)
        for slot in self.slots:
            with suppress(EOFError, OSError):
                self.workers[slot.number].wait_loaded()
                continue
            self.workers[slot.number].end()  # it may have died while it was idle: try another one
            self.workers[slot.number] = self._start_worker(slot)

    def _load(self, slot: Slot) -> WorkerHandle:
        worker = self.actors.worker(slot.number)
        nodes = [node for node in self.placement.sizes if node in slot.nodes]
        load, segments = self.placement.load(nodes, self.paths)
        worker.load(pack(load), segments)
        return worker

    def _start_worker(self, slot: Slot) -> WorkerHandle:
        worker = self._load(slot)
        try:
            worker.wait_loaded()
        except Exception as error:
            raise NodeLost(
                f"no actor could be started: {worker.end() or error}",
                cure="Install talkoot and its dependencies on each machine of the cluster.",
            ) from error
        return worker

    def _message(self, rnd: Round, question: Any) -> Any:
        try:
            return pack_shared((rnd, question))
        except Exception as error:
            raise PlanError(f"the model cannot go to actors: {error}") from error

    def _pack_plan(self, plan: Plan, view: View | None) -> PlanPlacement:
        return PlanPlacement.pack(plan, view, put_buffers)

    def _send_plan(self, worker: WorkerHandle, plan: PlanPlacement, states: dict[str, NodeState]) -> None:
        message, segments = plan.message(states)
        worker.place(pack(message), segments)

    def _send(self, slot: Slot, worker: WorkerHandle, request: RoundRequest, message: Any) -> None:
        worker.request(request, message, alone=request.apart or bool(slot.deaths))

    def _ready(self, slots: Iterable[Slot], timeout: float) -> list[Slot]:
        calls = {}
        for slot in slots:
            worker = self.workers.get(slot.number)
            if worker is not None and worker.call is not None:
                worker.poll()
                calls[worker.call] = slot
        ready, _ = ray.wait(list(calls), timeout=max(0.0, timeout))
        return [calls[call] for call in ready]

    def _receive(self, worker: WorkerHandle) -> Answer:
        return worker.receive(self.silence)

    def _dismiss(self, worker: WorkerHandle) -> None:
        self.actors.put_back(worker)


@contextmanager
def actor_nodes(
    shards: Mapping[str, Shard],
    emit: Emit,
    *,
    resources: Resources,
    address: str | None,
    silence: float,
) -> Iterator[ActorNodes]:
    """Nodes on actors that have the shards; the actors stay for the next fit."""
    CLUSTER.join(address)
    placement = ShardPlacement.pack(shards, put_buffers)
    note_changed(placement.changed, emit)
    groups = deal(placement.sizes, resources.workers)
    actors = ACTORS.lease(replace(resources, workers=len(groups)))
    nodes = ActorNodes(
        placement=placement,
        slots=[Slot(number, frozenset(group)) for number, group in enumerate(groups)],
        silence=silence,
        emit=emit,
        actors=actors,
        paths=Paths.here(),
    )
    try:
        nodes.start_workers()
        yield nodes
    finally:
        nodes.close()
        ACTORS.give_back(actors)
