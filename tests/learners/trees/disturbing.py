"""Learners beside which something happens at a node: its process ends or hangs, or its state is lost."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.learner import Kind, SolvingLearner
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update


@final
@dataclass(frozen=True, slots=True)
class Disturbed(SolvingLearner):
    """What a learner learns, where something happens in the process of a node before it works.

    Args:
        learner: what is learned.
        when: whether it happens, by a question and its context.
        act: what happens to a node's state; gives the state that the node goes on with.
        marker: a file that is made when it happens, so that it happens once; None for always.
        around: what holds while a node works.
    """

    learner: Any
    when: Callable[[Any, Ctx], bool]
    act: Callable[[Any], Any]
    marker: Path | None = None
    around: Callable[[], AbstractContextManager[None]] = nullcontext

    kind: ClassVar[Kind] = "exact"
    ends: ClassVar[bool] = True

    def init(self, schema: Schema, rng: np.random.Generator) -> Any:
        return self.learner.init(schema, rng)

    def question(self, model: Any) -> Any:
        return self.learner.question(model)

    def work(self, question: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        with self.around():
            if self.when(question, ctx) and (self.marker is None or not self.marker.exists()):
                if self.marker is not None:
                    self.marker.touch()
                local = self.act(local)
            found: tuple[Update, Any] = self.learner.work(question, local, shard, ctx)
            return found

    def step(self, model: Any, update: Update) -> Any:
        return self.learner.step(model, update)

    def finish(self, model: Any) -> Any:
        return self.learner.finish(model)


def kill(local: Any) -> None:
    """End the process."""
    os.kill(os.getpid(), signal.SIGKILL)


def hang(local: Any) -> None:
    """Never go on."""
    threading.Event().wait()


def forget(local: Any) -> None:
    """Lose the state."""


def interrupted(learner: Any, how: str, at: int, marker: Path) -> Disturbed:
    """A learner where the second node's worker is killed in a round, or loses the node's state, once.

    Args:
        learner: what is learned.
        how: "kill" or "forget".
        at: in which round.
        marker: a file that is made when it happens.
    """
    return Disturbed(learner, partial(_in_round, at), {"kill": kill, "forget": forget}[how], marker)


def _in_round(at: int, question: Any, ctx: Ctx) -> bool:
    return ctx.node == "n1" and ctx.round == at
