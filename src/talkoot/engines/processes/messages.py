"""What workers and the process that they work for say to each other."""

from __future__ import annotations

import os
import socket
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, final

from talkoot.core.errors import TalkootError
from talkoot.core.run import NodeState
from talkoot.core.update import Update
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
    """What a worker gets before the first round; everything in it is still pickled.

    Args:
        setting: what to take over from the parent.
        plan: the plan.
        shards: for each node its shard without the large buffers, and those.
        states: states of nodes whose former worker died.
        segments: number of segments that are lent behind this message.
        changed: modules to be imported anew, if they are asked for.
    """

    setting: Surroundings
    plan: Packed
    shards: Mapping[str, Packed]
    states: Packed
    segments: int
    changed: tuple[str, ...] = ()


class Task(ABC):
    """Something that a worker does as a whole, in words of its own, until it is done."""

    def prepare(self) -> None:  # noqa: B027 - most need nothing
        """Do what takes time and can be done before anybody waits for it, such as imports."""

    @abstractmethod
    def run(self, sock: socket.socket, host: Any) -> None:
        """Do it.

        Args:
            sock: to the process that the worker works for.
            host: the worker's `Host`: the plan and the shards.

        Raises:
            EOFError, OSError: the other side is gone.
        """


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ask:
    """One round of some nodes. The round and the model come in the next message, the same for all workers.

    Args:
        nodes: whose turn it is, in this order.
        round: its index.
        apart: answer for each node by itself; otherwise once, with the merge of all.
    """

    nodes: tuple[str, ...]
    round: int
    apart: bool


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Answer:
    """What some nodes said.

    Args:
        nodes: whose update is in it.
        update: the merge of those.
        failed: nodes that raised, and what.
        states: what nodes keep for themselves, where they keep anything.
        seconds: how long each node worked.
        restarted: nodes that lack the state that they had before this round, and that mattered.
    """

    nodes: tuple[str, ...] = ()
    update: Update | None = None
    failed: Mapping[str, TalkootError] = field(default_factory=dict)
    states: Mapping[str, NodeState] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    restarted: tuple[str, ...] = ()
