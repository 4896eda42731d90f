"""The events of a gathering, the actions that it decides on, and the places of workers.

None changes once it is made. They are not frozen, as that takes thrice as long for every node of every round.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

from talkoot.core.errors import TalkootError
from talkoot.core.run import NodeState
from talkoot.core.update import Update


@final
@dataclass(slots=True, kw_only=True, eq=False)
class Answer:
    """What some nodes answer in a round."""

    nodes: tuple[str, ...] = ()  # whose update is in it
    update: Update | None = None  # the sum of those
    failed: Mapping[str, TalkootError] = field(default_factory=dict)  # nodes that raised, and what
    states: Mapping[str, NodeState] = field(default_factory=dict)  # where another worker would need them
    seconds: Mapping[str, float] = field(default_factory=dict)  # how long each node worked
    restarted: tuple[str, ...] = ()  # nodes without a state that they had before this round and that mattered


def together(answers: Iterable[Answer]) -> Answer:
    """One answer for several nodes, added in their order; the first failure ends it, since all are needed."""
    parts: list[Answer] = []
    update = Update()
    for answer in answers:
        if answer.failed:
            return answer
        update = update + (answer.update or Update())
        parts.append(replace(answer, update=None))
    return Answer(
        nodes=tuple(node for part in parts for node in part.nodes),
        update=update,
        states={node: state for part in parts for node, state in part.states.items()},
        seconds={node: took for part in parts for node, took in part.seconds.items()},
        restarted=tuple(node for part in parts for node in part.restarted),
    )


@final
@dataclass(slots=True, eq=False)
class Slot:
    """A place for one worker, with the nodes that it works for."""

    number: int
    nodes: frozenset[str]
    requested: tuple[str, ...] = ()  # the nodes of its last request, in order
    pending: dict[str, None] = field(default_factory=dict)  # those of them that have not answered
    round: int = -1  # the round of that request
    beats: int = 0  # the last sign of life
    seen: float = 0.0  # when it was looked at last
    quiet: float = 0.0  # seconds without a sign of life
    deaths: int = 0  # of its workers in this round
    suspects: dict[str, None] = field(default_factory=dict)  # nodes at which its workers died


@final
@dataclass(slots=True)
class Answered:
    """A worker answered."""

    slot: Slot
    answer: Answer


@final
@dataclass(slots=True)
class Died:
    """A worker is gone: at which node, how, and what to do about it."""

    slot: Slot
    running: str | None
    cause: str
    cure: str


@final
@dataclass(slots=True)
class Blocked:
    """A worker does not read, or stopped in the middle of an answer."""

    slot: Slot
    running: str | None = None


@final
@dataclass(slots=True)
class Seen:
    """A look at a worker that has not answered: its sign of life, and the node that it is at."""

    slot: Slot
    beats: int
    running: str | None


Event = Answered | Died | Blocked | Seen


@final
@dataclass(slots=True)
class Request:
    """Have a worker do the round for these nodes."""

    slot: Slot
    nodes: tuple[str, ...]


@final
@dataclass(slots=True)
class Stop:
    """End a worker: nothing that it may still answer is wanted."""

    slot: Slot


@final
@dataclass(slots=True)
class Report:
    """An event for the log."""

    event: str
    facts: Mapping[str, Any]


Action = Request | Stop | Report
