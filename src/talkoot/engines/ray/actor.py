"""The actor, which runs on the cluster: it holds the shards of some nodes and does their rounds."""

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
from talkoot.engines.ray.serialized import Serialized, pack, unpack

STATUS = "status"  # the concurrency group of calls that are answered while the actor works
HELLO = struct.Struct("=32sQ")  # the token of an actor, and its process id
CONNECT = 30.0  # seconds that a connection may take


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Paths:
    """Where the driver finds modules and files; environment variables stay those of the actor's machine."""

    folder: str
    path: tuple[str, ...]

    @classmethod
    def here(cls) -> Paths:
        """The paths of this process."""
        return cls(folder=os.getcwd(), path=tuple(sys.path))

    def take(self) -> None:
        """Search these paths first, then those that this process had."""
        with suppress(OSError):  # no such folder on this machine
            os.chdir(self.folder)
        sys.path[:] = dict.fromkeys((*self.path, *sys.path))


@final
class Worker:
    """An actor that uses `cores` cores."""

    def __init__(self, cores: int) -> None:
        os.environ.update(dict.fromkeys(ONE_CORE, str(cores)))
        pa.set_cpu_count(cores)
        self._cores = cores
        self._host = Host(pack=pack)
        self._page = Heartbeat.make()
        _on_sigterm()

    def load(self, load: Serialized, *segments: Any) -> None:
        """Replace the nodes that this actor holds, by a `Load` and the segments that it reads in place."""
        self._host.load(unpack(load), [memoryview(segment) for segment in segments])
        threadpool_limits(self._cores)  # also for libraries that were loaded before

    def place(self, plan: Serialized, *segments: Any) -> None:
        """Replace the plan, by a `PlacePlan` and the segments that it reads in place."""
        self._host.place(unpack(plan), [memoryview(segment) for segment in segments])

    def clear(self) -> None:
        """Drop the plan and all nodes."""
        self._host.clear()

    def round(self, request: RoundRequest, message: Serialized) -> Serialized:
        """The answer of one node, or one answer for several; `message` is the round and the question."""
        answer: Serialized
        (answer,) = self._host.round(request, partial(unpack, message), self._page)
        return answer

    def run_task(self, task: Serialized, listener: tuple[str, int], token: bytes) -> None:
        """Connect to the process that started the actor, send it the token, and run a `Task` for it."""
        job: Task = unpack(task)
        job.prepare()
        with (
            suppress(EOFError, OSError),  # that process is gone
            socket.create_connection(listener, CONNECT) as sock,
        ):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.sendall(HELLO.pack(token, os.getpid()))
            job.run(sock, self._host)

    @ray.method(concurrency_group=STATUS)
    def status(self) -> tuple[int | None, int]:
        """The index of the current node, and the rows of it read so far."""
        return self._page.node, self._page.rows


def _on_sigterm() -> None:
    """Pass SIGTERM to ranks that train in this process; without any, Ray ends it as before."""
    before: Any = signal.getsignal(signal.SIGTERM)

    def handle(number: int, frame: Any) -> None:
        requests: Any = sys.modules.get("talkoot.engines.ranks.supervision.stop_request")
        if requests is None or not requests.terminate():
            before(number, frame)

    signal.signal(signal.SIGTERM, handle)


_OPTIONS: Any = {"concurrency_groups": {STATUS: 1}}
ACTOR: Any = ray.remote(**_OPTIONS)(Worker)
