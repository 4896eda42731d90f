"""An actor, seen from the process that it works for."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, final

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from talkoot.engines.gathering import Answer
from talkoot.engines.processes.messages import RoundRequest
from talkoot.engines.ray.serialized import unpack

TICK = 0.25  # seconds between looks
START = 60.0  # seconds until an actor must have given its first sign of life
_DETAIL = "Worker exit detail: "


@final
@dataclass(slots=True, eq=False)
class WorkerHandle:
    """The handle of an actor, what it was asked, and what it showed last.

    It is its own board. Nodes are asked for one at a time where answers are apart, so that the one which
    brings the actor down is known for certain.

    Args:
        actor: the handle.
        number: of its place.
        started: it has given a sign of life.
    """

    actor: Any
    number: int
    beats: int = 0
    rows: int = 0
    call: Any = None
    started: bool = False
    _born: float = field(default_factory=time.monotonic)
    _message: Any = None
    _asks: deque[tuple[int, RoundRequest]] = field(default_factory=deque)
    _first: int = 0
    _alone: bool = False
    _node: int | None = None
    _sight: Any = None
    _looked: float = 0.0
    _placed: Any = None
    _cause: str = ""

    @property
    def board(self) -> WorkerHandle:
        """What it shows."""
        return self

    @property
    def node(self) -> int | None:
        """Which of the nodes that it was asked for it is at; None where that is not known."""
        return self._first if self._alone else self._node

    def load(self, load: Any, segments: list[Any]) -> None:
        """Have it hold other nodes."""
        self._placed = self.actor.load.remote(load, *segments)

    def place(self, plan: Any, segments: list[Any]) -> None:
        """Have it do another plan."""
        self.actor.place.remote(plan, *segments)

    def settle(self) -> None:
        """Wait until it holds its nodes.

        Raises:
            TimeoutError: it takes too long.
            EOFError: it is gone.
        """
        self._get(self._placed, START)

    def ask(self, request: RoundRequest, message: Any, *, alone: bool) -> None:
        """Ask for nodes, together or one behind the other."""
        asks = (
            [RoundRequest(nodes=(node,), round=request.round, apart=True) for node in request.nodes]
            if alone
            else [request]
        )
        self._message, self._alone, self._asks = message, alone, deque(enumerate(asks))
        self._node, self._sight = None, None  # what was seen before is about other nodes
        self._next()

    def receive(self, patience: float) -> Answer:
        """The answer to what was asked.

        Raises:
            TimeoutError: it does not arrive.
            EOFError: the actor is gone.
        """
        answer: Answer = unpack(self._get(self.call, patience))
        self._next()
        return answer

    def send_off(self, task: Any, listener: tuple[str, int], token: bytes) -> None:
        """Have it do an errand as soon as it holds its nodes."""
        self.call = self.actor.task.remote(task, listener, token)

    def ended(self, patience: float) -> str | None:
        """How its errand ended, in words; None if it is still under way."""
        if not ray.wait([self.call], timeout=patience)[0]:
            return None
        try:
            ray.get([self._placed, self.call])
        except RayError as error:
            self._cause = _ending(error)
            return self._cause
        return "left its errand"

    def look(self) -> None:
        """See how it is, without waiting. One that only starts need not show anything yet."""
        if self._sight is None and time.monotonic() - self._looked > TICK:
            self._looked = time.monotonic()
            self._sight = self.actor.look.remote()
        elif self._sight is not None and ray.wait([self._sight], timeout=0)[0]:
            with suppress(EOFError):
                self._node, self.rows = self._get(self._sight, START)
                self.started = True
                self.beats += 1
            self._sight = None
        elif not self.started and time.monotonic() - self._born < START:
            self.beats += 1

    def clear(self) -> None:
        """Have it hold nothing."""
        self.call = self._message = self._placed = None
        self.actor.clear.remote()

    def end(self) -> str:
        """End it, and say how it ended if it has."""
        with suppress(RayError):
            ray.kill(self.actor)
        return self._cause

    def _next(self) -> None:
        self.call = None
        if self._asks:
            self._first, ask = self._asks.popleft()
            self.call = self.actor.round.remote(ask, self._message)

    def _get(self, reference: Any, patience: float) -> Any:
        try:
            return ray.get(reference, timeout=patience)
        except (GetTimeoutError, RayTaskError):
            raise
        except RayError as error:
            self._cause = _ending(error)
            raise EOFError(self._cause) from error


def _ending(error: RayError) -> str:
    """How an actor ended, in Ray's words without its advice."""
    text = str(error).strip()
    detail = text.partition(_DETAIL)[2].partition(" Some common causes")[0]
    return (detail or text.splitlines()[-1]).strip().rstrip(".")
