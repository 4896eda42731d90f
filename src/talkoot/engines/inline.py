"""Inline: the reference interpreter. Nodes of this process, one after the other or on threads."""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, final

from threadpoolctl import ThreadpoolController

from talkoot.core.engine import Emit, Engine, Nodes, Run, ignore
from talkoot.core.errors import NodeSilent, PlanError, TalkootError
from talkoot.core.plan import Plan
from talkoot.core.run import NodeState, explain, work
from talkoot.core.shard import Schema, Shard
from talkoot.core.sync import Merged, Round
from talkoot.core.update import Update
from talkoot.engines.checkpoint import Checkpoint, wherever
from talkoot.engines.counted import Counted
from talkoot.engines.machine import one_core
from talkoot.engines.ordered import OrderedMerge
from talkoot.engines.threads import Threads

TICK = 0.25  # seconds between two "rows" events


@final
@dataclass(frozen=True, slots=True)
class Inline(Engine):
    """Nodes in this process.

    Args:
        threads: nodes that work at the same time, each on one core: kernels run over blocks of rows
            that fit a core's cache, where BLAS and OpenMP gain little from a second one. Threads pay
            where the learner's kernels release the interpreter lock. For modules of torch: the cores
            of this process; nodes that meet in rounds take turns, step by step, as they share its random
            generators.
        checkpoint: a folder for checkpoints of deep learning, or a `Checkpoint`; who runs the
            same plan again goes on from there.

    Raises:
        PlanError: less than one thread.

    >>> import talkoot as tk
    >>> tk.Inline(threads=2)
    Inline(threads=2)
    """

    threads: int = 1
    checkpoint: str | Path | Checkpoint | None = field(default=None, kw_only=True, repr=False)

    def __post_init__(self) -> None:
        if self.threads < 1:
            raise PlanError(f"{self} cannot work", cure="Take at least one thread.")

    def lower(
        self, plan: Plan, shards: Mapping[str, Shard], schema: Schema, emit: Emit = ignore
    ) -> Run | None:
        """Modules of torch that meet at every step are trained in place, by their own optimizer."""
        if not (plan.learner.samples and (plan.sync.gradient or self.checkpoint is not None)):
            return None
        from talkoot.engines.ranks.alone import train

        return train(plan, shards, schema, emit, threads=self.threads, checkpoint=wherever(self.checkpoint))

    @contextmanager
    def open(self, plan: Plan, shards: Mapping[str, Shard], emit: Emit = ignore) -> Iterator[Nodes]:
        """Nothing to place: the nodes are here."""
        hands = max(1, min(self.threads, len(shards)))
        with one_core() as openmp:
            here = _Here(plan=plan, shards=shards, emit=emit, hands=hands, openmp=openmp)
            try:
                yield here
            finally:
                here.stop()


@final
class _Stopped(BaseException):
    """Nobody waits for this work any more; no learner's `except Exception` may hold it up."""


@final
@dataclass(slots=True, eq=False)
class _Watch:
    """One round: whether anybody still waits for it, and the rows that each node has read.

    Args:
        emit: hears of rows.
        direct: nodes work in the thread that listens, so tell it from there.
    """

    emit: Emit
    direct: bool
    stopped: bool = False
    rows: dict[str, int] = field(default_factory=dict)
    told: float = field(default_factory=time.monotonic)

    def read(self, node: str, rows: int) -> None:
        """At the node, before each block."""
        if self.stopped:
            raise _Stopped
        self.rows[node] = self.rows.get(node, 0) + rows
        if self.direct:
            self.tell([node])

    def tell(self, nodes: Iterable[str]) -> None:
        """How far `nodes` are, a few times a second."""
        now = time.monotonic()
        if now - self.told >= TICK:
            self.told = now
            for node in nodes:
                if node in self.rows:
                    self.emit("rows", {"node": node, "rows": self.rows[node]})


_Said = tuple[Update, NodeState] | TalkootError
_Answer = tuple[str, _Said, float]


@final
@dataclass(slots=True, eq=False, kw_only=True)
class _Here(Nodes):
    plan: Plan
    shards: Mapping[str, Shard]
    emit: Emit
    hands: int
    openmp: ThreadpoolController
    helpers: Threads | None = None
    states: dict[str, NodeState] = field(default_factory=dict)

    def round(self, rnd: Round, model: Any) -> Merged:
        alone = self.hands == 1 and rnd.deadline is None
        watch = _Watch(self.emit, direct=alone)
        answers = self._in_turn(rnd, model, watch) if alone else self._at_once(rnd, model, watch)
        heap, failed, seconds = OrderedMerge(self.plan.merge, list(rnd.cohort)), {}, {}
        with closing(answers):
            for node, said, took in answers:
                seconds[node] = took
                if isinstance(said, TalkootError):
                    failed[node] = said
                    heap.skip(node)
                    if rnd.quorum is None:
                        break
                else:
                    update, self.states[node] = said
                    heap.add(node, update)
        arrived = tuple(node for node in rnd.cohort if node in seconds and node not in failed)
        return Merged(update=heap.merged(), arrived=arrived, failed=failed, seconds=seconds)

    def stop(self) -> None:
        """Let the threads go."""
        if self.helpers is not None:
            self.helpers.stop()
            self.helpers = None

    def _in_turn(self, rnd: Round, model: Any, watch: _Watch) -> Generator[_Answer, None, None]:
        for node in rnd.cohort:
            yield self._answer(node, rnd, model, watch)

    def _at_once(self, rnd: Round, model: Any, watch: _Watch) -> Generator[_Answer, None, None]:
        helpers = self.helpers = self.helpers or Threads(self.hands, self.openmp)
        answers: SimpleQueue[_Answer] = SimpleQueue()
        ends = time.monotonic() + (math.inf if rnd.deadline is None else rnd.deadline)
        left = dict.fromkeys(rnd.cohort)
        try:
            for node in rnd.cohort:
                helpers.do(partial(self._post, answers, node, rnd, model, watch))
            while left and (patience := ends - time.monotonic()) > 0:
                with suppress(Empty):
                    answer = answers.get(timeout=min(patience, TICK))
                    del left[answer[0]]
                    yield answer
                watch.tell(left)
        finally:
            watch.stopped = True
            if left:  # a thread may hang in one of these: have others for the next round
                self.stop()
        for node in left:
            yield node, _late(node, rnd), rnd.deadline or 0.0

    def _post(self, answers: SimpleQueue[_Answer], node: str, rnd: Round, model: Any, watch: _Watch) -> None:
        """On a thread: answer, if anybody still waits for it."""
        if watch.stopped:
            return
        try:
            answers.put(self._answer(node, rnd, model, watch))
        except _Stopped:
            pass
        except BaseException as error:  # such as sys.exit(), which here would end no more than this thread
            answers.put((node, explain(error, node, rnd), 0.0))

    def _answer(self, node: str, rnd: Round, model: Any, watch: _Watch) -> _Answer:
        began = time.perf_counter()
        shard = Counted(self.shards[node], partial(watch.read, node))
        try:
            said: _Said = work(self.plan, model, shard, self.states.get(node, NodeState()), rnd)
        except Exception as error:
            said = explain(error, node, rnd)
        return node, said, time.perf_counter() - began


def _late(node: str, rnd: Round) -> NodeSilent:
    return NodeSilent(
        f"no answer before the deadline of {rnd.deadline:g} s",
        node=node,
        step=f"round {rnd.index}",
        cure="Raise the deadline, or lower the quorum to go on without it.",
    )
