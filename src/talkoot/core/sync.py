"""When nodes meet: the rounds of a run."""

from __future__ import annotations

import re
import warnings
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, final, overload

from talkoot.core.context import LocalWork
from talkoot.core.errors import PlanError
from talkoot.core.round import Meeting, Outcome, Round


class Sync(ABC):
    """Says when the nodes meet next."""

    gradient: ClassVar[bool] = False  # nodes meet at every step and send gradients

    @property
    @abstractmethod
    def ends(self) -> bool:
        """Whether the meetings come to an end by themselves."""

    @property
    def meeting(self) -> Meeting:
        """Who must arrive in its rounds, and by when."""
        return Meeting()

    @abstractmethod
    def next(self, last: Outcome | None) -> Round | None:
        """The round after `last` (None: the first one), or None when the run is over."""


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Rounds(Sync):
    """Rounds one after the other; see `rounds` and `every`."""

    limit: int | None = None
    sample: float = 1.0
    quorum: int | None = None
    deadline: float | None = None
    steps: int | None = None
    seconds: float | None = None
    rows: int | None = None
    delay: int = 0
    fragments: int = 1
    grace: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.sample <= 1:
            raise PlanError(f"sample={self.sample} asks no nodes", cure="Take a share 0 < sample <= 1.")
        for name in ("limit", "quorum", "deadline", "steps", "seconds", "rows", "fragments"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise PlanError(f"{name}={value} must be positive")
        if self.grace is not None and self.grace < 0:
            raise PlanError(f"grace={self.grace} must not be negative")
        between = None if self.steps is None else self.steps // self.fragments
        if between == 0:
            raise PlanError(
                f"{self.fragments} fragments cannot take turns within {self.steps} steps",
                cure="Take fragments <= steps.",
            )
        if self.delay < 0 or (between is not None and self.delay >= between):
            raise PlanError(
                f"delay={self.delay} does not fit between meetings {between} steps apart",
                cure="Take 0 <= delay < steps / fragments.",
            )
        if self.grace is not None and self.quorum is None:
            raise PlanError("grace= waits for those behind a quorum, and there is none", cure="Set quorum=.")
        if self.grace is not None and self.fragments > 1:
            raise PlanError(
                "who is late would bring another fragment than that of the round in which it arrives",
                cure="Leave out grace= or fragments=.",
            )

    @property
    def ends(self) -> bool:
        """Whether there is a limit."""
        return self.limit is not None

    @property
    def meeting(self) -> Meeting:
        """The same in every round."""
        return Meeting(sample=self.sample, quorum=self.quorum, deadline=self.deadline, grace=self.grace)

    def next(self, last: Outcome | None) -> Round | None:
        """The round after `last`, until the limit."""
        index = 0 if last is None else last.round.index + 1
        if self.limit is not None and index >= self.limit:
            return None
        return Round(
            index=index,
            dropped=_dropped(last),
            meeting=self.meeting,
            work=LocalWork(
                steps=None if self.steps is None else self.steps // self.fragments,
                seconds=self.seconds,
                rows=self.rows,
                delay=self.delay,
                fragments=self.fragments,
            ),
        )


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class EveryStep(Sync):
    """A meeting at each step; see `every_step`."""

    sharded: bool = False
    deadline: float | None = None
    gradient: ClassVar[bool] = True

    @property
    def ends(self) -> bool:
        """Never by itself: the learner knows how many steps it takes."""
        return False

    @property
    def meeting(self) -> Meeting:
        """All, at every step."""
        return Meeting(deadline=self.deadline)

    def next(self, last: Outcome | None) -> Round:
        """The next step."""
        return Round(
            index=0 if last is None else last.round.index + 1,
            dropped=_dropped(last),
            meeting=self.meeting,
            work=LocalWork(gradient=True),
        )


def _dropped(last: Outcome | None) -> tuple[int, ...]:
    """The rounds in a row, up to `last`, that did not count."""
    if last is None:
        return ()
    return last.round.dropped if last.committed else (*last.round.dropped, last.round.index)


def rounds(
    limit: int | None = None,
    *,
    sample: float = 1.0,
    quorum: int | None = None,
    deadline: float | str | None = None,
) -> Rounds:
    """Meet `limit` times, or until the learner has converged.

    Args:
        limit: number of rounds; None to go on until the outer step is done.
        sample: share of the nodes that take part in each round.
        quorum: nodes that must arrive for a round to count; None for all.
        deadline: seconds a round may take, or text such as ``"10m"``.

    The answer of an exact learner needs the rows of every node. For these, `sample` below 1 is refused, a
    `limit` that comes before the answer is an error, and `quorum` means that a round is held again, up to
    three times, while a node fails; without it the first failure ends the run.

    Raises:
        PlanError: a value that makes no sense.

    >>> rounds(200, sample=0.5, quorum=8, deadline="10m").deadline
    600.0
    """
    return Rounds(limit=limit, sample=sample, quorum=quorum, deadline=duration(deadline))


def every(
    *,
    steps: int | None = None,
    seconds: float | None = None,
    rows: int | None = None,
    rounds: int | None = None,
    delay: int = 0,
    fragments: int = 1,
    quorum: int | None = None,
    grace: float | None = None,
) -> Rounds:
    """Meet whenever each node has done `steps` steps, worked for `seconds`, or read `rows` of a stream.

    Args:
        steps: inner steps between two meetings.
        seconds: time between two meetings.
        rows: rows of a stream that each node reads between two meetings; see `follow`.
        rounds: number of meetings; None to go on until the learner is done.
        delay: inner steps that nodes go on with while their updates are on their way, so that a slow
            network costs no time (delay < steps / fragments).
        fragments: exchange the model in that many parts, one after the other, `steps` / `fragments`
            steps apart: the same bytes, in smaller bursts. Source: Streaming DiLoCo, arXiv:2501.18512.
        quorum: nodes that must arrive for a round to count; None for all.
        grace: once the quorum has arrived, wait for the others this share of the time that it took. Who is
            late goes on, gets no other request meanwhile, and counts in the round in which it arrives, with
            its difference from the older model that it started from; with 0 nobody is waited for. Without
            it the round waits for all, up to its deadline. Ranks wait for each other all the same. Source:
            Decoupled DiLoCo, arXiv:2604.21428.

    Raises:
        PlanError: none or several of steps, seconds and rows, or values that make no sense.

    >>> every(steps=100, delay=5).delay
    5
    """
    if [steps, seconds, rows].count(None) != 2:
        raise PlanError("every() takes one of steps=, seconds= and rows=")
    if steps == 1:
        warnings.warn(
            "every(steps=1) averages the differences of one step, which is not averaging gradients; "
            "every_step() is",
            UserWarning,
            stacklevel=2,
        )
    return Rounds(
        limit=rounds,
        steps=steps,
        seconds=seconds,
        rows=rows,
        delay=delay,
        fragments=fragments,
        quorum=quorum,
        grace=grace,
    )


def every_step(*, sharded: bool = False, deadline: float | str | None = None) -> EveryStep:
    """Meet at every step: nodes add their gradients, as one machine with all samples of the batch would.

    Args:
        sharded: each node keeps a part of the parameters and of the optimizer's state, for models that
            do not fit one of them (FSDP). Otherwise each keeps all (DDP).
        deadline: seconds a step may take, or text such as ``"2m"``; None for the engine's own.

    >>> every_step(sharded=True)
    EveryStep(sharded=True, deadline=None)
    """
    return EveryStep(sharded=sharded, deadline=duration(deadline))


@overload
def duration(text: float | str) -> float: ...


@overload
def duration(text: float | str | None) -> float | None: ...


def duration(text: float | str | None) -> float | None:
    """Seconds, also of text such as "10m" or "30d".

    Raises:
        PlanError: other text.

    >>> duration("2h"), duration(7)
    (7200.0, 7)
    """
    if not isinstance(text, str):
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhd])\s*", text)
    if match is None:
        raise PlanError(
            f"{text!r} is not a time", cure='Write seconds, or text such as "30s", "10m", "2h", "7d".'
        )
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[match[2]]
