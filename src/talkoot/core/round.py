"""One round: who takes part, what each node does before it, and what comes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from talkoot.core.context import Board, LocalWork, stream_rng
from talkoot.core.errors import TalkootError
from talkoot.core.update import Update

UPDATE = "update"  # the phase in which nodes work on their rows; transforms may hold others around it


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Meeting:
    """Who must arrive in a round, and by when.

    Args:
        sample: share of the nodes that take part, 0 < sample <= 1.
        quorum: nodes that must arrive for the round to count; None for all that take part, in which
            case the first failure ends the run.
        deadline: seconds until nodes that have not answered are given up; None for the engine's own.
        grace: once the quorum has arrived, the others are waited for this share of the time it took; they
            go on, and count in the round in which they arrive.
    """

    sample: float = 1.0
    quorum: int | None = None
    deadline: float | None = None
    grace: float | None = None


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One round of the nodes.

    Args:
        index: from 0.
        phase: UPDATE, or the name of a phase that a transform holds before or after it.
        cohort: the nodes that take part; filled in by the loop.
        dropped: indices of earlier rounds that did not count, so that nodes forget what they did in them.
        meeting: who must arrive, and by when.
        work: what a node does before it answers.
        board: what the phases of this round have brought so far.
        about: where a transform holds phases, a digest of the question and of what it is about; see
            `Plan.digest`.
    """

    index: int
    phase: str = UPDATE
    cohort: tuple[str, ...] = ()
    dropped: tuple[int, ...] = ()
    meeting: Meeting = field(default_factory=Meeting)
    work: LocalWork = field(default_factory=LocalWork)
    board: Board = field(default_factory=dict)
    about: str = ""

    def choose(self, nodes: Sequence[str], seed: int) -> tuple[str, ...]:
        """The nodes that take part: a function of (seed, index, nodes), in the nodes' order."""
        count = max(1, round(self.meeting.sample * len(nodes))) if nodes else 0
        if count >= len(nodes):
            return tuple(nodes)
        chosen = stream_rng(seed, "cohort", self.index).choice(len(nodes), count, replace=False)
        return tuple(nodes[i] for i in sorted(chosen))


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Merged:
    """What came of a round.

    Args:
        update: the sum of all that arrived, still encoded; empty where `each` is given.
        each: what arrived from each node, still encoded, for merges that need each.
        arrived: nodes whose update is in it, also one that was late in an earlier round.
        failed: nodes whose update is not, with the reason.
        seconds: how long each node worked.
    """

    update: Update = field(default_factory=Update)
    each: Mapping[str, Update] | None = None
    arrived: tuple[str, ...]
    failed: Mapping[str, TalkootError] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)


@final
@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """A finished round: who arrived, who failed and why, whether it counted.

    >>> Outcome(
    ...     round=Round(index=1, cohort=("a", "b")),
    ...     arrived=("a",),
    ...     failed={},
    ...     committed=True,
    ...     metrics={},
    ...     seconds=0.2,
    ... ).late
    ('b',)
    """

    round: Round
    arrived: tuple[str, ...]
    failed: Mapping[str, str]
    committed: bool
    metrics: Mapping[str, float]
    seconds: float

    @property
    def late(self) -> tuple[str, ...]:
        """Nodes that were still at work when the quorum was there and the grace had passed."""
        return tuple(n for n in self.round.cohort if n not in self.arrived and n not in self.failed)
