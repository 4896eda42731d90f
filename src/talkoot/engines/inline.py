"""Inline: the reference interpreter. Nodes of this process, one after the other or on threads."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, final

from threadpoolctl import ThreadpoolController

from talkoot.core.cores import requested
from talkoot.core.engine import Emit, Engine, Nodes, Run, View, Viewed, ignore
from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.core.round import Merged, Round
from talkoot.core.run import NodeState, explain, work
from talkoot.core.shard import Schema, Shard
from talkoot.engines.checkpoint import Checkpoint, wherever
from talkoot.engines.counted import Counted
from talkoot.engines.events import Action, Answer, Answered, Report, Request, Seen, Slot, Stop
from talkoot.engines.gathering import TICK, Gathering
from talkoot.engines.lowering import by_one_rank
from talkoot.engines.machine import one_core
from talkoot.engines.threads import Threads


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
        checkpoint: a folder for checkpoints of deep learning and boosted trees, or a `Checkpoint`; who runs
            the same plan again goes on from there.

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

    @property
    def width(self) -> int:
        """One node for each thread."""
        return self.threads

    def lower(
        self, plan: Plan, shards: Mapping[str, Shard], schema: Schema, emit: Emit = ignore
    ) -> Run | None:
        """Modules of torch that meet at every step are trained in place, by their own optimizer."""
        if not by_one_rank(plan, shards, checkpoint=self.checkpoint is not None):
            return None
        from talkoot.engines.ranks.alone import train

        return train(plan, shards, schema, emit, threads=self.threads, checkpoint=wherever(self.checkpoint))

    @contextmanager
    def open(self, shards: Mapping[str, Shard], emit: Emit = ignore) -> Iterator[Nodes]:
        """Nothing to start: the nodes are here."""
        threads = max(1, min(self.threads, len(shards)))
        with one_core() as openmp, requested(self.threads):
            here = _Here(shards=shards, emit=emit, threads=threads, openmp=openmp)
            try:
                yield here
            finally:
                here.close()


@final
class _Stopped(BaseException):
    """Nobody waits for this work any more; no learner's `except Exception` may hold it up."""


@final
@dataclass(slots=True, eq=False)
class _Task:
    """One node's work in a round: the rows that it has read, and whether anybody still waits for it."""

    slot: Slot
    read: Callable[[], None]  # called with rows, in the thread that works
    rows: int = 0
    stopped: bool = False

    def count(self, rows: int) -> None:
        """Before each block."""
        if self.stopped:
            raise _Stopped
        self.rows += rows
        self.read()


@final
@dataclass(slots=True, eq=False, kw_only=True)
class _Here(Nodes):
    shards: Mapping[str, Shard]
    emit: Emit
    threads: int
    openmp: ThreadpoolController
    plan: Plan | None = None
    gathering: Gathering = field(default_factory=Gathering)
    helpers: Threads | None = None
    states: dict[str, NodeState] = field(default_factory=dict)
    views: Mapping[str, Shard] = field(default_factory=dict)
    at_work: dict[int, _Task] = field(default_factory=dict)
    done: SimpleQueue[tuple[_Task, Answer]] = field(default_factory=SimpleQueue)
    reported: float = field(default_factory=time.monotonic)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.shards)

    def place(self, plan: Plan, view: View | None = None) -> None:
        self.close()
        self.plan, self.states, self.views = plan, {}, Viewed(self.shards, view)
        slots = [Slot(number, frozenset([node])) for number, node in enumerate(self.shards)]
        self.gathering = Gathering(slots=slots, each=plan.merge.needs == "each")

    def round(self, rnd: Round, question: Any) -> Merged:
        assert self.plan is not None
        meeting = rnd.meeting
        # OpenMP is slower on a thread of ours, beside the threads that it has for this one already
        alone = self.threads == 1 or self.plan.learner.pooled(question)
        in_turn = alone and meeting.deadline is None and meeting.grace is None
        actions = deque(self.gathering.begin(rnd, time.monotonic()))
        while True:
            while actions and not self.gathering.void:
                actions.extend(self._do(actions.popleft(), rnd, question, in_turn=in_turn))
            if (wait := self.gathering.wait(time.monotonic())) is None:
                break
            actions.extend(self._wait(wait))
        for action in self.gathering.end():
            self._do(action, rnd, question, in_turn=in_turn)
        return self.gathering.merged()

    def close(self) -> None:
        """Let the threads go, with what they are at, and the states of nodes, which may be large."""
        self.states.clear()
        for task in self.at_work.values():
            task.stopped = True
        self.at_work.clear()
        self._release()

    def _release(self) -> None:
        if self.helpers is not None:
            self.helpers.stop()
            self.helpers = None

    def _do(self, action: Action, rnd: Round, question: Any, *, in_turn: bool) -> list[Action]:
        match action:
            case Request(slot, (node,)) if in_turn:
                task = self.at_work[slot.number] = _Task(slot, self._report)
                return self._answered(task, self._answer(node, rnd, question, task))
            case Request(slot, (node,)):
                self.helpers = self.helpers or Threads(self.threads, self.openmp)
                task = self.at_work[slot.number] = _Task(slot, lambda: None)
                self.helpers.do(partial(self._post, node, rnd, question, task))
            case Stop(slot):
                if slot.number in self.at_work:  # else its turn has not come
                    self.at_work.pop(slot.number).stopped = True
                self._release()  # a thread may hang in it: have others for the next round
            case Report(event=name, facts=facts):
                self.emit(name, facts)
        return []

    def _wait(self, seconds: float) -> list[Action]:
        """Wait for an answer, but no longer than until something is to be done."""
        with suppress(Empty):
            task, answer = self.done.get(timeout=seconds)
            return [] if task.stopped else self._answered(task, answer)
        self._report()
        now = time.monotonic()
        if now < self.gathering.ends:
            return []
        late = list(self.gathering.busy)
        return [
            action for slot in late for action in self.gathering.on(Seen(slot, slot.beats + 1, None), now)
        ]

    def _answered(self, task: _Task, answer: Answer) -> list[Action]:
        del self.at_work[task.slot.number]
        self.states.update(answer.states)  # not on its thread: what is given up must leave no state behind
        return self.gathering.on(Answered(task.slot, answer), time.monotonic())

    def _report(self) -> None:
        """How far the nodes at work are, a few times a second."""
        now = time.monotonic()
        if now - self.reported >= TICK:
            self.reported = now
            for task in self.at_work.values():
                if task.rows:
                    (node,) = task.slot.nodes
                    self.emit("rows", {"node": node, "rows": task.rows})

    def _post(self, node: str, rnd: Round, question: Any, task: _Task) -> None:
        """On a thread: answer, if anybody still waits for it."""
        if task.stopped:
            return
        try:
            self.done.put((task, self._answer(node, rnd, question, task)))
        except _Stopped:
            pass
        except BaseException as error:  # such as sys.exit(), which here would end no more than this thread
            self.done.put((task, Answer(failed={node: explain(error, node, rnd)})))

    def _answer(self, node: str, rnd: Round, question: Any, task: _Task) -> Answer:
        assert self.plan is not None
        began = time.perf_counter()
        try:
            shard = Counted(self.views[node], task.count)
            state = self.states.get(node) or NodeState()
            update, after = work(self.plan, question, shard, state, rnd)
        except Exception as error:
            return Answer(
                failed={node: explain(error, node, rnd)}, seconds={node: time.perf_counter() - began}
            )
        seconds = {node: time.perf_counter() - began}
        return Answer(nodes=(node,), update=update, states={node: after}, seconds=seconds)
