"""A query to every node: one round whose answers stay separate, by node."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.engine import Emit, Engine, ignore
from talkoot.core.learner import Kind, Learner
from talkoot.core.merge import Gather, Merge
from talkoot.core.outer import Outer, Solve
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update

Answer = Mapping[str, np.ndarray]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The nodes' answers by their names; None before the round."""

    nodes: Mapping[str, Answer] | None = None

    @property
    def done(self) -> bool:
        """Whether the round is over."""
        return self.nodes is not None


@dataclass(frozen=True, slots=True)
class Query(Learner):
    """A few numbers that every node computes from its own rows."""

    kind: ClassVar[Kind] = "exact"

    @abstractmethod
    def answer(self, shard: Shard) -> Answer:
        """On the node: named arrays; the names hold no slash."""

    def init(self, schema: Schema, rng: np.random.Generator) -> Answers:
        """No answers yet."""
        del schema, rng
        return Answers()

    def work(self, model: Answers, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """The node's answer."""
        del model, ctx
        return Update(values=self.answer(shard), weight=1.0), local

    def merge(self) -> Merge:
        """Answers stay separate."""
        return Gather()

    def outer(self) -> Outer:
        """One round."""
        return Solve(self.step)

    def step(self, model: Answers, update: Update) -> Answers:
        """Sort the answers by node."""
        del model
        return Answers(Gather.split(update))

    def finish(self, model: Answers) -> Any:
        """The answers."""
        return model.nodes

    def run(
        self, shards: Mapping[str, Shard], engine: Engine, schema: Schema, emit: Emit = ignore
    ) -> Mapping[str, Answer]:
        """Run it on all nodes; return their answers by name."""
        done = run(Plan(self), shards, engine, schema=schema, emit=emit)
        return dict(done.model.nodes)
