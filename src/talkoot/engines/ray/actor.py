"""What runs on the cluster: an actor that holds the shards of some nodes and does their rounds."""

from __future__ import annotations

import os
import signal
import socket
import struct
import sys
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, final

import pyarrow as pa
import ray
from threadpoolctl import threadpool_limits

from talkoot.engines.machine import ONE_CORE
from talkoot.engines.processes.heartbeat import Heartbeat
from talkoot.engines.processes.host import Host
from talkoot.engines.processes.messages import RoundRequest, Task
from talkoot.engines.ray.serialized import Parcel, pack, unpack

LOOKS = "looks"  # calls that are answered while the actor is at work
HELLO = struct.Struct("=32sQ")  # a token that an actor was given, and its process
DIAL = 30.0  # seconds that dialling may take


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where the driver finds its modules and files; a machine of a cluster has an environment of its own."""

    folder: str
    path: tuple[str, ...]

    @classmethod
    def here(cls) -> Paths:
        """Those of this process."""
        return cls(folder=os.getcwd(), path=tuple(sys.path))

    def take(self) -> None:
        """Look there first, and then where this process did before."""
        with suppress(OSError):  # no such folder on this machine
            os.chdir(self.folder)
        sys.path[:] = dict.fromkeys((*self.path, *sys.path))


@final
class Worker:
    """An actor.

    Args:
        cores: how many it uses.
    """

    def __init__(self, cores: int) -> None:
        os.environ.update(dict.fromkeys(ONE_CORE, str(cores)))
        pa.set_cpu_count(cores)
        self._cores = cores
        self._host = Host(pack=pack)
        self._page = Heartbeat.make()
        _on_sigterm()

    def load(self, load: Parcel, *segments: Any) -> None:
        """Hold other nodes from now on.

        Args:
            load: a `Load`.
            segments: arrays of bytes that it refers to, read in place.
        """
        self._host.load(unpack(load), [memoryview(segment) for segment in segments])
        threadpool_limits(self._cores)  # also for libraries that were loaded before they could be told

    def place(self, plan: Parcel, *segments: Any) -> None:
        """Do another plan from now on.

        Args:
            plan: a `PlacePlan`.
            segments: arrays of bytes that it refers to, read in place.
        """
        self._host.place(unpack(plan), [memoryview(segment) for segment in segments])

    def clear(self) -> None:
        """Hold nothing."""
        self._host.clear()

    def round(self, ask: RoundRequest, message: Parcel) -> Parcel:
        """The answer of one node, or one answer of several.

        Args:
            ask: whose turn it is.
            message: the round and the model.
        """
        (answer,) = self._host.round(ask, partial(unpack, message), self._page)
        parcel: Parcel = answer
        return parcel

    def task(self, task: Parcel, listener: tuple[str, int], token: bytes) -> None:
        """Do something as a whole, for who listens at `listener`.

        Args:
            task: a `Task`.
            listener: host and port.
            token: to be said first, so that they know who comes.
        """
        job: Task = unpack(task)
        job.prepare()
        with (
            suppress(EOFError, OSError),
            socket.create_connection(listener, DIAL) as sock,
        ):  # or they are gone
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(HELLO.pack(token, os.getpid()))
            job.run(sock, self._host)

    @ray.method(concurrency_group=LOOKS)
    def look(self) -> tuple[int | None, int]:
        """The index of the node it is at, and the rows of that node read so far."""
        return self._page.node, self._page.rows


def _on_sigterm() -> None:
    """Have SIGTERM heard by ranks in training on this process; without any, Ray ends it as before."""
    before: Any = signal.getsignal(signal.SIGTERM)

    def hear(number: int, frame: Any) -> None:
        pause: Any = sys.modules.get("talkoot.engines.ranks.supervision.stop_request")
        if pause is None or not pause.terminate():
            before(number, frame)

    signal.signal(signal.SIGTERM, hear)


_OPTIONS: Any = {"concurrency_groups": {LOOKS: 1}}
ACTOR: Any = ray.remote(**_OPTIONS)(Worker)
