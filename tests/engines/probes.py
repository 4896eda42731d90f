"""A learner that asks nodes anything."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.engine import Engine
from talkoot.core.learner import Kind, Learner
from talkoot.core.merge import Gather, Merge
from talkoot.core.outer import Outer, Solve
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.data.tables.arrays import ArrayShard

SCHEMA = Schema(names=None, kinds=("number",) * 2, dtype=np.dtype(np.float64), rows=0, center=np.zeros(2))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What the nodes said, once they have."""

    nodes: Mapping[str, Mapping[str, Any]] | None = None
    ballast: Any = None

    @property
    def done(self) -> bool:
        """Whether the nodes were asked."""
        return self.nodes is not None


@final
@dataclass(frozen=True, slots=True)
class Probe(Learner):
    """Asks every node once.

    Args:
        read: called with (model, shard, ctx) at the node; its answer is the update's leaves.
        ballast: travels with the model.
    """

    read: Callable[[Said, Shard, Ctx], Mapping[str, Any]]
    ballast: Any = None
    kind: ClassVar[Kind] = "bagged"

    def init(self, schema: Schema, rng: np.random.Generator) -> Said:
        """Nothing is known."""
        return Said(ballast=self.ballast)

    def work(self, model: Said, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Ask."""
        return Update(values=self.read(model, shard, ctx), weight=1.0), None

    def merge(self) -> Merge:
        """Kept apart."""
        return Gather()

    def outer(self) -> Outer:
        """One round."""
        return Solve(self.step)

    def step(self, model: Said, update: Update) -> Said:
        """Sort by node."""
        return Said(Gather.split(update))

    def finish(self, model: Said) -> Mapping[str, Mapping[str, Any]]:
        """What each node said."""
        return model.nodes or {}


def nodes(count: int, rows: int = 10) -> dict[str, ArrayShard]:
    """Nodes a, b, c... with random rows of two columns."""
    X = np.random.default_rng(1).normal(size=(count, rows, 2))
    return {chr(97 + i): ArrayShard(name=chr(97 + i), X=X[i]) for i in range(count)}


def ask(
    engine: Engine,
    read: Callable[[Said, Shard, Ctx], Mapping[str, Any]],
    shards: Mapping[str, Shard] | None = None,
    ballast: Any = None,
) -> Any:
    """What nodes answer, by the node's name."""
    learner = Probe(read, ballast)
    done = run(Plan(learner), nodes(2) if shards is None else shards, engine, schema=SCHEMA)
    return learner.finish(done.model)
