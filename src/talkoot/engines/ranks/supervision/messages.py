"""What a director and its ranks say to each other."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, final

from talkoot.core.engine import Run
from talkoot.core.errors import TalkootError
from talkoot.core.shard import Schema
from talkoot.engines.checkpoint import Checkpoint
from talkoot.engines.processes.host import Host
from talkoot.engines.processes.messages import Task
from talkoot.engines.ranks.supervision.channel import Channel


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Train(Task):
    """What a process needs to be a rank, beside the plan and the shards.

    Args:
        schema: what the nodes agreed on.
        timeout: seconds that one rank may keep the others waiting.
        threads: cores of this rank.
        checkpoint: where checkpoints go.
    """

    schema: Schema
    timeout: float
    threads: int
    checkpoint: Checkpoint | None

    def prepare(self) -> None:
        """Import torch, and what every optimizer loads."""
        import_module("talkoot.engines.ranks.supervision.rank_process")
        import_module("torch._dynamo")

    def run(self, sock: socket.socket, host: Host) -> None:
        """Be a rank until dismissed."""
        from talkoot.engines.ranks.supervision.rank_process import serve

        sock.settimeout(None)
        serve(Channel(sock), host, self)


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Enter:
    """Be a rank of this epoch.

    Args:
        epoch: its number.
        rank: which.
        world: of how many.
        host: where the store is.
        port: and its port.
    """

    epoch: int
    rank: int
    world: int
    host: str
    port: int


DRAIN = "drain"  # finish the step, save, and stop
DISMISS = "dismiss"  # be no rank any more


@final
@dataclass(frozen=True, slots=True)
class Told:
    """Something worth hearing, as listeners get it."""

    event: str
    facts: Mapping[str, Any]


@final
@dataclass(frozen=True, slots=True)
class Broken:
    """In this epoch another rank went away."""

    epoch: int
    cause: str


@final
@dataclass(frozen=True, slots=True)
class Left:
    """The rank stopped behind a step, with all others.

    Args:
        step: behind which.
        drained: because somebody wanted them to save and stop.
        terminated: that was this rank, which got SIGTERM.
    """

    step: int
    drained: bool
    terminated: bool


@final
@dataclass(frozen=True, slots=True)
class Failed:
    """The rank raised; the others are to stop."""

    error: TalkootError


@final
@dataclass(frozen=True, slots=True, eq=False)
class Ended:
    """The run is over; the first rank says how it went."""

    epoch: int
    run: Run | None
