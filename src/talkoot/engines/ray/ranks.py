"""Ranks on actors, which connect to the process that starts them."""

from __future__ import annotations

import secrets
import select
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast, final

import ray

from talkoot.core.engine import Emit, Run
from talkoot.core.errors import NodeLost
from talkoot.core.plan import Plan
from talkoot.core.shard import Schema, Shard
from talkoot.engines.checkpoint import Checkpoint
from talkoot.engines.processes import wire
from talkoot.engines.processes.placement import PlanPlacement, ShardPlacement, note_changed
from talkoot.engines.ranks.supervision.channel import Channel
from talkoot.engines.ranks.supervision.coordinator import TICK, Coordinator, RankHandle
from talkoot.engines.ranks.supervision.epochs import Epochs
from talkoot.engines.ranks.supervision.rank_process import Train
from talkoot.engines.ray.actor import HELLO, Paths
from talkoot.engines.ray.actor_pool import ACTORS, ActorSet
from talkoot.engines.ray.cluster import CLUSTER
from talkoot.engines.ray.resources import Resources
from talkoot.engines.ray.serialized import Serialized, pack, put_buffers
from talkoot.engines.ray.worker_handle import WorkerHandle

START = 60.0  # seconds without a sign of life of starting actors, where they are waited for
LONGEST = 600.0  # seconds until they must have connected; one that answers may still import torch
RETRY = 1.0  # seconds until another actor is started after one that ended before it connected
FAILURES = 3  # actors that end before they connect, until the run fails
_HELLO_TIMEOUT = 2.0  # seconds that a new connection has to send its token
_CAUSE = 1.0  # seconds that Ray has to report how an actor ended


@final
class ActorRank(RankHandle):
    """An actor as a rank."""

    def __init__(self, actor: WorkerHandle, channel: Channel, name: str, launcher: RankLauncher) -> None:
        self.channel, self.name = channel, name
        self._actor, self._launcher = actor, launcher
        actor.started = True

    @property
    def beats(self) -> int:
        """A number that grows several times a second, as the actor answers."""
        self._actor.poll()
        return self._actor.beats

    def end(self) -> str:
        """End the actor; how it ended, in words."""
        cause = self._actor.task_end(_CAUSE if self.channel.waiting() else 0.0)
        self._actor.end()
        self._launcher.remove(self)
        return f"is gone: {cause}" if cause else "was ended"

    def release(self) -> None:
        """The actor becomes idle, for the next fit."""
        self._launcher.remove(self)
        self._launcher.actors.put_back(self._actor)

    @property
    def number(self) -> int:
        """Its number in the placement group."""
        return self._actor.number


