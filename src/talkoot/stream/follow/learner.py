"""Following a stream as a learner of the core: work is the next rows, and each of them counts once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx, stream_rng
from talkoot.core.learner import Kind, SolvingLearner
from talkoot.core.merge import Gather, Merge
from talkoot.core.shard import Schema, Shard
from talkoot.core.sync import Sync, every
from talkoot.core.update import Update
from talkoot.learners.online.state import State
from talkoot.stream.follow.model import Following, advanced
from talkoot.stream.follow.node import SHARED, FollowNode
from talkoot.stream.follow.question import Question, Report, answered, by_node
from talkoot.stream.follow.rules import Rules
from talkoot.stream.follow.scores.course import longer
from talkoot.stream.follow.scores.score import measured
from talkoot.stream.follow.shard import StreamShard
from talkoot.stream.follow.windows import require_apart

ROWS = 10_000  # between two meetings


@final
@dataclass(frozen=True, slots=True)
class Follower(SolvingLearner):
    """An online model that follows a stream.

    Args:
        rules: how.
        nodes: the nodes.
        seed: the random numbers of the model follow from it.
    """

    rules: Rules
    nodes: tuple[str, ...]
    seed: int = 0
    follows: ClassVar[bool] = True
    reads: ClassVar[type[Shard]] = StreamShard

    @property
    def kind(self) -> Kind:
        """Whether nodes share a model, or have one each."""
        return "averaged" if self.rules.adds or len(self.nodes) == 1 else "bagged"

    @property
    def name(self) -> str:
        """The name of the model."""
        return type(self.rules.model).__name__

    def init(self, schema: Schema, rng: np.random.Generator) -> Following:
        """A model that has seen no row."""
        names = (SHARED,) if self.rules.adds else self.nodes
        return Following(
            states={name: self._start(name) for name in names},
            reports={node: Report() for node in self.nodes},
            labels=() if self.rules.late is None else self.rules.late.first,
        )

    def _start(self, name: str) -> State:
        one = self.rules.adds or len(self.nodes) == 1
        seed = self.seed if one else int(stream_rng(self.seed, name).integers(1 << 62))
        return self.rules.model.start(self.rules.layout(0), seed)

    def question(self, model: Following) -> Question:
        """The states, and which answers were counted."""
        return model.question(self.seed)

    def work(
        self, question: Question, local: FollowNode | None, shard: Shard, ctx: Ctx
    ) -> tuple[Update, FollowNode]:
        """The next rows of a node, or the answer that was not counted yet."""
        if local is None or not local.usable:
            if local is not None:
                local.close()
            local = FollowNode(_plain(shard), self.rules)
        return local.answer(question, ctx.work, shard.reading), local

    def carries(self, local: FollowNode) -> bool:
        """Nothing that is not stored."""
        return False

    def portable(self, local: FollowNode) -> None:
        """None: another worker opens the node's store."""

    def merge(self) -> Merge:
        """Answers stay apart, as each is counted for its node."""
        return Gather()

    def sync(self) -> Sync:
        """A meeting every so many rows."""
        return every(rows=ROWS)

    def step(self, model: Following, update: Update) -> Following:
        """Count answers."""
        answers = {node: answered(values) for node, values in by_node(update).items()}
        after = advanced(model, answers, self.rules.model, adds=self.rules.adds)
        require_apart(report.keys for report in after.reports.values())
        return longer(after, self.rules)

    def measures(self, model: Following) -> Mapping[str, float]:
        """Rows so far, and how good predictions were before their rows were learned."""
        return measured(model, self.rules)

    def finish(self, model: Following) -> Following:
        """The model as it is; `Snapshot` predicts with it."""
        return model


def _plain(shard: Any) -> StreamShard:
    """The shard itself, which an engine may have wrapped."""
    return StreamShard(**{each.name: getattr(shard, each.name) for each in fields(StreamShard)})
