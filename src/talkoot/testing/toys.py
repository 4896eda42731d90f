"""Small learners whose answers can be computed by hand, for tests of engines and loops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.learner import Kind, Learner, SolvingLearner
from talkoot.core.outer import Add, Outer
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Leaf, Update, total


@final
@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """The leaves that `Count` received; None before the round."""

    found: Mapping[str, Any] | None = None

    @property
    def done(self) -> bool:
        """Whether the round is over."""
        return self.found is not None


@final
@dataclass(frozen=True, slots=True)
class Count(SolvingLearner):
    """Exact, one round: number of rows; sum, minimum and maximum of each column."""

    kind: ClassVar[Kind] = "exact"
    closed: ClassVar[bool] = True
    question_types: ClassVar[tuple[type, ...]] = (Facts,)

    def init(self, schema: Schema, rng: np.random.Generator) -> Facts:
        """Nothing received."""
        return Facts()

    def work(self, model: Facts, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """One update a block, merged."""
        return total(_facts(np.asarray(block.X)) for block in shard.blocks() if len(block)), local

    def step(self, model: Facts, update: Update) -> Facts:
        """The merged leaves."""
        return Facts(dict(update.values))

    def finish(self, model: Facts) -> Mapping[str, Any]:
        """The leaves by name."""
        return model.found or {}


def _facts(X: np.ndarray) -> Update:
    values = {
        "rows": np.array([float(len(X))]),
        "sum": X.sum(axis=0),
        "low": X.min(axis=0),
        "high": X.max(axis=0),
    }
    return Update(values=values, weight=float(len(X)), kinds={"low": Leaf.MIN, "high": Leaf.MAX})


@final
@dataclass(frozen=True, slots=True)
class Walk(Learner):
    """Averaged: each node moves from the model halfway to the mean of its rows, and counts its rounds.

    The count is local state and appears in the update as ``rounds``, so that tests see whether a node's
    local state survived, was repeated or dropped.
    """

    kind: ClassVar[Kind] = "averaged"

    def init(self, schema: Schema, rng: np.random.Generator) -> Mapping[str, np.ndarray]:
        """Zeros."""
        return {"at": np.zeros(schema.features), "rounds": np.zeros(1)}

    def work(
        self, model: Mapping[str, np.ndarray], local: int | None, shard: Shard, ctx: Ctx
    ) -> tuple[Update, int]:
        """Half the way to the mean, and one round more."""
        count = (local or 0) + 1
        seen = total(_facts(np.asarray(block.X)) for block in shard.blocks() if len(block))
        if not seen.weight:
            return Update(), count
        mean = seen.values["sum"] / seen.weight
        values = {"at": (mean - model["at"]) / 2, "rounds": np.array([float(count)]) - model["rounds"]}
        return Update(values=values, weight=seen.weight), count

    def outer(self) -> Outer:
        """Federated averaging."""
        return Add()

    def finish(self, model: Mapping[str, np.ndarray]) -> Mapping[str, np.ndarray]:
        """The parameters."""
        return model