@final
@dataclass(slots=True, eq=False, kw_only=True)
class RankLauncher:
    """Starts the actors of a placement group, and accepts their connections."""

    actors: ActorSet
    load: tuple[Serialized, list[Any]]  # the shards of all nodes, and the arrays to which it refers
    plan: tuple[Serialized, list[Any]]  # the plan, and the arrays to which it refers
    task: Serialized  # the `Train` that actors run
    listener: socket.socket
    silence: float  # seconds that a message may take
    _starting: dict[bytes, WorkerHandle] = field(default_factory=dict)  # by their tokens
    _connected: set[int] = field(default_factory=set)
    _failed: list[str] = field(default_factory=list)
    _retry_at: float = 0.0

    def start_rank(self, wait: bool) -> ActorRank | None:
        """An actor that has connected, if there is one.

        Raises:
            NodeLost: none connected within `START` seconds, or actors cannot start.
        """
        began = sign = time.monotonic()
        signs = 0
        while True:
            self._remove_failed()
            self._start_missing()
            if (rank := self._accept(TICK if wait else 0.0)) is not None or not wait:
                return rank
            if len(self._failed) >= FAILURES:
                raise NodeLost(
                    f"no actor could be started: {self._failed[-1]}",
                    cure="Install talkoot and torch, and what else the task needs, on each of its machines.",
                )
            before, signs, now = signs, self._signs(), time.monotonic()
            sign = sign if signs == before else now
            if now > sign + START or now > began + LONGEST:
                missing, workers = len(self._starting), self.actors.resources.workers
                limit = LONGEST if now > began + LONGEST else START
                raise NodeLost(
                    f"{missing} of {workers} actors did not connect within {limit:g} s",
                    cure="See `ray status`, and whether all machines reach this one.",
                )

    def remove(self, rank: ActorRank) -> None:
        """Close a rank's connection; its number is free again."""
        rank.channel.sock.close()
        self._connected.discard(rank.number)

    def close(self) -> None:
        """Accept no more connections; actors that are starting become idle."""
        self.listener.close()
        for actor in self._starting.values():
            self.actors.put_back(actor)
        self._starting.clear()

    def _start_missing(self) -> None:
        """Start an actor for every number that has none."""
        if time.monotonic() < self._retry_at:
            return
        present = self._connected | {actor.number for actor in self._starting.values()}
        for number in sorted(set(range(self.actors.resources.workers)) - present):
            token = secrets.token_bytes(32)
            actor = self._starting[token] = self.actors.worker(number)
            actor.load(*self.load)
            actor.place(*self.plan)
            actor.start_task(self.task, self.listener.getsockname(), token)

    def _signs(self) -> int:
        """Signs of life of the starting actors."""
        for actor in self._starting.values():
            actor.poll()
        return sum(actor.beats for actor in self._starting.values() if actor.started)

    def _remove_failed(self) -> None:
        """Remove actors that ended before they connected."""
        for token, actor in [*self._starting.items()]:
            if (cause := actor.task_end(0.0)) is not None:
                del self._starting[token]
                actor.end()
                self._failed.append(cause)
                if len(self._failed) > 1:  # the first may have died while it was idle
                    self._retry_at = time.monotonic() + RETRY

    def _accept(self, patience: float) -> ActorRank | None:
        """The next actor that connects with an unused token."""
        poll = select.poll()
        poll.register(self.listener, select.POLLIN)
        if not poll.poll(int(1000 * patience)):
            return None
        sock, (host, *_) = self.listener.accept()
        sock.settimeout(_HELLO_TIMEOUT)
        try:
            token, pid = HELLO.unpack(wire.exactly(sock, HELLO.size))
            actor = self._starting.pop(token)
        except (EOFError, OSError, KeyError):
            sock.close()
            return None
        sock.settimeout(self.silence)
        self._connected.add(actor.number)
        self._failed.clear()
        return ActorRank(actor, Channel(sock), f"process {pid} on {host}", self)


def train(
    plan: Plan,
    shards: Mapping[str, Shard],
    schema: Schema,
    emit: Emit,
    *,
    resources: Resources,
    address: str | None,
    silence: float,
    checkpoint: Checkpoint | None,
) -> Run:
    """Train a torch module by actors, which stay for the next fit.

    Raises:
        TalkootError: an actor raised, actors die again and again, or none can be started.
    """
    CLUSTER.join(address)
    rows, what = ShardPlacement.pack(shards, put_buffers), PlanPlacement.pack(plan, None, put_buffers)
    note_changed((*rows.changed, *what.changed), emit)
    load, load_segments = rows.load([*shards], Paths.here())
    message, plan_segments = what.message({})
    threads = max(1, int(resources.cpus))
    job = Train(schema=schema, silence=silence, threads=threads, checkpoint=checkpoint)
    host: str = cast(Any, ray.util).get_node_ip_address()
    actors = ACTORS.lease(resources)
    launcher = RankLauncher(
        actors=actors,
        load=(pack(load), load_segments),
        plan=(pack(message), plan_segments),
        task=pack(job),
        listener=socket.create_server((host, 0)),
        silence=silence,
    )
    try:
        epochs = Epochs(count=resources.workers, silence=silence)
        return Coordinator(start_rank=launcher.start_rank, epochs=epochs, host=host, emit=emit).run()
    finally:
        launcher.close()
        ACTORS.give_back(actors)
