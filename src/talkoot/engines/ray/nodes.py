"""Nodes on actors, which are reached through Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
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
from talkoot.engines.ray.engine import Ray
from talkoot.engines.ray.serialized import pack, place, post
from talkoot.engines.ray.worker_handle import WorkerHandle


@final
@dataclass(slots=True, eq=False, kw_only=True)
class ActorNodes(WorkerNodes[WorkerHandle]):
    """A crew of actors.

    Args:
        actors: where they are.
        paths: where they find modules and files.
    """

    actors: ActorSet
    paths: Paths
    engine: ClassVar[str] = "Ray"

    def equip(self) -> None:
        """Give every seat an actor, and wait until all hold their nodes.

        Raises:
            NodeLost: an actor cannot start.
        """
        for slot in self.slots:
            self._start_worker(slot)
        for slot in self.slots:
            assert slot.worker is not None
            with suppress(EOFError, OSError):
                slot.worker.settle()
                continue
            slot.worker.end()  # it may have died while it was idle: once more
            self._settle(self._start_worker(slot))

    def _settle(self, hand: WorkerHandle) -> None:
        try:
            hand.settle()
        except Exception as error:
            raise NodeLost(
                f"no actor could be started: {hand.end() or error}",
                cure="Install talkoot, with all that it needs, on each machine of the cluster.",
            ) from error

    def _message(self, rnd: Round, model: Any) -> Any:
        try:
            return post((rnd, model))
        except Exception as error:
            raise PlanError(f"the model cannot go to actors: {error}") from error

    def _start_worker(self, slot: Slot[WorkerHandle]) -> WorkerHandle:
        hand = slot.worker = self.actors.hand(slot.number)
        nodes = [node for node in self.placement.sizes if node in slot.nodes]
        load, segments = self.placement.load(nodes, self.states, self.paths)
        hand.give(pack(load), segments)
        return hand

    def _send(self, slot: Slot[WorkerHandle], worker: WorkerHandle, ask: Ask, message: Any) -> None:
        worker.ask(ask, message, alone=ask.apart or bool(slot.deaths))

    def _ready(self, slots: list[Slot[WorkerHandle]], timeout: float) -> list[Slot[WorkerHandle]]:
        calls = {}
        for slot in slots:
            if slot.worker is not None and slot.worker.call is not None:
                slot.worker.look()
                calls[slot.worker.call] = slot
        ready, _ = ray.wait(list(calls), timeout=max(0.0, timeout))
        return [calls[call] for call in ready]

    def _receive(self, worker: WorkerHandle) -> Answer:
        return worker.receive(self.silence)

    def _dismiss(self, worker: WorkerHandle) -> None:
        worker.clear()
        self.actors.idle[worker.number] = worker


@contextmanager
def crew(plan: Plan, shards: Mapping[str, Shard], emit: Emit, *, engine: Ray) -> Iterator[ActorNodes]:
    """Actors that hold the plan and the shards, as `engine` asks for them; they are kept afterwards."""
    CLUSTER.join(engine.address)
    placement = Placement.pack(plan, shards, place)
    placement.note(emit)
    hands = deal(placement.sizes, engine.workers)
    actors = ACTORS.lease(engine.need(len(hands)))
    nodes = ActorNodes(
        plan=plan,
        placement=placement,
        slots=[Slot(number, frozenset(hand)) for number, hand in enumerate(hands)],
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
