"""Nodes of different pace, that tell through files of a folder where they are, and wait there."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Add, Outer
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.data.tables.arrays import ArrayShard

GOALS = {"a": 1.0, "b": 2.0, "c": 8.0, "d": -4.0}
ROWS = {"a": 10, "b": 20, "c": 30, "d": 40}
SCHEMA = Schema(names=None, kinds=("number",), dtype=np.dtype(np.float64), rows=0, center=np.zeros(1))
Step = tuple[str, int]  # a node and a round


def sites(names: str, rows: Mapping[str, int] = ROWS) -> dict[str, ArrayShard]:
    """A node for each letter."""
    return {name: ArrayShard(name=name, X=np.ones((rows[name], 1))) for name in names}


@final
@dataclass(frozen=True, slots=True)
class Paced(Learner):
    """Walks halfway to the node's goal, once it may, and then writes "<node><round>".

    Args:
        folder: where the files are.
        waits: for which file, and how many seconds on top of that.
        raises: when it fails instead.
        pace: seconds that every step takes.
    """

    folder: str
    waits: Mapping[Step, tuple[str, float]] = field(default_factory=dict)
    raises: tuple[Step, ...] = ()
    pace: float = 0.0
    kind: ClassVar[Kind] = "averaged"

    def init(self, schema: Schema, rng: np.random.Generator) -> Any:
        """At the origin."""
        return {"at": np.zeros(1)}

    def work(self, model: Any, local: int | None, shard: Shard, ctx: Ctx) -> tuple[Update, int]:
        """Say who is at work, wait, and walk."""
        write(self.folder, f"{ctx.node}.pid")
        time.sleep(self.pace)
        name, seconds = self.waits.get((ctx.node, ctx.round), ("", 0.0))
        while name and not Path(self.folder, name).exists():
            time.sleep(0.01)
        time.sleep(seconds)
        if (ctx.node, ctx.round) in self.raises:
            raise RuntimeError("as scripted")
        write(self.folder, f"{ctx.node}{ctx.round}")
        count = (local or 0) + 1
        values = {"at": (GOALS[ctx.node] - model["at"]) / 2, "count": np.array([float(count)])}
        return Update(values=values, weight=float(sum(len(block) for block in shard.blocks()))), count

    def outer(self) -> Outer:
        """Add the mean."""
        return Add()

    def finish(self, model: Any) -> Any:
        """The place."""
        return model["at"]


def write(folder: str, name: str) -> None:
    """Let others see a file, whole from the start."""
    new = Path(folder, f".{name}.{os.getpid()}")
    new.write_text(str(os.getpid()))
    new.rename(Path(folder, name))


def step(at: np.ndarray, **asked_at: np.ndarray) -> np.ndarray:
    """The next place, by hand: each node's difference from where it was asked, weighted by its rows."""
    said = [(ROWS[node], (GOALS[node] - old) / 2) for node, old in asked_at.items()]
    moved: np.ndarray = at + sum(rows * way for rows, way in said) / sum(rows for rows, _ in said)
    return moved
