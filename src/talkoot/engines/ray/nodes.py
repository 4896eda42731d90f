"""Nodes on actors of a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import ray

from talkoot.core.engine import Emit
from talkoot.core.errors import NodeLost, PlanError
from talkoot.core.plan import Plan
from talkoot.core.shard import Shard
from talkoot.core.sync import Round
from talkoot.engines.processes.messages import Answer, Ask
from talkoot.engines.processes.placement import Placement, deal
from talkoot.engines.processes.worker_nodes import Slot, WorkerNodes
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
            self._start_worker(slot)
        for slot in self.slots:
            assert slot.worker is not None
            with suppress(EOFError, OSError):
                slot.worker.wait_loaded()
                continue
            slot.worker.end()  # it may have died while it was idle: try another one
            self._wait_loaded(self._start_worker(slot))

    def _wait_loaded(self, worker: WorkerHandle) -> None:
        try:
            worker.wait_loaded()
        except Exception as error:
            raise NodeLost(
                f"no actor could be started: {worker.end() or error}",
                cure="Install talkoot and its dependencies on each machine of the cluster.",
            ) from error

    def _message(self, rnd: Round, model: Any) -> Any:
        try:
            return pack_shared((rnd, model))
        except Exception as error:
            raise PlanError(f"the model cannot go to actors: {error}") from error

    def _start_worker(self, slot: Slot[WorkerHandle]) -> WorkerHandle:
        worker = slot.worker = self.actors.worker(slot.number)
        nodes = [node for node in self.placement.sizes if node in slot.nodes]
        load, segments = self.placement.load(nodes, self.states, self.paths)
        worker.load(pack(load), segments)
        return worker

    def _send(self, slot: Slot[WorkerHandle], worker: WorkerHandle, ask: Ask, message: Any) -> None:
        worker.ask(ask, message, alone=ask.apart or bool(slot.deaths))

    def _ready(self, slots: list[Slot[WorkerHandle]], timeout: float) -> list[Slot[WorkerHandle]]:
        calls = {}
        for slot in slots:
            if slot.worker is not None and slot.worker.call is not None:
                slot.worker.poll()
                calls[slot.worker.call] = slot
        ready, _ = ray.wait(list(calls), timeout=max(0.0, timeout))
        return [calls[call] for call in ready]

    def _receive(self, worker: WorkerHandle) -> Answer:
        return worker.receive(self.silence)

    def _dismiss(self, worker: WorkerHandle) -> None:
        worker.clear()
        self.actors.idle[worker.number] = worker


@contextmanager
def actor_nodes(
    plan: Plan,
    shards: Mapping[str, Shard],
    emit: Emit,
    *,
    resources: Resources,
    address: str | None,
    silence: float,
) -> Iterator[ActorNodes]:
    """Nodes on actors that have the plan and the shards; the actors stay for the next fit."""
    CLUSTER.join(address)
    placement = Placement.pack(plan, shards, put_buffers)
    placement.note(emit)
    groups = deal(placement.sizes, resources.workers)
    actors = ACTORS.lease(replace(resources, workers=len(groups)))
    nodes = ActorNodes(
        plan=plan,
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
