"""Learners that fail as scripted, on a node and in a round of one's choice."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Add, Outer
from talkoot.core.round import Outcome, Round
from talkoot.core.shard import Schema, Shard
from talkoot.core.sync import Rounds, Sync
from talkoot.core.update import Update
from talkoot.data.tables.arrays import ArrayShard

SCHEMA = Schema(names=None, kinds=("number",) * 3, dtype=np.dtype(np.float64), rows=0, center=np.zeros(3))


def sites(count: int, rows: int = 50) -> dict[str, ArrayShard]:
    """Named nodes with random rows."""
    X = np.random.default_rng(5).normal(size=(count, rows, 3))
    return {f"site{i}": ArrayShard(name=f"site{i}", X=X[i]) for i in range(count)}


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Hurried(Sync):
    """Rounds, one of which has a deadline; in the others, where workers start, a machine takes its time.

    Args:
        hurried: the index of that round.
        deadline: its seconds.
        limit: the number of rounds.
        quorum, grace: as in `Rounds`.
    """

    hurried: int
    deadline: float
    limit: int
    quorum: int | None = None
    grace: float | None = None
    ends: ClassVar[bool] = True

    def next(self, last: Outcome | None) -> Round | None:
        """The next round, with or without the deadline."""
        index = 0 if last is None else last.round.index + 1
        hurry = self.deadline if index == self.hurried else None
        rounds = Rounds(limit=self.limit, quorum=self.quorum, grace=self.grace, deadline=hurry)
        return rounds.next(last)


class Odd(Exception):
    """An exception that does not pickle."""

    def __init__(self, one: str, two: str) -> None:
        super().__init__(one + two)
        self.hook = lambda: two
        self.lock = threading.Lock()


def segfault() -> None:
    """Read from address 0."""
    ctypes.string_at(0)


def refuse() -> None:
    """What a learner says of rows that it cannot use."""
    raise DataError("12 rows hold text", column="age", cure="Encode it first.")


def odd() -> None:
    """Raise what cannot be sent."""
    raise Odd("odd ", "one")


def environ() -> None:
    """Raise what an environment variable holds."""
    raise KeyError(f"the environment is {os.environ.get('TALKOOT_TEST')!r}")


ACTIONS: Mapping[str, Callable[[], Any]] = {
    "raise": lambda: [][1],
    "refuse": refuse,
    "odd": odd,
    "environ": environ,
    "sys.exit": lambda: sys.exit(3),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "stop": lambda: os.kill(os.getpid(), signal.SIGSTOP),
    "exit": lambda: os._exit(3),
    "segfault": segfault,
    "sleep": lambda: time.sleep(3600),
    "hold": lambda: ctypes.PyDLL(None).sleep(3600),  # without letting go of the interpreter lock
}


@final
@dataclass(frozen=True, slots=True)
class Faulty(Learner):
    """Sums rows, and counts at the node the rounds that it has done; fails as scripted.

    Args:
        action: one of `ACTIONS`, or "" to do no harm.
        nodes: where.
        rounds: when; in all rounds if empty.
        marker: a path; the action is taken only where "marker.node" is not there yet, and leaves it there.
    """

    action: str = ""
    nodes: tuple[str, ...] = ()
    rounds: tuple[int, ...] = ()
    marker: str = ""
    kind: ClassVar[Kind] = "averaged"

    def init(self, schema: Schema, rng: np.random.Generator) -> Any:
        """Zeros."""
        return {"sum": np.zeros(schema.features), "count": np.zeros(1), "pid": np.zeros(1)}

    def work(self, model: Any, local: int | None, shard: Shard, ctx: Ctx) -> tuple[Update, int]:
        """Read the rows, and fail behind the first block if it is time to."""
        total = model["sum"] * 0.125
        for block in shard.blocks():
            total = total + block.X.sum(axis=0)
            if ctx.node in self.nodes and (not self.rounds or ctx.round in self.rounds):
                self.act(ctx.node)
        count = (local or 0) + 1
        values = {"sum": total, "count": np.array([float(count)]), "pid": np.array([float(os.getpid())])}
        return Update(values=values, weight=1.0), count

    def act(self, node: str) -> None:
        """Fail, if it is not done yet."""
        if self.marker:
            try:
                os.close(os.open(f"{self.marker}.{node}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return
        ACTIONS[self.action]()

    def outer(self) -> Outer:
        """Add up."""
        return Add()

    def finish(self, model: Any) -> Any:
        """The sums."""
        return model


@final
@dataclass(frozen=True, slots=True)
class Twofold(Learner):
    """Does what `first` does; `second` adds its fault before."""

    first: Faulty
    second: Faulty
    kind: ClassVar[Kind] = "averaged"

    def init(self, schema: Schema, rng: np.random.Generator) -> Any:
        """As the first."""
        return self.first.init(schema, rng)

    def work(self, model: Any, local: int | None, shard: Shard, ctx: Ctx) -> tuple[Update, int]:
        """The second's fault, then the first's answer."""
        self.second.work(model, local, shard, ctx)
        return self.first.work(model, local, shard, ctx)

    def outer(self) -> Outer:
        """As the first."""
        return self.first.outer()

    def finish(self, model: Any) -> Any:
        """As the first."""
        return model
