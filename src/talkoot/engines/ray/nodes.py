"""Nodes on actors, which are reached through Ray."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, ClassVar, final

import ray

from talkoot.core.engine import Listener
from talkoot.core.errors import NodeLost, PlanError
from talkoot.core.plan import Plan
from talkoot.core.shard import Shard
from talkoot.core.sync import Round
from talkoot.engines.processes.messages import Answer, Ask
from talkoot.engines.processes.placement import Placement, deal
from talkoot.engines.processes.worker_nodes import Crew, Seat
from talkoot.engines.ray.actor import Paths
from talkoot.engines.ray.actor_pool import HARBOUR, Berths
from talkoot.engines.ray.cluster import CLUSTER
from talkoot.engines.ray.engine import Ray
from talkoot.engines.ray.serialized import pack, place, post
from talkoot.engines.ray.worker_handle import Hand


@final
@dataclass(slots=True, eq=False, kw_only=True)
class ActorNodes(Crew[Hand]):
    """A crew of actors.

    Args:
        berths: where they are.
        paths: where they find modules and files.
    """

    berths: Berths
    paths: Paths
    engine: ClassVar[str] = "Ray"

    def equip(self) -> None:
        """Give every seat an actor, and wait until all hold their nodes.

        Raises:
            NodeLost: an actor cannot start.
        """
        for seat in self.seats:
            self._hire(seat)
        for seat in self.seats:
            assert seat.worker is not None
            with suppress(EOFError, OSError):
                seat.worker.settle()
                continue
            seat.worker.end()  # it may have died while it was idle: once more
            self._settle(self._hire(seat))

    def _settle(self, hand: Hand) -> None:
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

    def _hire(self, seat: Seat[Hand]) -> Hand:
        hand = seat.worker = self.berths.hand(seat.number)
        nodes = [node for node in self.cargo.sizes if node in seat.nodes]
        load, segments = self.cargo.load(nodes, self.states, self.paths)
        hand.give(pack(load), segments)
        return hand

    def _send(self, seat: Seat[Hand], worker: Hand, ask: Ask, message: Any) -> None:
        worker.ask(ask, message, alone=ask.apart or bool(seat.deaths))

    def _ready(self, seats: list[Seat[Hand]], timeout: float) -> list[Seat[Hand]]:
        calls = {}
        for seat in seats:
            if seat.worker is not None and seat.worker.call is not None:
                seat.worker.look()
                calls[seat.worker.call] = seat
        ready, _ = ray.wait(list(calls), timeout=max(0.0, timeout))
        return [calls[call] for call in ready]

    def _receive(self, worker: Hand) -> Answer:
        return worker.receive(self.silence)

    def _dismiss(self, worker: Hand) -> None:
        worker.clear()
        self.berths.idle[worker.number] = worker


@contextmanager
def crew(plan: Plan, shards: Mapping[str, Shard], listen: Listener, *, engine: Ray) -> Iterator[ActorNodes]:
    """Actors that hold the plan and the shards, as `engine` asks for them; they are kept afterwards."""
    CLUSTER.join(engine.address)
    cargo = Placement.pack(plan, shards, place)
    cargo.note(listen)
    hands = deal(cargo.sizes, engine.workers)
    berths = HARBOUR.lease(engine.need(len(hands)))
    nodes = ActorNodes(
        plan=plan,
        cargo=cargo,
        seats=[Seat(number, frozenset(hand)) for number, hand in enumerate(hands)],
        silence=engine.silence,
        listen=listen,
        berths=berths,
        paths=Paths.here(),
    )
    try:
        nodes.equip()
        yield nodes
    finally:
        nodes.close()
        HARBOUR.give_back(berths)
