"""Nodes on actors, which are reached through Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, ClassVar, final

import ray

from talkoot.core.engine import Emit, View
from talkoot.core.errors import NodeLost, PlanError
from talkoot.core.plan import Plan
from talkoot.core.round import Round
from talkoot.core.run import NodeState
from talkoot.core.shard import Shard
from talkoot.engines.gathering import Answer, Slot
from talkoot.engines.processes.messages import RoundRequest
from talkoot.engines.processes.placement import PlanPlacement, ShardPlacement, deal, note_changed
from talkoot.engines.processes.worker_nodes import WorkerNodes
from talkoot.engines.ray.actor import Paths
from talkoot.engines.ray.actor_pool import ACTORS, ActorSet
from talkoot.engines.ray.cluster import CLUSTER
from talkoot.engines.ray.engine import Ray
from talkoot.engines.ray.serialized import pack, place, post
from talkoot.engines.ray.worker_handle import WorkerHandle


@final
@dataclass(slots=True, eq=False, kw_only=True)
class ActorNodes(WorkerNodes[WorkerHandle]):
    """Nodes on actors.

    Args:
        actors: where they are.
        paths: where they find modules and files.
    """

    actors: ActorSet
    paths: Paths
    engine: ClassVar[str] = "Ray"

    def _message(self, rnd: Round, question: Any) -> Any:
        try:
            return post((rnd, question))
        except Exception as error:
            raise PlanError(f"the model cannot go to actors: {error}") from error

    def _pack_plan(self, plan: Plan, view: View | None) -> PlanPlacement:
        return PlanPlacement.pack(plan, view, place)

    def equip(self) -> None:
        """Have all actors start at once, and wait until they hold their nodes.

        Raises:
            NodeLost: an actor cannot start.
        """
        for slot in self.slots:
            self.workers[slot.number] = self._load(slot)
        for slot in self.slots:
            with suppress(EOFError, OSError):
                self.workers[slot.number].settle()
                continue
            self.workers[slot.number].end()  # it may have died while it was idle: once more
            self.workers[slot.number] = self._start_worker(slot)

    def _load(self, slot: Slot) -> WorkerHandle:
        worker = self.actors.hand(slot.number)
        load, segments = self.placement.load([n for n in self.placement.sizes if n in slot.nodes], self.paths)
        worker.load(pack(load), segments)
        return worker

    def _start_worker(self, slot: Slot) -> WorkerHandle:
        worker = self._load(slot)
        try:
            worker.settle()
        except Exception as error:
            raise NodeLost(
                f"no actor could be started: {worker.end() or error}",
                cure="Install talkoot, with all that it needs, on each machine of the cluster.",
            ) from error
        return worker

    def _send_plan(self, worker: WorkerHandle, plan: PlanPlacement, states: dict[str, NodeState]) -> None:
        message, segments = plan.message(states)
        worker.place(pack(message), segments)

    def _send(self, slot: Slot, worker: WorkerHandle, request: RoundRequest, message: Any) -> None:
        worker.ask(request, message, alone=request.apart or bool(slot.deaths))

    def _ready(self, slots: list[Slot], timeout: float) -> list[Slot]:
        calls = {}
        for slot in slots:
            worker = self.workers.get(slot.number)
            if worker is not None and worker.call is not None:
                worker.look()
                calls[worker.call] = slot
        ready, _ = ray.wait(list(calls), timeout=max(0.0, timeout))
        return [calls[call] for call in ready]

    def _receive(self, worker: WorkerHandle) -> Answer:
        return worker.receive(self.silence)

    def _dismiss(self, worker: WorkerHandle) -> None:
        worker.clear()
        self.actors.idle[worker.number] = worker


@contextmanager
def actor_nodes(shards: Mapping[str, Shard], emit: Emit, *, engine: Ray) -> Iterator[ActorNodes]:
    """Nodes on actors as `engine` asks for them; the actors are kept afterwards."""
    CLUSTER.join(engine.address)
    placement = ShardPlacement.pack(shards, place)
    note_changed(placement.changed, emit)
    shares = deal(placement.sizes, engine.workers)
    actors = ACTORS.lease(engine.need(len(shares)))
    nodes = ActorNodes(
        placement=placement,
        slots=[Slot(number, frozenset(share)) for number, share in enumerate(shares)],
        silence=engine.silence,
        emit=emit,
        actors=actors,
        paths=Paths.here(),
    )
    try:
        nodes.equip()
        yield nodes
    finally:
        nodes.close()
        ACTORS.give_back(actors)
