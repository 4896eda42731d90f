"""What runs on the cluster: an actor that holds the shards of some nodes and does their rounds."""

from __future__ import annotations

import os
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
from talkoot.engines.processes.messages import Ask
from talkoot.engines.ray.parcel import Parcel, pack, unpack

LOOKS = "looks"  # calls that are answered while the actor is at work


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

    def take(self, load: Parcel, *segments: Any) -> None:
        """Hold other nodes from now on.

        Args:
            load: a `Load`.
            segments: arrays of bytes that it refers to, read in place.
        """
        self._host.take(unpack(load), [memoryview(segment) for segment in segments])
        threadpool_limits(self._cores)  # also for libraries that were loaded before they could be told

    def clear(self) -> None:
        """Hold nothing."""
        self._host.clear()

    def round(self, ask: Ask, message: Parcel) -> Parcel:
        """The answer of one node, or one answer of several.

        Args:
            ask: whose turn it is.
            message: the round and the model.
        """
        (answer,) = self._host.round(ask, partial(unpack, message), self._page)
        parcel: Parcel = answer
        return parcel

    @ray.method(concurrency_group=LOOKS)
    def look(self) -> tuple[int | None, int]:
        """The index of the node it is at, and the rows of that node read so far."""
        return self._page.node, self._page.rows


_OPTIONS: Any = {"concurrency_groups": {LOOKS: 1}}
ACTOR: Any = ray.remote(**_OPTIONS)(Worker)
