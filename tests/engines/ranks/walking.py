"""A learner with one large leaf, whose nodes differ."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx, stream_rng
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Add, Outer
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.data.tables.arrays import ArrayShard

SCHEMA = Schema(names=None, kinds=("number",), dtype=np.dtype(np.float64), rows=0, center=np.zeros(1))


@final
@dataclass(frozen=True, slots=True)
class Stride(Learner):
    """Walks halfway to a place of the node's own.

    Args:
        size: values of the large leaf.
        fails: the node that raises.
    """

    size: int
    fails: str = ""
    kind: ClassVar[Kind] = "averaged"

    def init(self, schema: Schema, rng: np.random.Generator) -> Mapping[str, np.ndarray]:
        """At the origin; a small leaf beside the large one."""
        del schema, rng
        return {"w": np.zeros((3, self.size // 3), np.float32), "b": np.zeros(3)}

    def work(self, model: Any, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Halfway."""
        if ctx.node == self.fails:
            raise RuntimeError("as scripted")
        goal = stream_rng(ctx.node).normal(size=model["w"].shape).astype(np.float32)
        values = {"w": (goal - model["w"]) / 2, "b": (goal[:, 0] - model["b"]) / 2}
        return Update(values=values, weight=float(sum(len(block) for block in shard.blocks()))), None

    def outer(self) -> Outer:
        """Add the mean."""
        return Add()

    def finish(self, model: Any) -> Any:
        """The place."""
        return model


def rows(nodes: int) -> tuple[Schema, dict[str, ArrayShard]]:
    """The schema, and nodes with more rows each."""
    names = [f"node{i}" for i in range(nodes)]
    return SCHEMA, {name: ArrayShard(name=name, X=np.ones((5 + i, 1))) for i, name in enumerate(names)}
