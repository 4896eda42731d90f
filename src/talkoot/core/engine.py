"""Where nodes are: the one thing that an engine must be able to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, final

from talkoot.core.plan import Plan
from talkoot.core.shard import Schema, Shard
from talkoot.core.sync import Merged, Outcome, Round
from talkoot.core.update import Update

Emit = Callable[[str, Mapping[str, Any]], None]  # (name of the event, its facts)


def ignore(event: str, facts: Mapping[str, Any]) -> None:
    """A listener that hears nothing."""
    del event, facts


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Progress:
    """Where a run stands: all that the loop needs to go on.

    Args:
        model: the model.
        outer: the outer step's state.
        chain: the decoding chain's state.
        point: the model at which the last round that counted was evaluated.
        update: what that round merged, decoded.
        history: every round.
    """

    model: Any
    outer: Any
    chain: Any = None
    point: Any = None
    update: Update = field(default_factory=Update)
    history: tuple[Outcome, ...] = ()


@final
@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """A run that has ended.

    Args:
        plan: what was run.
        schema: what the nodes agreed on.
        model: the final model; ``plan.learner.finish(model)`` is the object users want.
        point: the model at which the last round that counted was evaluated.
        update: what that round merged, decoded.
        history: every round.
    """

    plan: Plan
    schema: Schema
    model: Any
    point: Any
    update: Update
    history: tuple[Outcome, ...]


class Nodes(ABC):
    """Nodes that hold their shards and know the plan."""

    def resume(self, progress: Progress) -> Progress:
        """Where to go on from: `progress`, unless the nodes know of more than that."""
        return progress

    def keep(self, progress: Progress) -> None:
        """Hear where the run stands after each round, for those who come later."""
        del progress

    @abstractmethod
    def round(self, rnd: Round, model: Any) -> Merged:
        """Each node of the round's cohort works and encodes; all that arrives is merged.

        A node that fails is reported in ``Merged.failed``, never raised: whether the round counts is for
        the loop to say.
        """


class Engine(ABC):
    """A place for nodes."""

    @property
    def is_primary(self) -> bool:
        """Whether this process is the one that shows how a run goes; of ranks only the first."""
        return True

    @abstractmethod
    def open(
        self, plan: Plan, shards: Mapping[str, Shard], emit: Emit = ignore
    ) -> AbstractContextManager[Nodes]:
        """Place the plan and the shards once; on exit leave nothing behind."""

    def lower(
        self, plan: Plan, shards: Mapping[str, Shard], schema: Schema, emit: Emit = ignore
    ) -> Run | None:
        """Run a plan as a whole, where the engine has a faster way than round by round; else None.

        The answer is that of the rounds, but for the order of float additions.
        """
        del plan, shards, schema, emit
        return None
