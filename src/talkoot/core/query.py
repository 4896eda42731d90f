"""A query: what every node answers once from its own rows, such as its columns or its scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.learner import Kind, Learner
from talkoot.core.merge import Gather, Merge
from talkoot.core.outer import Outer, Solve
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update

Answer = Mapping[str, Any]  # arrays by name; a node's answers may be of any size


@final
@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """The answers by node; None before the round."""

    nodes: Mapping[str, Answer] | None = None

    @property
    def done(self) -> bool:
        """Whether the round was held."""
        return self.nodes is not None


@dataclass(frozen=True, slots=True)
class Query(Learner):
    """What every node answers from its rows, in one round; the answers stay apart.

    >>> import talkoot as tk
    >>> from talkoot.core.run import run
    >>> class Rows(Query):
    ...     def answer(self, shard):
    ...         return {"rows": np.array([sum(map(len, shard.blocks()))])}
    >>> data = tk.shards({"here": np.eye(3), "there": np.eye(2)})
    >>> found = run(tk.Plan(Rows()), data, tk.Inline(), schema=None)
    >>> {node: int(answer["rows"][0]) for node, answer in Rows().finish(found.model).items()}
    {'here': 3, 'there': 2}
    """

    kind: ClassVar[Kind] = "exact"

    @abstractmethod
    def answer(self, shard: Shard) -> Answer:
        """At the node: named arrays, without a slash in the names. Without any the node is left out."""

    def init(self, schema: Schema, rng: np.random.Generator) -> Answers:
        """No answers yet."""
        del schema, rng
        return Answers()

    def question(self, model: Answers) -> None:
        """The plan says all."""
        del model

    def work(self, model: None, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """The node's answer."""
        del model, ctx
        return Update(values=self.answer(shard), weight=1.0), local

    def merge(self) -> Merge:
        """Answers stay apart."""
        return Gather()

    def outer(self) -> Outer:
        """One round."""
        return Solve(self.step)

    def step(self, model: Answers, update: Update) -> Answers:
        """The answers by node."""
        del model
        return Answers(Gather.split(update))

    def finish(self, model: Answers) -> Mapping[str, Answer]:
        """The answers by node."""
        return dict(model.nodes or {})
