"""The epochs of a training, as a state machine without a clock and without wires.

A coordinator passes on what happened, and does what it gets in return: start a rank, have ranks form an
epoch, end one, report an event, fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, final

from talkoot.core.engine import Run
from talkoot.core.errors import NodeLost
from talkoot.engines.events import Report
from talkoot.engines.processes.pool import advice_on
from talkoot.engines.ranks.supervision.messages import (
    EpochBroken,
    RankDone,
    RankError,
    RankStopped,
    RunEvent,
)

DEATHS = 3  # in a row, without a step between them, until the run is given up
BREAKS = 5  # likewise, of groups whose ranks all live
REFORM = 2.0  # seconds until ranks that only lost a connection form a new epoch


@final
@dataclass(slots=True, eq=False)
class Rank:
    """A process that is, or will be, a rank."""

    name: str  # for people, such as "process 4711"
    number: int = 0  # in the current epoch
    done: bool = False
    beats: int = -1  # the last sign of life
    since: float = 0.0  # when that came


@final
@dataclass(frozen=True, slots=True)
class Started:
    """An answer to `Start`: the process, or None where there is none yet."""

    rank: Rank | None


@final
@dataclass(frozen=True, slots=True)
class Received:
    """A message of a rank."""

    rank: Rank
    message: Any


@final
@dataclass(frozen=True, slots=True)
class Died:
    """A rank is gone, and how it ended."""

    rank: Rank
    cause: str


@final
@dataclass(frozen=True, slots=True)
class Seen:
    """A look at a rank: its sign of life."""

    rank: Rank
    beats: int


@final
@dataclass(frozen=True, slots=True)
class Tick:
    """A look at the clock, and whether this process got SIGTERM."""

    terminated: bool = False


Event = Started | Received | Died | Seen | Tick


@final
@dataclass(frozen=True, slots=True)
class Start:
    """Start another process; wait for one, or take one only if it is there."""

    wait: bool


@final
@dataclass(frozen=True, slots=True)
class Form:
    """Have ranks form an epoch; they are numbered in this order."""

    epoch: int
    ranks: tuple[Rank, ...]
    drain: bool  # they are to save and stop after a step


@final
@dataclass(frozen=True, slots=True)
class Drain:
    """Have all ranks finish the step, save, and stop."""


@final
@dataclass(frozen=True, slots=True)
class End:
    """End a rank's process."""

    rank: Rank


@final
@dataclass(frozen=True, slots=True)
class Fail:
    """End all ranks and raise this."""

    error: BaseException


Action = Start | Form | Drain | End | Fail | Report


