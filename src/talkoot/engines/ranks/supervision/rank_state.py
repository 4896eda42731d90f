"""What a rank keeps from one epoch to the next, so that survivors of a crash go on from there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import final

from talkoot.core.engine import Progress
from talkoot.core.round import Outcome
from talkoot.core.run import NodeState
from talkoot.engines.events import Answer
from talkoot.learners.deep.trainer import Trainer


@final
@dataclass(slots=True, eq=False)
class RankState:
    """One rank's part of a run."""

    # as the folder of checkpoints holds them; at the first rank only
    settings: Mapping[str, str] | None = None
    trainer: Trainer | None = None  # the live module of a plan that meets at every step
    history: tuple[Outcome, ...] = ()  # the reports of such a plan
    progress: Progress | None = None  # the progress of a plan that meets in rounds
    node_states: dict[str, NodeState] = field(default_factory=dict)  # of the nodes that this rank hosts
    # a round and its nodes' answers, to be sent again if the other ranks did not get them
    answers: tuple[tuple[int, str, tuple[int, ...]], dict[str, Answer]] | None = None

    def forget_rounds(self) -> None:
        """Begin another plan that meets in rounds."""
        self.progress, self.node_states, self.answers = None, {}, None
