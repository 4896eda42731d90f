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

from talkoot.core.engine import Emit, Run
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
from talkoot.engines.ranks.supervision.stop_request import StopRequest

TICK = 0.1  # seconds between looks at ranks that say nothing
DEATHS = 3  # in a row, without a step between them, until the run is given up
BREAKS = 5  # likewise, of groups whose ranks all live
_MEND = 2.0  # seconds until ranks that only lost each other are brought together again


class RankHandle(ABC):
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
class _Slot:
    hand: RankHandle
    rank: int = 0
    ended: bool = False
    beats: int = -1
    since: float = field(default_factory=time.monotonic)


@final
@dataclass(slots=True, eq=False, kw_only=True)
class Coordinator:
    """One training.

    Args:
        hire: has another process started that knows the task. Asked to wait, it gives one or raises; else it
            gives None where there is none yet.
        count: ranks wanted.
        host: an address of this machine that all ranks reach.
        silence: seconds without a sign of life after which a rank is given up.
        emit: hears how it goes.
    """

    hire: Callable[[bool], RankHandle | None]
    count: int
    host: str
    silence: float
    emit: Emit
    slots: list[_Slot] = field(default_factory=list)
    epoch: int = -1
    deaths: int = 0
    breaks: int = 0
    steps: int = 0
    result: Run | None = None
    mend: float | None = None
    pause: StopRequest = field(default_factory=StopRequest)
    drained: bool = False
    store: Any = None

    def run(self) -> Run:
        """Have the ranks train to the end.

        Raises:
            TalkootError: a rank raised, with its own traceback; or ranks die again and again.
            SystemExit: this process got SIGTERM; what there was has been saved.
        """
        try:
            with self.pause.on_sigterm():
                self._fill(self.count)  # first, as a fork should not find the store's thread at work
                self.store = dist.TCPStore(self.host, 0, is_master=True, wait_for_workers=False)
                self._form()
                while self.result is None or not all(slot.ended for slot in self.slots):
                    self._turn()
        except BaseException:
            for slot in self.slots:
                slot.hand.end()
            raise
        for slot in self.slots:
            slot.hand.channel.send(DISMISS)
            slot.hand.release()
        return self.result

    def _turn(self) -> None:
        if self.pause.terminated and not self.drained:
            self._drain()
        for slot in self._ready():
            if slot in self.slots:
                self._hear(slot)
        for slot in [*self.slots]:
            self._watch(slot)
        lost = self.mend is not None and time.monotonic() > self.mend
        if not self.drained and (lost or (self.result is None and self._fill(0))):
            self._form()

    def _drain(self) -> None:
        self.drained = True
        for slot in self.slots:
            with suppress(OSError):  # it died just now, which shows when it is heard
                slot.hand.channel.send(DRAIN)

    def _ready(self) -> list[_Slot]:
        poll = select.poll()
        by_descriptor = {slot.hand.channel.fileno(): slot for slot in self.slots}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.POLLIN)
        return [by_descriptor[descriptor] for descriptor, _ in poll.poll(int(1000 * TICK))]

    def _fill(self, least: int) -> bool:
        """Have ranks that are missing started, and wait until there are `least`; whether any came."""
        before = len(self.slots)
        while len(self.slots) < self.count and (hand := self.hire(len(self.slots) < least)) is not None:
            self.slots.append(_Slot(hand))
        return len(self.slots) > before

    def _form(self) -> None:
        """A new epoch of all that are there."""
        self.epoch, self.mend = self.epoch + 1, None
        port = self.store.port
        for rank, slot in enumerate([*self.slots]):
            slot.rank, slot.ended = rank, False
            enter = Enter(epoch=self.epoch, rank=rank, world=len(self.slots), host=self.host, port=port)
            with suppress(OSError):  # it died just now, which shows when it is heard
                slot.hand.channel.send(enter)
        self.emit("epoch", {"epoch": self.epoch, "ranks": len(self.slots)})

    def _hear(self, slot: _Slot) -> None:
        try:
            said = slot.hand.channel.receive()
        except (EOFError, OSError):
            cause = slot.hand.end()
            return self._gone(slot) if self.drained else self._mourn(slot, cause)
        match said:
            case Told(event, facts):
                self._progress(facts)
                self.emit(event, facts)
            case Failed(error):
                raise error
            case Ended(epoch, run) if epoch == self.epoch:
                slot.ended, self.result = True, run or self.result
            case Broken(epoch, cause) if epoch == self.epoch:
                self._break(slot, cause)
            case Left():
                self._leave(slot, said)
        return None

    def _progress(self, facts: Any) -> None:
        step = facts.get("step", facts.get("round", 0))
        if step > self.steps:
            self.steps, self.deaths, self.breaks = step, 0, 0

    def _break(self, slot: _Slot, cause: str) -> None:
        """A rank lost another one: wait for what the others say, then bring them together again."""
        self.emit("broken", {"worker": slot.rank, "cause": cause})
        if self.mend is not None:
            return
        self.mend, self.breaks = time.monotonic() + _MEND, self.breaks + 1
        if self.breaks >= BREAKS:
            raise NodeLost(
                f"it lost the other ranks {BREAKS} times before the training came any further ({cause})",
                node=f"rank {slot.rank}",
                step=f"after step {self.steps}",
                cure="See whether the machines reach each other and have time to spare for the ranks.",
            )

    def _leave(self, slot: _Slot, left: Left) -> None:
        if self.drained:
            slot.hand.end()
            self._gone(slot)
        elif left.terminated:
            self._mourn(slot, f"was asked to end (SIGTERM) and left behind step {left.step}", died=False)

    def _gone(self, slot: _Slot) -> None:
        """One of those that are to save and go has done so."""
        self.slots.remove(slot)
        if not self.slots:
            raise SystemExit(143)

    def _mourn(self, slot: _Slot, cause: str, *, died: bool = True) -> None:
        """A rank is gone: have another one started, and the others go on with it."""
        self.slots.remove(slot)
        if not died:
            slot.hand.end()
        self.deaths += died
        facts = {"worker": slot.rank, "nodes": [], "cause": cause, "name": slot.hand.name}
        self.emit("worker", facts)
        if self.deaths >= DEATHS:
            raise NodeLost(
                f"its process {cause}; so did {DEATHS - 1} others before the training came any further",
                node=f"rank {slot.rank}",
                step=f"after step {self.steps}",
                cure=advice_on(cause),
            )
        self._fill(1)
        self._form()

    def _watch(self, slot: _Slot) -> None:
        now, beats = time.monotonic(), slot.hand.beats
        if beats != slot.beats:
            slot.beats, slot.since = beats, now
        elif now - slot.since > self.silence:
            error = NodeSilent(f"no sign of life for {self.silence:g} s", node=f"rank {slot.rank}")
            slot.hand.end()
            self._mourn(slot, f"gave {error.cause} and was ended")
