"""Starts ranks, forms epochs of them, and replaces those that die."""

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
from talkoot.core.errors import NodeLost
from talkoot.engines.processes.pool import advice_on
from talkoot.engines.ranks.supervision.channel import Channel
from talkoot.engines.ranks.supervision.messages import (
    DISMISS,
    DRAIN,
    EnterEpoch,
    EpochBroken,
    RankDone,
    RankError,
    RankStopped,
    RunEvent,
)
from talkoot.engines.ranks.supervision.stop_request import StopRequest

TICK = 0.1  # seconds between looks at silent ranks
DEATHS = 3  # in a row, without a step between them, until the run is given up
BREAKS = 5  # likewise, of groups whose ranks all live
_REFORM = 2.0  # seconds until ranks that only lost a connection form a new epoch


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
@dataclass(slots=True, eq=False)
class _Slot:
    """A rank: its process and when it last showed that it lives."""

    handle: RankHandle
    rank: int = 0
    done: bool = False
    beats: int = -1
    since: float = field(default_factory=time.monotonic)


@final
@dataclass(slots=True, eq=False, kw_only=True)
class Coordinator:
    """One training."""

    # starts another process that has the task. With True it waits for one or raises; with False it returns
    # None where there is none yet
    start_rank: Callable[[bool], RankHandle | None]
    count: int  # number of ranks
    host: str  # an address of this machine that all ranks reach
    silence: float  # seconds without a sign of life after which a rank is given up
    emit: Emit  # receives the events of the run
    slots: list[_Slot] = field(default_factory=list)
    epoch: int = -1
    deaths: int = 0
    breaks: int = 0
    steps: int = 0
    result: Run | None = None
    reform_at: float | None = None
    stop_request: StopRequest = field(default_factory=StopRequest)
    draining: bool = False
    store: Any = None

    def run(self) -> Run:
        """Train to the end.

        Raises:
            TalkootError: a rank raised, with its own traceback; or ranks die again and again.
            SystemExit: this process got SIGTERM; the training so far has been saved.
        """
        try:
            with self.stop_request.on_sigterm():
                self._fill(self.count)  # first, as a fork should not find the store's thread at work
                self.store = dist.TCPStore(self.host, 0, is_master=True, wait_for_workers=False)
                self._form_epoch()
                while self.result is None or not all(slot.done for slot in self.slots):
                    self._poll()
        except BaseException:
            for slot in self.slots:
                slot.handle.end()
            raise
        for slot in self.slots:
            slot.handle.channel.send(DISMISS)
            slot.handle.release()
        return self.result

    def _poll(self) -> None:
        """Handle the messages that came, and replace ranks that died or are silent."""
        if self.stop_request.terminated and not self.draining:
            self._drain()
        for slot in self._ready():
            if slot in self.slots:
                self._receive(slot)
        for slot in [*self.slots]:
            self._check_silence(slot)
        due = self.reform_at is not None and time.monotonic() > self.reform_at
        if not self.draining and (due or (self.result is None and self._fill(0))):
            self._form_epoch()

    def _drain(self) -> None:
        self.draining = True
        for slot in self.slots:
            with suppress(OSError):  # it died just now; the next receive shows that
                slot.handle.channel.send(DRAIN)

    def _ready(self) -> list[_Slot]:
        poll = select.poll()
        by_descriptor = {slot.handle.channel.fileno(): slot for slot in self.slots}
        for descriptor in by_descriptor:
            poll.register(descriptor, select.POLLIN)
        return [by_descriptor[descriptor] for descriptor, _ in poll.poll(int(1000 * TICK))]

    def _fill(self, least: int) -> bool:
        """Start missing ranks and wait until there are `least`; whether any came."""
        before = len(self.slots)
        while len(self.slots) < self.count:
            handle = self.start_rank(len(self.slots) < least)
            if handle is None:
                break
            self.slots.append(_Slot(handle))
        return len(self.slots) > before

    def _form_epoch(self) -> None:
        """Start an epoch with all ranks that are there."""
        self.epoch, self.reform_at = self.epoch + 1, None
        port = self.store.port
        for rank, slot in enumerate([*self.slots]):
            slot.rank, slot.done = rank, False
            enter = EnterEpoch(epoch=self.epoch, rank=rank, world=len(self.slots), host=self.host, port=port)
            with suppress(OSError):  # it died just now; the next receive shows that
                slot.handle.channel.send(enter)
        self.emit("epoch", {"epoch": self.epoch, "ranks": len(self.slots)})

    def _receive(self, slot: _Slot) -> None:
        """Handle the next message of a rank, or its death."""
        try:
            message = slot.handle.channel.receive()
        except (EOFError, OSError):
            cause = slot.handle.end()
            return self._remove_drained(slot) if self.draining else self._replace(slot, cause)
        match message:
            case RunEvent(event, facts):
                self._note_progress(facts)
                self.emit(event, facts)
            case RankError(error):
                raise error
            case RankDone(epoch, run) if epoch == self.epoch:
                slot.done, self.result = True, run or self.result
            case EpochBroken(epoch, cause) if epoch == self.epoch:
                self._break(slot, cause)
            case RankStopped() if self.draining:
                slot.handle.end()
                self._remove_drained(slot)
            case RankStopped(step, terminated=True):
                slot.handle.end()
                self._replace(slot, f"got SIGTERM and stopped after step {step}", died=False)
        return None

    def _note_progress(self, facts: Any) -> None:
        step = facts.get("step", facts.get("round", 0))
        if step > self.steps:
            self.steps, self.deaths, self.breaks = step, 0, 0

    def _break(self, slot: _Slot, cause: str) -> None:
        """A rank lost another one: wait for the messages of the others, then form a new epoch."""
        self.emit("broken", {"worker": slot.rank, "cause": cause})
        if self.reform_at is not None:
            return
        self.reform_at, self.breaks = time.monotonic() + _REFORM, self.breaks + 1
        if self.breaks >= BREAKS:
            raise NodeLost(
                f"it lost the other ranks {BREAKS} times before the training came any further ({cause})",
                node=f"rank {slot.rank}",
                step=f"after step {self.steps}",
                cure="See whether the machines reach each other and have time to spare for the ranks.",
            )

    def _remove_drained(self, slot: _Slot) -> None:
        """A rank has saved and ended; exit after the last one."""
        self.slots.remove(slot)
        if not self.slots:
            raise SystemExit(143)

    def _replace(self, slot: _Slot, cause: str, *, died: bool = True) -> None:
        """A rank has ended: start another one; the others go on with it.

        Raises:
            NodeLost: too many died in a row.
        """
        self.slots.remove(slot)
        self.deaths += died
        facts = {"worker": slot.rank, "nodes": [], "cause": cause, "name": slot.handle.name}
        self.emit("worker", facts)
        if self.deaths >= DEATHS:
            raise NodeLost(
                f"its process {cause}; so did {DEATHS - 1} others before the training came any further",
                node=f"rank {slot.rank}",
                step=f"after step {self.steps}",
                cure=advice_on(cause),
            )
        self._fill(1)
        self._form_epoch()

    def _check_silence(self, slot: _Slot) -> None:
        now, beats = time.monotonic(), slot.handle.beats
        if beats != slot.beats:
            slot.beats, slot.since = beats, now
        elif now - slot.since > self.silence:
            slot.handle.end()
            self._replace(slot, f"gave no sign of life for {self.silence:g} s and was ended")
