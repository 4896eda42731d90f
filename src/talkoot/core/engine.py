"""Where nodes are: the one thing that an engine must be able to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, final

from talkoot.core.plan import Plan
from talkoot.core.round import Merged, Outcome, Round
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update

Emit = Callable[[str, Mapping[str, Any]], None]  # (name of the event, its facts)
View = Callable[[Shard], Shard]  # how a node looks at its shard
Kind = Literal["fit", "check", "compare", "verify", "forget"]  # what is done with a plan
HISTORY = 10_000  # rounds that are remembered


@final
class Viewed(dict[str, Shard]):
    """Shards by node as a view shows them; each is looked through once, when it is first needed."""

    def __init__(self, shards: Mapping[str, Shard], view: View | None = None) -> None:
        super().__init__()
        self._shards, self._view = shards, view

    def __missing__(self, node: str) -> Shard:
        shard = self._shards[node]
        shown = self[node] = shard if self._view is None else self._view(shard)
        return shown


def ignore(event: str, facts: Mapping[str, Any]) -> None:
    """Drop an event."""


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Progress:
    """Where a run stands: all that the loop needs to go on.

    Args:
        model: the model.
        outer: the outer step's state.
        chain: the decoding chain's state; where updates are decoded one by one, by node.
        merge: what the merge remembers.
        point: the model at which the last round that counted was evaluated.
        update: what that round merged, decoded.
        history: the last HISTORY rounds.
    """

    model: Any
    outer: Any
    chain: Any = None
    merge: Any = None
    point: Any = None
    update: Update = field(default_factory=Update)
    history: tuple[Outcome, ...] = ()

    @property
    def last(self) -> Outcome | None:
        """The last round."""
        return self.history[-1] if self.history else None

    @property
    def rounds(self) -> int:
        """How many rounds there were."""
        return self.history[-1].round.index + 1 if self.history else 0


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
        history: the last HISTORY rounds.
    """

    plan: Plan
    schema: Schema
    model: Any
    point: Any
    update: Update
    history: tuple[Outcome, ...]


class Nodes(ABC):
    """Nodes that hold their shards, and know what is placed on them."""

    @property
    @abstractmethod
    def names(self) -> tuple[str, ...]:
        """The nodes, in their order."""

    @abstractmethod
    def place(self, plan: Plan, view: View | None = None) -> None:
        """What to do from now on. Nodes forget what they did before.

        Args:
            plan: the plan.
            view: how each node looks at its shard; as it is by default.

        Raises:
            PlanError: the plan cannot go to the nodes.
        """

    def resume(self, progress: Progress) -> Progress:
        """Where to go on from: `progress`, unless the nodes know of more than that."""
        return progress

    def record(self, progress: Progress) -> None:
        """Take note of where the run stands after each round, for those who come later."""
        del progress

    def deliver(self, model: Callable[[], bytes]) -> None:
        """Let nodes of other organisations have the fitted model.

        Args:
            model: makes a file's bytes of it, for `tk.load`; raises `PlanError` where it cannot be saved.
        """
        del model

    @abstractmethod
    def round(self, rnd: Round, question: Any) -> Merged:
        """Each node of the round's cohort works and encodes; what arrives is added, or stays apart.

        A node that fails is reported in ``Merged.failed``, never raised: whether the round counts is for
        the loop to say.

        Args:
            rnd: the round.
            question: what nodes must know of the model; see `Learner.question`.
        """


class Engine(ABC):
    """A place for nodes."""

    @property
    def is_primary(self) -> bool:
        """Whether this process is the one that shows how a run goes; of ranks only the first."""
        return True

    @property
    def width(self) -> int:
        """How many nodes work at the same time."""
        return 1

    def proposed(self, plan: Plan, kind: Kind) -> Engine:
        """The engine for a job, where others decide on it first; itself elsewhere.

        Args:
            plan: what is to be done.
            kind: what is done with it.
        """
        del plan, kind
        return self

    @abstractmethod
    def open(self, shards: Mapping[str, Shard], emit: Emit = ignore) -> AbstractContextManager[Nodes]:
        """Nodes with their shards, for any number of plans; on exit nothing is left behind."""

    def lower(
        self, plan: Plan, shards: Mapping[str, Shard], schema: Schema, emit: Emit = ignore
    ) -> Run | None:
        """Run a plan as a whole, where the engine has a faster way than round by round; else None.

        The answer is that of the rounds, but for the order of float additions.
        """
        return None
