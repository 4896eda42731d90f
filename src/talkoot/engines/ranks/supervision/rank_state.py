"""What a rank holds from one epoch to the next: survivors of a crash go on from here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from talkoot.core.engine import Progress
from talkoot.core.round import Outcome
from talkoot.core.run import NodeState
from talkoot.engines.gathering import Answer
from talkoot.learners.deep.trainer import Trainer


@final
@dataclass(slots=True, eq=False)
class RankState:
    """One rank's own part of a run.

    Args:
        settings: of the run, as its folder of checkpoints holds them; at the first rank.
        trainer: the live module of a plan that meets at every step.
        told: what such a plan has told of itself so far.
        progress: where a plan that meets in rounds stands.
        states: the states of the nodes that this rank hosts.
        said: a round and the answers of nodes in it, to be said again if the other ranks did not hear them.
    """

    settings: Mapping[str, str] | None = None
    trainer: Trainer | None = None
    told: tuple[Outcome, ...] = ()
    progress: Progress | None = None
    states: dict[str, NodeState] = field(default_factory=dict)
    said: tuple[tuple[int, str, tuple[int, ...]], dict[str, Answer]] | None = None

    def forget(self) -> None:
        """Begin another plan in rounds."""
        self.progress, self.states, self.said = None, {}, None
