"""Carries out what `Epochs` decides: starts ranks, talks to them, and watches them."""

from __future__ import annotations

import select
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, final

import torch.distributed as dist

from talkoot.core.engine import Emit, Run
from talkoot.engines.events import Report
from talkoot.engines.ranks.supervision.channel import Channel
from talkoot.engines.ranks.supervision.epochs import (
    Action,
    Died,
    Drain,
    End,
    Epochs,
    Event,
    Fail,
    Form,
    Rank,
    Received,
    Seen,
    Start,
    Started,
    Tick,
)
from talkoot.engines.ranks.supervision.messages import DISMISS, DRAIN, EnterEpoch
from talkoot.engines.ranks.supervision.stop_request import StopRequest

TICK = 0.1  # seconds between looks at silent ranks


class RankHandle(ABC):
    """A process that is, or will be, a rank."""

    channel: Channel
    name: str  # for people, such as "worker 2 (process 4711)"

    @property
    @abstractmethod
    def beats(self) -> int:
        """A number that grows while the process lives."""

    @abstractmethod
    def end(self) -> str:
        """End the process, if it still runs; how it ended, in words."""

    @abstractmethod
    def release(self) -> None:
        """The process is no rank any more and may do something else."""


@final
@dataclass(slots=True, eq=False, kw_only=True)
class Coordinator:
    """One training."""

    # starts another process that has the task. With True it waits for one or raises; with False it returns
    # None where there is none yet
    start_rank: Callable[[bool], RankHandle | None]
    epochs: Epochs
    host: str  # an address of this machine that all ranks reach
    emit: Emit  # receives the events of the run
    handles: dict[Rank, RankHandle] = field(default_factory=dict)
    stop_request: StopRequest = field(default_factory=StopRequest)
    store: Any = None

    def run(self) -> Run:
        """Train to the end.

        Raises:
            TalkootError: a rank raised, with its own traceback; or ranks die again and again.
            SystemExit: this process got SIGTERM; the training so far has been saved.
        """
        try:
            with self.stop_request.on_sigterm():
                self._carry_out(self.epochs.fill(self.epochs.count))
                while not self.epochs.over:
                    self._poll()
        except BaseException:
            for handle in self.handles.values():
                handle.end()
            raise
        for handle in self.handles.values():
            handle.channel.send(DISMISS)
            handle.release()
        assert self.epochs.result is not None
        return self.epochs.result

    def _poll(self) -> None:
        """Pass on the messages that came, which ranks are gone or give no sign of life, and the time."""
        for rank in self._ready():
            if rank in self.handles:
                self._on(self._receive(rank))
        for rank, handle in [*self.handles.items()]:
            self._on(Seen(rank, handle.beats))
        self._on(Tick(self.stop_request.terminated))

    def _on(self, event: Event) -> None:
        self._carry_out(self.epochs.on(event, time.monotonic()))

    def _carry_out(self, actions: list[Action]) -> None:
        waiting = deque(actions)
        while waiting:
            waiting.extend(self._do(waiting.popleft()))

    def _do(self, action: Action) -> list[Action]:
        match action:
            case Start(wait):
                return self.epochs.on(Started(self._start(wait)), time.monotonic())
            case Form(epoch, ranks, drain):
                self._form(epoch, ranks, drain)
            case Drain():
                for rank in self.handles:
                    self._send(rank, DRAIN)
            case End(rank):
                self._end(rank)
            case Report(event, facts):
                self.emit(event, facts)
            case Fail(error):
                raise error
        return []

    def _start(self, wait: bool) -> Rank | None:
        handle = self.start_rank(wait)
        if handle is None:
            return None
        rank = Rank(handle.name)
        self.handles[rank] = handle
        return rank

    def _form(self, epoch: int, ranks: tuple[Rank, ...], drain: bool) -> None:
        if self.store is None:  # not before, as a fork of the first ranks should not find its thread at work
            self.store = dist.TCPStore(self.host, 0, is_master=True, wait_for_workers=False)
        for rank in ranks:
            address = self.host, self.store.port
            self._send(rank, EnterEpoch(epoch, rank.number, len(ranks), address, drain))

    def _send(self, rank: Rank, message: Any) -> None:
        with suppress(OSError):  # it died just now; the next receive shows that
            self.handles[rank].channel.send(message)

    def _receive(self, rank: Rank) -> Event:
        """The next message of a rank, or its death."""
        try:
            return Received(rank, self.handles[rank].channel.receive())
        except (EOFError, OSError):
            return Died(rank, self._end(rank))

    def _end(self, rank: Rank) -> str:
        cause = self.handles[rank].end()
        del self.handles[rank]  # not before, so that an interrupt does not leave it behind
        return cause

    def _ready(self) -> list[Rank]:
        poll = select.poll()
        by_descriptor = {handle.channel.fileno(): rank for rank, handle in self.handles.items()}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.POLLIN)
        return [by_descriptor[descriptor] for descriptor, _ in poll.poll(int(1000 * TICK))]
