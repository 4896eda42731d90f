"""Inline: the reference interpreter. Nodes of this process, one after the other or on threads."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, final

from threadpoolctl import threadpool_limits

from talkoot.core.engine import Engine, Listener, Nodes, ignore
from talkoot.core.errors import NodeSilent, TalkootError
from talkoot.core.plan import Plan
from talkoot.core.run import NodeState, explain, work
from talkoot.core.shard import Shard
from talkoot.core.sync import Merged, Round
from talkoot.core.update import Update


@final
@dataclass(frozen=True, slots=True)
class Inline(Engine):
    """Nodes in this process.

    Args:
        threads: nodes that work at the same time. Pays where the learner's kernels release the
            interpreter lock; each thread gets its share of the cores for BLAS and OpenMP.

    >>> import talkoot as tk
    >>> tk.Inline(threads=2)
    Inline(threads=2)
    """

    threads: int = 1

    @contextmanager
    def open(self, plan: Plan, shards: Mapping[str, Shard], listen: Listener = ignore) -> Iterator[Nodes]:
        """Nothing to place: the nodes are here."""
        del listen
        pool = ThreadPoolExecutor(self.threads) if self.threads > 1 else None
        with threadpool_limits(max(1, (os.cpu_count() or 1) // self.threads)):
            try:
                yield _Here(plan, shards, pool)
            finally:
                if pool is not None:
                    pool.shutdown(wait=False, cancel_futures=True)


@final
@dataclass(slots=True)
class _Here(Nodes):
    plan: Plan
    shards: Mapping[str, Shard]
    pool: ThreadPoolExecutor | None
    states: dict[str, NodeState] = field(default_factory=dict)

    def round(self, rnd: Round, model: Any) -> Merged:
        if self.pool is None:
            answers = {node: self._answer(node, rnd, model) for node in rnd.cohort}
        else:
            tasks = {node: self.pool.submit(self._answer, node, rnd, model) for node in rnd.cohort}
            wait(tasks.values(), timeout=rnd.deadline)
            answers = {node: _result(task, node, rnd) for node, task in tasks.items()}
        updates, failed, seconds = {}, {}, {}
        for node, (said, took) in answers.items():
            seconds[node] = took
            if isinstance(said, TalkootError):
                failed[node] = said
            else:
                updates[node], self.states[node] = said
        return Merged(
            update=self.plan.merge.merge(updates), arrived=tuple(updates), failed=failed, seconds=seconds
        )

    def _answer(self, node: str, rnd: Round, model: Any) -> _Answer:
        began = time.perf_counter()
        state = self.states.get(node, NodeState())
        try:
            said: _Said = work(self.plan, model, self.shards[node], state, rnd)
        except Exception as error:
            said = explain(error, node, rnd)
        return said, time.perf_counter() - began


_Said = tuple[Update, NodeState] | TalkootError
_Answer = tuple[_Said, float]


def _result(task: Future[_Answer], node: str, rnd: Round) -> _Answer:
    if task.done():
        return task.result()
    cure = "Raise the deadline, or lower the quorum to go on without it."
    silent = NodeSilent("gave no answer before the deadline", node=node, step=f"round {rnd.index}", cure=cure)
    return silent, rnd.deadline or 0.0
