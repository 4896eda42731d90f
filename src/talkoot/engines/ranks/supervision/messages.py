"""The messages between a coordinator and its ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

from talkoot.core.engine import Run
from talkoot.core.errors import TalkootError

DRAIN = "drain"  # to a rank: finish the step, save, and stop
DISMISS = "dismiss"  # to a rank: there are no more epochs


@final
@dataclass(frozen=True, slots=True)
class EnterEpoch:
    """To a rank: take part in this epoch."""

    epoch: int
    rank: int
    world: int
    address: tuple[str, int]  # of the store
    drain: bool  # and save and stop after a step


@final
@dataclass(frozen=True, slots=True)
class RunEvent:
    """An event of the run, for `emit`."""

    event: str
    facts: Mapping[str, Any]


@final
@dataclass(frozen=True, slots=True)
class EpochBroken:
    """Another rank of this epoch is gone."""

    epoch: int
    cause: str


@final
@dataclass(frozen=True, slots=True)
class RankStopped:
    """The rank stopped after a step, together with all others."""

    step: int  # the last step done
    terminated: bool  # this rank got SIGTERM


@final
@dataclass(frozen=True, slots=True)
class RankError:
    """The rank raised; the others are to stop."""

    error: TalkootError


@final
@dataclass(frozen=True, slots=True, eq=False)
class RankDone:
    """The run is over; the first rank sends its result."""

    epoch: int
    run: Run | None
