"""One round in which every node reports facts about its data, gathered by the node's name."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.errors import TalkootError
from talkoot.core.learner import Kind, Learner
from talkoot.core.merge import Gather, Merge
from talkoot.core.outer import Outer, Solve
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.data.tables.source import Source

Report = Mapping[str, np.ndarray]  # the leaves that a node sent


@final
@dataclass(frozen=True, slots=True)
class Reports:
    """The report of each node that has rows, by the node's name; None before the round."""

    nodes: Mapping[str, Report] | None = None

    @property
    def done(self) -> bool:
        """Whether the nodes have reported."""
        return self.nodes is not None


class Reporter(Learner):
    """A learner of one round whose model is what each node reports.

    Class attributes:
        step_name: what errors call the round.
    """

    kind: ClassVar[Kind] = "exact"
    step_name: ClassVar[str]

    @abstractmethod
    def report(self, shard: Source) -> Update:
        """The report of one node; empty without rows."""

    def init(self, schema: Schema, rng: np.random.Generator) -> Reports:
        """No reports yet."""
        return Reports()

    def question(self, model: Reports) -> None:
        """The plan says all."""
        del model

    def work(self, model: None, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Report on the node's rows."""
        assert isinstance(shard, Source), "reports read sources, not shards that were changed"
        try:
            return self.report(shard), None
        except TalkootError as error:
            raise error.at(step=self.step_name) from error

    def merge(self) -> Merge:
        """Updates stay separate, so that nodes can be compared and named."""
        return Gather()

    def outer(self) -> Outer:
        """One round."""
        return Solve(self.step)

    def step(self, model: Reports, update: Update) -> Reports:
        """Sort the leaves by node."""
        return Reports(Gather.split(update))

    def finish(self, model: Reports) -> Mapping[str, Report]:
        """The reports by the node's name."""
        return model.nodes or {}
