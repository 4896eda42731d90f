"""An actor, seen from the process that uses it."""

from __future__ import annotations

import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, final

import ray
from ray.exceptions import GetTimeoutError, RayError, RayTaskError

from talkoot.engines.events import Answer
from talkoot.engines.processes.messages import RoundRequest
from talkoot.engines.ray.serialized import unpack

TICK = 0.25  # seconds between two status calls
START = 60.0  # seconds until an actor must give its first sign of life
_DETAIL = "Worker exit detail: "


@final
@dataclass(slots=True, eq=False)
class WorkerHandle:
    """The handle of an actor, its requests, and its last status.

    Where answers are separate, nodes are requested one at a time, so that a node that kills the actor is
    known for certain.
    """

    actor: Any  # Ray's handle
    number: int  # its number in the placement group
    beats: int = 0  # grows with each sign of life
    rows: int = 0  # of the current node read so far
    call: Any = None  # the request under way
    started: bool = False  # it has given a sign of life
    _created: float = field(default_factory=time.monotonic)
    _message: Any = None
    _requests: deque[tuple[int, RoundRequest]] = field(default_factory=deque)
    _first: int = 0
    _separate: bool = False
    _node: int | None = None
    _status: Any = None
    _polled: float = 0.0
    _loading: Any = None
    _cause: str = ""

    @property
    def board(self) -> WorkerHandle:
        """Its status: this object."""
        return self

    @property
    def node(self) -> int | None:
        """The index of the current node in the request; None if not known."""
        return self._first if self._separate else self._node

    def load(self, load: Any, segments: list[Any]) -> None:
        """Replace the nodes that it holds, without waiting."""
        self._loading = self.actor.load.remote(load, *segments)

    def place(self, plan: Any, segments: list[Any]) -> None:
        """Replace the plan, without waiting."""
        self.actor.place.remote(plan, *segments)

    def wait_loaded(self) -> None:
        """Wait until it has loaded them.

        Raises:
            TimeoutError: it takes too long.
            EOFError: it is gone.
        """
        self._get(self._loading, START)

    def request(self, request: RoundRequest, message: Any, *, alone: bool) -> None:
        """Request answers of nodes, together or one after the other."""
        requests = [request]
        if alone:
            requests = [replace(request, nodes=(node,), apart=True) for node in request.nodes]
        self._message, self._separate, self._requests = message, alone, deque(enumerate(requests))
        self._node, self._status = None, None  # the last status is about other nodes
        self._next()

    def receive(self, patience: float) -> Answer:
        """The answer to the request under way; sends the next one.

        Raises:
            TimeoutError: it does not arrive.
            EOFError: the actor is gone.
        """
        answer: Answer = unpack(self._get(self.call, patience))
        self._next()
        return answer

    def start_task(self, task: Any, listener: tuple[str, int], token: bytes) -> None:
        """Start a task, after it has loaded its nodes."""
        self.call = self.actor.run_task.remote(task, listener, token)

    def task_end(self, patience: float) -> str | None:
        """How its task ended, in words; None if it still runs."""
        if not ray.wait([self.call], timeout=patience)[0]:
            return None
        try:
            ray.get([self._loading, self.call])
        except RayError as error:
            self._cause = _ending(error)
            return self._cause
        return "ended its task"

    def poll(self) -> None:
        """Update the status without waiting. A starting actor counts as alive for `START` seconds."""
        if self._status is None and time.monotonic() - self._polled > TICK:
            self._polled = time.monotonic()
            self._status = self.actor.status.remote()
        elif self._status is not None and ray.wait([self._status], timeout=0)[0]:
            with suppress(EOFError):
                self._node, self.rows = self._get(self._status, START)
                self.started = True
                self.beats += 1
            self._status = None
        elif not self.started and time.monotonic() - self._created < START:
            self.beats += 1

    def clear(self) -> None:
        """Have it drop the plan and all nodes."""
        self.call = self._message = self._loading = None
        self.actor.clear.remote()

    def end(self) -> str:
        """End it; how it had ended before, in words, else empty."""
        with suppress(RayError):
            ray.kill(self.actor)
        return self._cause

    def _next(self) -> None:
        self.call = None
        if self._requests:
            self._first, request = self._requests.popleft()
            self.call = self.actor.round.remote(request, self._message)

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
