"""The process that has ranks started, forms epochs of them, and replaces those that die."""

from __future__ import annotations

import select
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, final

import torch.distributed as dist

from talkoot.core.engine import Listener, Run
from talkoot.core.errors import NodeLost, NodeSilent
from talkoot.engines.processes.pool import advice_on
from talkoot.engines.ranks.supervision.channel import Channel
from talkoot.engines.ranks.supervision.messages import (
    DISMISS,
    DRAIN,
    Broken,
    Ended,
    Enter,
    Failed,
    Left,
    Told,
)
from talkoot.engines.ranks.supervision.stop_request import Pause

TICK = 0.1  # seconds between looks at ranks that say nothing
DEATHS = 3  # in a row, without a step between them, until the run is given up
_MEND = 2.0  # seconds until ranks that only lost each other are brought together again


class Hand(ABC):
    """A process that is, or will be, a rank.

    Attributes:
        channel: to it.
        name: for people, such as "worker 2 (process 4711)".
    """

    channel: Channel
    name: str

    @property
    @abstractmethod
    def beats(self) -> int:
        """Counts up while the process lives."""

    @abstractmethod
    def end(self) -> str:
        """End it, if it has not ended, and say how it ended."""

    @abstractmethod
    def release(self) -> None:
        """It has been dismissed, and may do something else."""


@final
@dataclass(slots=True, eq=False)
class _Seat:
    hand: Hand
    rank: int = 0
    ended: bool = False
    beats: int = -1
    since: float = field(default_factory=time.monotonic)


@final
@dataclass(slots=True, eq=False, kw_only=True)
class Director:
    """One training.

    Args:
        hire: has another process started that knows the task. Asked to wait, it gives one or raises; else it
            gives None where there is none yet.
        count: ranks wanted.
        host: an address of this machine that all ranks reach.
        silence: seconds without a sign of life after which a rank is given up.
        listen: hears how it goes.
    """

    hire: Callable[[bool], Hand | None]
    count: int
    host: str
    silence: float
    listen: Listener
    seats: list[_Seat] = field(default_factory=list)
    epoch: int = -1
    deaths: int = 0
    steps: int = 0
    result: Run | None = None
    mend: float | None = None
    pause: Pause = field(default_factory=Pause)
    drained: bool = False
    store: Any = None

    def run(self) -> Run:
        """Have the ranks train to the end.

        Raises:
            TalkootError: a rank raised, with its own traceback; or ranks die again and again.
            SystemExit: this process got SIGTERM; what there was has been saved.
        """
        self.store = dist.TCPStore(self.host, 0, is_master=True, wait_for_workers=False)
        try:
            with self.pause.on_sigterm():
                self._fill(self.count)
                self._form()
                while self.result is None or not all(seat.ended for seat in self.seats):
                    self._turn()
        except BaseException:
            for seat in self.seats:
                seat.hand.end()
            raise
        for seat in self.seats:
            seat.hand.channel.send(DISMISS)
            seat.hand.release()
        return self.result

    def _turn(self) -> None:
        if self.pause.terminated and not self.drained:
            self._drain()
        for seat in self._ready():
            if seat in self.seats:
                self._hear(seat)
        for seat in [*self.seats]:
            self._watch(seat)
        lost = self.mend is not None and time.monotonic() > self.mend
        if not self.drained and (lost or (self.result is None and self._fill(0))):
            self._form()

    def _drain(self) -> None:
        self.drained = True
        for seat in self.seats:
            with suppress(OSError):  # it died just now, which shows when it is heard
                seat.hand.channel.send(DRAIN)

    def _ready(self) -> list[_Seat]:
        poll = select.poll()
        by_descriptor = {seat.hand.channel.fileno(): seat for seat in self.seats}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.POLLIN)
        return [by_descriptor[descriptor] for descriptor, _ in poll.poll(int(1000 * TICK))]

    def _fill(self, least: int) -> bool:
        """Have ranks that are missing started, and wait until there are `least`; whether any came."""
        before = len(self.seats)
        while len(self.seats) < self.count and (hand := self.hire(len(self.seats) < least)) is not None:
            self.seats.append(_Seat(hand))
        return len(self.seats) > before

    def _form(self) -> None:
        """A new epoch of all that are there."""
        self.epoch, self.mend = self.epoch + 1, None
        port = self.store.port
        for rank, seat in enumerate([*self.seats]):
            seat.rank, seat.ended = rank, False
            enter = Enter(epoch=self.epoch, rank=rank, world=len(self.seats), host=self.host, port=port)
            with suppress(OSError):  # it died just now, which shows when it is heard
                seat.hand.channel.send(enter)
        self.listen("epoch", {"epoch": self.epoch, "ranks": len(self.seats)})

    def _hear(self, seat: _Seat) -> None:
        try:
            said = seat.hand.channel.receive()
        except (EOFError, OSError):
            cause = seat.hand.end()
            return self._gone(seat) if self.drained else self._mourn(seat, cause)
        match said:
            case Told(event, facts):
                self._progress(facts)
                self.listen(event, facts)
            case Failed(error):
                raise error
            case Ended(epoch, run) if epoch == self.epoch:
                seat.ended, self.result = True, run or self.result
            case Broken(epoch, cause) if epoch == self.epoch:
                self.listen("broken", {"worker": seat.rank, "cause": cause})
                self.mend = self.mend or time.monotonic() + _MEND
            case Left():
                self._leave(seat, said)
        return None

    def _progress(self, facts: Any) -> None:
        step = facts.get("step", facts.get("round", 0))
        if step > self.steps:
            self.steps, self.deaths = step, 0

    def _leave(self, seat: _Seat, left: Left) -> None:
        if self.drained:
            seat.hand.end()
            self._gone(seat)
        elif left.terminated:
            self._mourn(seat, f"was asked to end (SIGTERM) and left behind step {left.step}", died=False)

    def _gone(self, seat: _Seat) -> None:
        """One of those that are to save and go has done so."""
        self.seats.remove(seat)
        if not self.seats:
            raise SystemExit(143)

    def _mourn(self, seat: _Seat, cause: str, *, died: bool = True) -> None:
        """A rank is gone: have another one started, and the others go on with it."""
        self.seats.remove(seat)
        if not died:
            seat.hand.end()
        self.deaths += died
        facts = {"worker": seat.rank, "nodes": [], "cause": cause, "name": seat.hand.name}
        self.listen("worker", facts)
        if self.deaths >= DEATHS:
            raise NodeLost(
                f"its process {cause}; so did {DEATHS - 1} others before the training came any further",
                node=f"rank {seat.rank}",
                step=f"after step {self.steps}",
                cure=advice_on(cause),
            )
        self._fill(1)
        self._form()

    def _watch(self, seat: _Seat) -> None:
        now, beats = time.monotonic(), seat.hand.beats
        if beats != seat.beats:
            seat.beats, seat.since = beats, now
        elif now - seat.since > self.silence:
            error = NodeSilent(f"no sign of life for {self.silence:g} s", node=f"rank {seat.rank}")
            seat.hand.end()
            self._mourn(seat, f"gave {error.cause} and was ended")
