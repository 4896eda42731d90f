"""The messages between workers and the process that they work for."""

from __future__ import annotations

import os
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, final

from talkoot.engines.machine import ONE_CORE

CLEAR = "clear"  # the message after which a worker holds nothing


class Surroundings(Protocol):
    """What workers take over from the process that they work for; equal ones are taken once."""

    def take(self) -> None:
        """Make it this process's own."""


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The surroundings of workers on the same machine."""

    folder: str
    path: tuple[str, ...]
    environ: Mapping[str, str]

    def take(self) -> None:
        """Make it this process's own, but for the cores, of which a worker uses one."""
        os.chdir(self.folder)
        sys.path[:] = self.path
        os.environ.clear()
        os.environ.update(self.environ, **ONE_CORE)


Stored = bytes | tuple[int, int, int]  # a buffer, or (segment, offset, bytes) of where it lies
Packed = tuple[bytes, tuple[Stored, ...]]  # a pickle and the buffers beside it


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Load:
    """The shards that a worker holds from now on; everything in it is still pickled."""

    setting: Surroundings  # what to take over from the parent
    shards: Mapping[str, Packed]  # for each node its shard without the large buffers, and those
    segments: int  # number of segments that are lent behind this message
    changed: tuple[str, ...] = ()  # modules to be imported anew, if they are used


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PlacePlan:
    """What a worker does from now on."""

    pair: Packed  # the plan and the view
    states: Packed  # states of nodes whose former worker died
    segments: int  # number of segments that are lent behind this message
    changed: tuple[str, ...] = ()  # modules to be imported anew, if they are used


class Task(ABC):
    """Something that a worker does as a whole, with a protocol of its own, until it is done."""

    def prepare(self) -> None:  # noqa: B027 - most need nothing
        """Do what takes time and can be done before anybody waits for it, such as imports."""

    @abstractmethod
    def run(self, sock: socket.socket, host: Any) -> None:
        """Do it for the process at the other side of `sock`; `host` is the worker's `Host`.

        Raises:
            EOFError, OSError: the other side is gone.
        """


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RoundRequest:
    """One round of some nodes. The round and the question, the same for all workers, come next."""

    nodes: tuple[str, ...]  # in this order
    round: int
    apart: bool  # answer for each node by itself; otherwise once, with the sum of all
