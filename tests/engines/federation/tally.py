"""A learner whose answer shows each round that was lost, and each that was counted twice."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Add, Outer
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update


@final
@dataclass(frozen=True, slots=True)
class Tally(Learner):
    """Each node sends its own number times how often it has worked in this run."""

    kind: ClassVar[Kind] = "averaged"

    def init(self, schema: Schema, rng: np.random.Generator) -> Any:
        del schema, rng
        return {"sum": np.zeros(1)}

    def work(self, model: Any, local: int | None, shard: Shard, ctx: Ctx) -> tuple[Update, int]:
        del model, ctx
        times, own = (local or 0) + 1, float(next(iter(shard.blocks())).X[0, 0])
        return Update(values={"sum": np.array([times * own])}, weight=1.0), times

    def outer(self) -> Outer:
        return Add()

    def finish(self, model: Any) -> Any:
        return model["sum"]


def tallied(arrived: Iterable[Sequence[str]], own: Mapping[str, float], *, exact: bool) -> float:
    """The answer when these nodes arrived in the rounds that counted, to the last bit.

    Args:
        arrived: the nodes of each round, in their order.
        own: the number of each node.
        exact: whether sums are rounded once, as in fixed point; else after each addition.
    """
    times, total = Counter[str](), 0.0
    for nodes in arrived:
        times.update(nodes)
        parts = [times[node] * own[node] for node in nodes]
        total += math.fsum(parts) if exact else sum(parts)
    return total