@final
@dataclass(slots=True, eq=False, kw_only=True)
class Epochs:
    """The epochs of one training."""

    count: int  # number of ranks
    silence: float  # seconds without a sign of life after which a rank is given up
    ranks: list[Rank] = field(default_factory=list)
    changed: bool = True  # ranks came or went since the epoch began
    least: int = 0  # ranks to wait for before the next epoch
    epoch: int = -1
    deaths: int = 0
    breaks: int = 0
    steps: int = 0
    result: Run | None = None
    reform_at: float | None = None
    draining: bool = False

    @property
    def over(self) -> bool:
        """Whether all ranks are done."""
        return self.result is not None and all(rank.done for rank in self.ranks)

    def fill(self, least: int) -> list[Action]:
        """Start missing ranks, wait until there are `least`, and form an epoch with those that came."""
        self.least = least
        return [Start(len(self.ranks) < least)]

    def on(self, event: Event, now: float) -> list[Action]:
        """What to do about an event."""
        match event:
            case Started(rank):
                return self._started(rank, now)
            case Received(rank, message):
                return self._received(rank, message, now)
            case Died(rank, cause):
                return self._replace(rank, cause)
            case Seen(rank, beats):
                return self._seen(rank, beats, now)
            case Tick(terminated):
                return self._tick(terminated, now)

    def _started(self, rank: Rank | None, now: float) -> list[Action]:
        if rank is not None:
            rank.since, self.changed = now, True
            self.ranks.append(rank)
            if len(self.ranks) < self.count:
                return self.fill(self.least)
        return self._form() if self.changed else []

    def _form(self) -> list[Action]:
        """Form an epoch of all ranks that are there."""
        self.epoch, self.reform_at, self.changed = self.epoch + 1, None, False
        for number, rank in enumerate(self.ranks):
            rank.number, rank.done = number, False
        facts = {"epoch": self.epoch, "ranks": len(self.ranks)}
        return [Form(self.epoch, tuple(self.ranks), self.draining), Report("epoch", facts)]

    def _received(self, rank: Rank, message: Any, now: float) -> list[Action]:
        match message:
            case RunEvent(event, facts):
                self._note_progress(facts)
                return [Report(event, facts)]
            case RankError(error):
                return [Fail(error)]
            case RankDone(epoch, run) if epoch == self.epoch:
                rank.done, self.result = True, run or self.result
            case EpochBroken(epoch, cause) if epoch == self.epoch:
                return self._break(rank, cause, now)
            case RankStopped(step, terminated) if terminated or self.draining:
                cause = f"got SIGTERM and stopped after step {step}"
                return [End(rank), *self._replace(rank, cause, died=False)]
        return []

    def _note_progress(self, facts: Mapping[str, Any]) -> None:
        step = facts.get("step", facts.get("round", 0))
        if step > self.steps:
            self.steps, self.deaths, self.breaks = step, 0, 0

    def _seen(self, rank: Rank, beats: int, now: float) -> list[Action]:
        if beats != rank.beats:
            rank.beats, rank.since = beats, now
        elif now - rank.since > self.silence:
            cause = f"gave no sign of life for {self.silence:g} s and was ended"
            return [End(rank), *self._replace(rank, cause)]
        return []

    def _tick(self, terminated: bool, now: float) -> list[Action]:
        if terminated and not self.draining:
            self.draining = True
            return [Drain()]
        if self.reform_at is not None and now > self.reform_at:
            return self._form()
        missing = self.result is None and not self.draining and len(self.ranks) < self.count
        return self.fill(0) if missing else []

    def _break(self, rank: Rank, cause: str, now: float) -> list[Action]:
        """A rank lost another one: wait for the messages of the others, then form a new epoch."""
        report = Report("broken", {"worker": rank.number, "cause": cause})
        if self.reform_at is not None:
            return [report]
        self.reform_at, self.breaks = now + REFORM, self.breaks + 1
        if self.breaks < BREAKS:
            return [report]
        lost = f"it lost the other ranks {BREAKS} times before the training came any further ({cause})"
        cure = "See whether the machines reach each other and have time to spare for the ranks."
        return [report, self._fail(rank, lost, cure)]

    def _replace(self, rank: Rank, cause: str, *, died: bool = True) -> list[Action]:
        """A rank has ended: start another one, with which the others go on; or exit behind the last one."""
        self.ranks.remove(rank)
        if self.draining:
            return [] if self.ranks else [Fail(SystemExit(143))]
        self.changed, self.deaths = True, self.deaths + died
        if died:  # which is why others lost it: deaths are counted by themselves
            self.breaks = 0
        facts = {"worker": rank.number, "nodes": [], "cause": cause, "name": rank.name}
        report = Report("worker", facts)
        if self.deaths < DEATHS:
            return [report, *self.fill(1)]
        lost = f"its process {cause}; so did {DEATHS - 1} others before the training came any further"
        return [report, self._fail(rank, lost, advice_on(cause))]

    def _fail(self, rank: Rank, cause: str, cure: str) -> Fail:
        step = f"after step {self.steps}"
        return Fail(NodeLost(cause, node=f"rank {rank.number}", step=step, cure=cure))
