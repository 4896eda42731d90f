"""A learner whose nodes write down each time they work, and wait where a test says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np

from patience import soon
from talkoot.core.context import Ctx
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Add, Outer
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update


@final
@dataclass(frozen=True, slots=True)
class Paced(Learner):
    """Nodes send how often they have worked in this run, so lost state and work done twice both show.

    Args:
        folder: where nodes leave word, and where a file `hold-NODE-ROUND` makes them wait.
        size: numbers that each sends.
    """

    folder: str
    size: int = 1
    kind: ClassVar[Kind] = "averaged"

    def init(self, schema: Schema, rng: np.random.Generator) -> Any:
        del schema, rng
        return {"sum": np.zeros(self.size)}

    def work(self, model: Any, local: int | None, shard: Shard, ctx: Ctx) -> tuple[Update, int]:
        with (Path(self.folder) / f"{ctx.node}.log").open("a") as log:
            log.write(f"{ctx.round}\n")
        hold = Path(self.folder) / f"hold-{ctx.node}-{ctx.round}"
        assert soon(lambda: not hold.exists())
        times = (local or 0) + 1
        return Update(values={"sum": np.full(self.size, float(times))}, weight=1.0), times

    def outer(self) -> Outer:
        return Add()

    def finish(self, model: Any) -> Any:
        return model["sum"]


def worked(folder: Path, node: str) -> list[int]:
    """The rounds in which a node has begun to work."""
    log = folder / f"{node}.log"
    return [int(line) for line in log.read_text().split()] if log.exists() else []


@final
@dataclass(frozen=True, slots=True)
class Leaking(Learner):
    """One node raises an error that holds values of its rows."""

    node: str
    kind: ClassVar[Kind] = "averaged"

    def init(self, schema: Schema, rng: np.random.Generator) -> Any:
        del schema, rng
        return {"sum": np.zeros(1)}

    def work(self, model: Any, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        if ctx.node == self.node:
            raise ValueError(f"canary {next(iter(shard.blocks())).X[0]}")
        return Update(values={"sum": np.ones(1)}, weight=1.0), None

    def outer(self) -> Outer:
        return Add()

    def finish(self, model: Any) -> Any:
        return model["sum"]
