"""What is learned: how rows become an update, and how the merged updates become a model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.errors import PlanError
from talkoot.core.merge import Merge, Sum
from talkoot.core.outer import Outer, Solve
from talkoot.core.shard import Schema, Shard
from talkoot.core.sync import Rounds, Sync
from talkoot.core.transform import Chain
from talkoot.core.update import Update

Kind = Literal["exact", "sketched", "averaged", "bagged"]


class Learner(ABC):
    """How one kind of model is learned from many nodes. Learners are frozen values without state.

    Class attributes, or properties where they hang on the learner's parts:
        kind: "exact": the answer of one machine with all rows; "sketched": that answer within an error
            that the learner states; "averaged": nodes learn apart and are
            averaged; "bagged": the nodes' models stand side by side.
        closed: one round of sums at the final model decides the answer, so a node can be subtracted.
        threads: `work` spends its time in kernels that release the interpreter lock.
        pools: nodes of one process learn as one, on threads of their own.
        reads: the kind of shard that `work` takes: one with more than blocks of rows, if it needs more.
        queries: it ranks rows within queries, which stay whole; see `shards`.
        large_integers: it tells whole numbers beyond 2**53 apart; for others they become floats.
        ends: it knows after how many rounds it is done; see `limit`.
        resumes: a run that is interrupted can go on from what `interim` gave.
        continues: it adds to what an earlier fit learned, from rows that are not known here.
        means: its updates make sense only as a mean, so plans must weigh them.
        follows: in each round it reads the next rows of a stream, not all rows again.
        question_types: the frozen dataclasses that its questions are made of, besides the schema. Where bytes
            alone reach the nodes, they travel by name and fields.
    """

    reads: ClassVar[type[Shard]] = Shard
    ends: ClassVar[bool] = False
    means: ClassVar[bool] = False
    follows: ClassVar[bool] = False

    @property
    def question_types(self) -> tuple[type, ...]:
        """The frozen dataclasses that its questions are made of."""
        return ()

    @property
    @abstractmethod
    def kind(self) -> Kind:
        """What the answer is to that of one machine with all rows."""

    @property
    def name(self) -> str:
        """What errors call it: the class of its estimator, if it has one."""
        return type(getattr(self, "estimator", self)).__name__

    @property
    def catalogued(self) -> type[Learner]:
        """The class of the learner that the catalogue has for its estimator; `for_chain` may change it."""
        return type(self)

    @property
    def needs_all(self) -> bool:
        """Whether the answer is made of the rows of every node, so that no round counts without one."""
        return self.kind in ("exact", "sketched")

    @property
    def may_split(self) -> bool:
        """Whether one table may be split over nodes to work faster; where models stand side by side, the
        answer depends on who has which rows.
        """
        return self.kind != "bagged" and not self.queries

    @property
    def queries(self) -> bool:
        """Whether it ranks rows within queries."""
        return False

    @property
    def closed(self) -> bool:
        """Whether the sums of the last round decide the answer."""
        return False

    @property
    def threads(self) -> bool:
        """Whether `work` leaves other threads the interpreter."""
        return True

    @property
    def pools(self) -> bool:
        """Whether nodes of one process learn as one, on threads: faster than workers of one machine."""
        return False

    def pooled(self, question: Any) -> bool:
        """Whether one node of a process answers for all of them, on threads of its own."""
        del question
        return False

    @property
    def own_fit_needs(self) -> str:
        """What its estimator's own fit needs besides rows, a target and weights; empty for nothing."""
        return "query ids" if self.queries else ""

    @property
    def large_integers(self) -> bool:
        """Whether it tells whole numbers beyond 2**53 apart."""
        return False

    @property
    def resumes(self) -> bool:
        """Whether a run that is interrupted can go on from what `interim` gave."""
        return False

    @property
    def continues(self) -> bool:
        """Whether it adds to what an earlier fit learned."""
        return False

    def divided(self, shards: Mapping[str, Any]) -> Mapping[str, Any]:
        """The shards of all nodes, each knowing its share of what is learned from at a time."""
        return shards

    @abstractmethod
    def init(self, schema: Schema, rng: np.random.Generator) -> Any:
        """The model that every node starts from."""

    def warm(self, model: Any, schema: Schema) -> Any:
        """A model to start from where `model` is the solution for other rows; None to start from `init`."""
        del model, schema
        return None

    def for_chain(self, chain: Chain) -> Learner:
        """The learner of a plan with this chain: itself, unless it learns otherwise behind some."""
        del chain
        return self

    def question(self, model: Any) -> Any:
        """What nodes must know of the model in this round: the model, unless less will do.

        It holds nothing of a solver's memory, and not the schema, which nodes have: see `Ctx.schema`.
        """
        return model

    @abstractmethod
    def work(self, question: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """At a node: read the shard; return an update and the node's own state.

        A shard without rows gives ``Update()``, never an error.

        Args:
            question: what `question` made of the model.
            local: the node's own state; None in its first round.
            shard: its rows.
            ctx: the round, and the schema.
        """

    def require_readable(self, shard: Shard) -> None:
        """Refuse a shard that is not of the kind that it reads."""
        if not isinstance(shard, self.reads):
            raise PlanError(
                f"{self.name} reads {self.reads.__name__}, and this node has a {shard.__class__.__name__}",
                cure=f"Give nodes {self.reads.__name__}; tk.fit makes them of the data.",
            )

    def overlap(self, local: Any, shard: Shard, ctx: Ctx) -> Any:
        """What a node goes on with while its update is on its way; returns the node's own state.

        Engines that can do so call it while they exchange, the others right after `work`: the answer is
        the same.
        """
        return local

    def carries(self, local: Any) -> bool:
        """Whether the next round would be another one without a node's own state."""
        return local is not None

    def portable(self, local: Any) -> Any:
        """What of a node's own state another worker needs to go on with it; None if it starts without."""
        return local

    @abstractmethod
    def outer(self) -> Outer:
        """The outer step that this learner is made for; a plan may name another."""

    def gradient_outer(self) -> Outer:
        """The outer step for gradients, where nodes meet at every step.

        Raises:
            PlanError: the learner knows no gradients.
        """
        raise PlanError(
            f"{type(self).__name__} does not learn by gradients, so its nodes cannot meet at every step",
            cure="Leave sync= out, or write tk.rounds(...).",
        )

    def sync(self) -> Sync:
        """When nodes meet if the plan does not say."""
        return Rounds()

    def limit(self, schema: Schema, sync: Sync) -> int | None:
        """After how many rounds it is done; None if that shows only on the way."""
        return None

    def merge(self) -> Merge:
        """How updates of this learner merge; a sum unless the learner must see each."""
        return Sum()

    def interim(self, model: Any) -> Mapping[str, np.ndarray] | None:
        """What a run that is interrupted can go on from, as arrays; None where there is nothing yet."""
        return None

    def resumed(self, model: Any, interim: Mapping[str, np.ndarray]) -> Any:
        """The model before the first round, to go on from what `interim` gave."""
        return model

    def measures(self, model: Any) -> Mapping[str, float]:
        """What is worth watching after a round, such as ``{"loss": 0.31}``."""
        return {}

    @abstractmethod
    def finish(self, model: Any) -> Any:
        """The fitted object that users take away: an estimator, a module, a booster."""


class SolvingLearner(Learner):
    """A learner whose own `step` makes the next model of a merged update, until the model is `done`."""

    @abstractmethod
    def step(self, model: Any, update: Update) -> Any:
        """The next model; pure."""

    def outer(self) -> Outer:
        """The learner's own step."""
        return Solve(self.step)
