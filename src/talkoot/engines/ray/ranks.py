"""Ranks on actors, which dial in to the process that has them started."""

from __future__ import annotations

import secrets
import select
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

import ray

from talkoot.core.engine import Emit, Run
from talkoot.core.errors import NodeLost
from talkoot.core.plan import Plan
from talkoot.core.shard import Schema, Shard
from talkoot.engines.checkpoint import wherever
from talkoot.engines.processes import wire
from talkoot.engines.processes.placement import Placement
from talkoot.engines.ranks.supervision.channel import Channel
from talkoot.engines.ranks.supervision.coordinator import TICK, Coordinator, RankHandle
from talkoot.engines.ranks.supervision.messages import Train
from talkoot.engines.ranks.supervision.worker_handles import TIMEOUT
from talkoot.engines.ray import worker_handle as hand
from talkoot.engines.ray.actor import HELLO, Paths
from talkoot.engines.ray.actor_pool import ACTORS, ActorSet
from talkoot.engines.ray.cluster import CLUSTER
from talkoot.engines.ray.engine import Ray
from talkoot.engines.ray.serialized import Parcel, pack, place

START = 60.0  # seconds without a sign of life of actors on their way, where they are waited for
LONGEST = 600.0  # seconds until they must have dialled in; one that answers may still import torch
AGAIN = 1.0  # seconds until a place whose actors ended on their way gets another one
FAILURES = 3  # of actors on their way, until they are waited for no more
_GREETING = 2.0  # seconds that somebody who dials in has to say who it is
_CAUSE = 1.0  # seconds that Ray has to say how an actor ended


@final
class ActorRank(RankHandle):
    """An actor as a rank."""

    def __init__(self, actor: hand.WorkerHandle, channel: Channel, name: str, launcher: RankLauncher) -> None:
        self.channel, self.name = channel, name
        self._actor, self._launcher = actor, launcher
        actor.started = True

    @property
    def beats(self) -> int:
        """Counts up several times a second, as the actor answers."""
        self._actor.look()
        return self._actor.beats

    def end(self) -> str:
        """End it and say how it ended."""
        cause = self._actor.ended(_CAUSE if self.channel.waiting() else 0.0)
        self._actor.end()
        self._launcher.free(self)
        return f"is gone: {cause}" if cause else "was ended"

    def release(self) -> None:
        """It waits at its place for the next fit."""
        self._launcher.free(self)
        self._launcher.keep(self._actor)

    @property
    def number(self) -> int:
        """Of its place."""
        return self._actor.number


@final
@dataclass(slots=True, eq=False, kw_only=True)
class RankLauncher:
    """Has actors started, at all places, and lets in those that dial in.

    Args:
        actors: the places.
        load: what actors hold: the plan and the shards of all nodes.
        segments: arrays that it refers to.
        errand: what they are to do.
        door: where they dial in.
        silence: seconds that a message may take to go through.
    """

    actors: ActorSet
    load: Parcel
    segments: list[Any]
    task: Parcel
    listener: socket.socket
    silence: float
    _coming: dict[bytes, hand.WorkerHandle] = field(default_factory=dict)  # by their tokens
    _aboard: set[int] = field(default_factory=set)
    _failed: list[str] = field(default_factory=list)
    _pause: float = 0.0

    def hire(self, wait: bool) -> ActorRank | None:
        """An actor that has dialled in, if there is one.

        Raises:
            NodeLost: one was waited for and does not come.
        """
        began = sign = time.monotonic()
        signs = 0
        while True:
            self._part()
            self._invite()
            if (rank := self._greet(TICK if wait else 0.0)) is not None or not wait:
                return rank
            if len(self._failed) >= FAILURES:
                raise NodeLost(
                    f"no actor could be started: {self._failed[-1]}",
                    cure="Install talkoot and torch, and what else the task needs, on each of its machines.",
                )
            before, signs, now = signs, self._signs(), time.monotonic()
            sign = sign if signs == before else now
            if now > sign + START or now > began + LONGEST:
                raise NodeLost(
                    f"{len(self._coming)} of {self.actors.need.workers} actors did not come for "
                    f"{LONGEST if now > began + LONGEST else START:g} s",
                    cure="See `ray status`, and whether all machines reach this one.",
                )

    def free(self, rank: ActorRank) -> None:
        """A rank leaves its place."""
        rank.channel.sock.close()
        self._aboard.discard(rank.number)

    def keep(self, actor: hand.WorkerHandle) -> None:
        """An actor waits at its place, with nothing to do."""
        actor.clear()
        self.actors.idle[actor.number] = actor

    def dismiss(self) -> None:
        """Send those away that are on their way."""
        self.listener.close()
        for actor in self._coming.values():
            self.keep(actor)
        self._coming.clear()

    def _invite(self) -> None:
        """Have an actor started at every place that has none."""
        taken = self._aboard | {actor.number for actor in self._coming.values()}
        if time.monotonic() < self._pause:
            return
        for number in sorted(set(range(self.actors.need.workers)) - taken):
            token = secrets.token_bytes(32)
            actor = self._coming[token] = self.actors.hand(number)
            actor.give(self.load, self.segments)
            actor.send_off(self.task, self.listener.getsockname(), token)

    def _signs(self) -> int:
        """Signs of life of those on their way."""
        for actor in self._coming.values():
            actor.look()
        return sum(actor.beats for actor in self._coming.values() if actor.started)

    def _part(self) -> None:
        """Forget those that ended on their way."""
        for token, actor in [*self._coming.items()]:
            if (cause := actor.ended(0.0)) is not None:
                del self._coming[token]
                actor.end()
                self._failed.append(cause)
                if len(self._failed) > 1:  # the first may have died while it was idle
                    self._pause = time.monotonic() + AGAIN

    def _greet(self, patience: float) -> ActorRank | None:
        """Let in who comes with a token that was given out, and was not used before."""
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        if not poll.poll(int(1000 * patience)):
            return None
        sock, (host, *_) = self.listener.accept()
        sock.settimeout(_GREETING)
        try:
            token, pid = HELLO.unpack(wire.exactly(sock, HELLO.size))
            actor = self._coming.pop(token)
        except (EOFError, OSError, KeyError):
            sock.close()
            return None
        sock.settimeout(self.silence)
        self._aboard.add(actor.number)
        self._failed.clear()
        return ActorRank(actor, Channel(sock), f"process {pid} on {host}", self)


def train(plan: Plan, shards: Mapping[str, Shard], schema: Schema, emit: Emit, *, engine: Ray) -> Run:
    """Have a module trained by actors, as `engine` asks for them; they are kept afterwards.

    Raises:
        TalkootError: an actor raised, or actors die again and again, or there are none to be had.
    """
    CLUSTER.join(engine.address)
    placement = Placement.pack(plan, shards, place)
    placement.note(emit)
    load, segments = placement.load([*shards], {}, Paths.here())
    job = Train(
        schema=schema,
        timeout=max(TIMEOUT, 2 * engine.silence),
        threads=max(1, int(engine.cpus)),
        checkpoint=wherever(engine.checkpoint),
    )
    util: Any = ray.util
    host: str = util.get_node_ip_address()
    actors = ACTORS.lease(engine.need(engine.workers))
    launcher = RankLauncher(
        actors=actors,
        load=pack(load),
        segments=segments,
        task=pack(job),
        listener=socket.create_server((host, 0)),
        silence=engine.silence,
    )
    try:
        coordinator = Coordinator(
            hire=launcher.hire, count=engine.workers, host=host, silence=engine.silence, emit=emit
        )
        return coordinator.run()
    finally:
        launcher.dismiss()
        ACTORS.give_back(actors)
