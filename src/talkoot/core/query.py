"""A query: what every node answers once from its own rows, such as its columns or its scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.engine import Emit, Engine, ignore
from talkoot.core.errors import TalkootError
from talkoot.core.learner import Kind, SolvingLearner
from talkoot.core.merge import Gather, Merge
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.shard import UNKNOWN, Schema, Shard
from talkoot.core.update import Update

Answer = Mapping[str, Any]  # arrays by name; a node's answers may be of any size


@final
@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The answers by node; None before the round. `about` is what is asked about, such as fitted models."""

    nodes: Mapping[str, Answer] | None = None
    about: Any = None

    @property
    def done(self) -> bool:
        """Whether the round was held."""
        return self.nodes is not None


@dataclass(frozen=True, slots=True)
class Query(SolvingLearner):
    """What every node answers from its rows, in one round; the answers stay apart.

    Class attributes:
        step_name: what errors call the round.

    >>> import talkoot as tk
    >>> class Rows(Query):
    ...     def answer(self, shard):
    ...         return {"rows": np.array([sum(map(len, shard.blocks()))])}
    >>> data = tk.shards({"here": np.eye(3), "there": np.eye(2)})
    >>> {node: int(answer["rows"][0]) for node, answer in Rows().run(data, tk.Inline()).items()}
    {'here': 3, 'there': 2}
    """

    kind: ClassVar[Kind] = "exact"
    step_name: ClassVar[str | None] = None

    @abstractmethod
    def answer(self, shard: Shard) -> Answer:
        """At the node: named arrays, without a slash in the names. Without any the node is left out."""

    def init(self, schema: Schema, rng: np.random.Generator) -> Answers:
        """No answers yet."""
        return Answers()

    def answer_about(self, question: Any, shard: Shard, schema: Schema) -> Answer:
        """As `answer`, where something is asked about that no plan holds, such as fitted models."""
        del question, schema
        return self.answer(shard)

    def question(self, model: Answers) -> Any:
        """What is asked about; mostly None, as the plan says all."""
        return model.about

    def work(self, question: Any, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """The node's answer."""
        try:
            found = self.answer(shard) if question is None else self.answer_about(question, shard, ctx.schema)
            return Update(values=found, weight=1.0), local
        except TalkootError as error:
            raise error.at(step=self.step_name) from error

    def merge(self) -> Merge:
        """Answers stay apart."""
        return Gather()

    def step(self, model: Answers, update: Update) -> Answers:
        """The answers by node."""
        return Answers(Gather.split(update))

    def finish(self, model: Answers) -> Mapping[str, Any]:
        """The answers by node."""
        return dict(model.nodes or {})

    def run(
        self, shards: Mapping[str, Shard], engine: Engine, schema: Schema = UNKNOWN, emit: Emit = ignore
    ) -> Mapping[str, Any]:
        """Hold the round on all nodes; returns what `finish` makes of the answers."""
        return self.finish(run(Plan(self), shards, engine, schema=schema, emit=emit).model)
