"""A plan: what is learned and what happens to every update on its way. A value, checked when built."""

from __future__ import annotations

from collections.abc import Iterable
from copy import copy
from dataclasses import dataclass
from typing import Any, final

from talkoot.core.context import Ctx
from talkoot.core.digest import digest
from talkoot.core.errors import PlanError
from talkoot.core.learner import Learner
from talkoot.core.merge import Merge
from talkoot.core.outer import Outer
from talkoot.core.round import Round
from talkoot.core.shard import UNKNOWN, Schema
from talkoot.core.sync import Rounds, Sync
from talkoot.core.transform import Chain, Transform


@final
@dataclass(frozen=True, init=False, eq=False)
class Plan:
    """All that a run does, before any data move.

    Args:
        learner: what is learned.
        chain: transforms of every update, in the order in which a node applies them.
        merge: how updates become one; the learner's own by default.
        outer: how the merged update is put back; the learner's own by default.
        sync: when nodes meet; the learner's own choice by default.
        seed: all random numbers of the run follow from it.

    A run adds the `schema` that the nodes agreed on, so that they get it once.

    Raises:
        PlanError: parts that cannot be combined, with the reason.

    >>> import talkoot as tk
    >>> from talkoot.testing.toys import Walk
    >>> print(tk.Plan(Walk(), chain=[tk.weigh("rows")], outer=tk.Nesterov(), sync=tk.rounds(20)))
    learner  Walk()
    chain    Weigh(by='rows')
    merge    Sum()
    outer    Nesterov(lr=0.7, momentum=0.9)
    sync     Rounds(limit=20, ...)
    seed     0
    >>> tk.Plan(Walk(), chain=[tk.quantize(), tk.weigh("rows")], sync=tk.rounds(20))
    Traceback (most recent call last):
        ...
    talkoot.core.errors.PlanError: Weigh(by='rows') cannot stand behind Quantize(...
    """

    learner: Learner
    chain: Chain
    merge: Merge
    outer: Outer
    sync: Sync
    seed: int
    schema: Schema

    def __init__(
        self,
        learner: Learner,
        *,
        chain: Iterable[Transform] = (),
        merge: Merge | None = None,
        outer: Outer | None = None,
        sync: Sync | None = None,
        seed: int = 0,
    ) -> None:
        put = object.__setattr__
        put(self, "chain", chain if isinstance(chain, Chain) else Chain(tuple(chain)))
        learner = learner.for_chain(self.chain)
        put(self, "learner", learner)
        put(self, "merge", merge or learner.merge())
        put(self, "sync", sync or learner.sync())
        put(self, "outer", outer or own_outer(learner, self.sync))
        put(self, "seed", seed)
        put(self, "schema", UNKNOWN)
        self._check()

    def _check(self) -> None:
        for link in self.chain.links:
            if self.merge.needs == "each" and link.sum_only:
                raise PlanError(
                    f"{self.merge} reads each update by itself; of {link} only the sum can be read",
                    cure="Take Sum(), or leave the transform out.",
                )
            if self.merge.needs == "sum" and not link.additive:
                raise PlanError(f"{link} does not add, so {self.merge} cannot merge what it encodes")
        grace = self.sync.meeting.grace
        if self.chain.talks and grace is not None:
            raise PlanError(
                f"grace={grace} lets updates count in a later round, and a round of the phases "
                f"{', '.join(self.chain.phases)} can only read its own",
                cure="Leave grace= out.",
            )
        if isinstance(self.sync, Rounds) and self.sync.rows is not None and not self.learner.follows:
            raise PlanError(
                f"{self.learner.name} reads all its rows in each round, and rows={self.sync.rows} counts "
                "those of a stream",
                cure="Follow a stream with tk.follow(...), or leave rows= out.",
            )
        if self.learner.needs_all:
            self._check_sums()
            self._check_sync()
        if self.learner.means and self.merge.needs == "sum" and not self.chain.weighs:
            raise PlanError(
                f"the updates of {type(self.learner).__name__} would be added, not averaged",
                cure='Write chain=[tk.weigh("rows"), ...].',
            )
        if not (self.outer.ends or self.sync.ends or self.learner.ends):
            raise PlanError(
                f"{self.outer} never ends by itself and the sync has no limit",
                cure="Set one: sync=rounds(100).",
            )

    def _check_sums(self) -> None:
        for part, own in ((self.merge, self.learner.merge()), (self.outer, self.learner.outer())):
            if type(part) is not type(own):
                raise PlanError(
                    f"{self._named}: its sums mean something only with {own}, not {part}",
                    cure="Leave it out, or take a learner that is averaged.",
                )
        if self.chain.weighs:
            raise PlanError(
                f"{self._named}: its updates are sums, and weigh would make means of them",
                cure="Leave weigh out.",
            )
        hiding = [link for link in self.chain.links if link.sum_only and self.learner.kind == "bagged"]
        if hiding:
            raise PlanError(
                f"{self._named}: each part of its answer is one node's, which {hiding[0]} cannot hide",
                cure="Leave it out, or take an estimator that is exact.",
            )
        biased = [link for link in self.chain.links if link.bias == "biased"]
        if biased:
            raise PlanError(f"{self._named}; {biased[0]} would bias its sums", cure="Leave it out.")

    def _check_sync(self) -> None:
        """Refuse a sync that would commit a round without some of the nodes."""
        sample, grace = self.sync.meeting.sample, self.sync.meeting.grace
        if sample < 1:
            raise PlanError(
                f"{self._named}: its answer needs the rows of all nodes; sample={sample} leaves some out",
                cure="Leave sample= out. To do without a node for good, leave it out of the data.",
            )
        if grace is not None:
            raise PlanError(
                f"{self._named}: no round counts without a node, so grace={grace} cannot leave any behind",
                cure="Leave grace= out. With quorum= a node that fails is asked again.",
            )

    @property
    def _named(self) -> str:
        return f"{self.learner.name} is {self.learner.kind}"

    def agreed(self, schema: Schema) -> Plan:
        """The same plan, with the schema that the nodes agreed on."""
        plan = copy(self)
        object.__setattr__(plan, "schema", schema)
        return plan

    def digest(self, rnd: Round, question: Any) -> str:
        """A digest of what a node's update is a function of, besides its rows and the random numbers."""
        learner = f"{type(self.learner).__module__}.{type(self.learner).__qualname__}"
        return digest((learner, self.schema, rnd.work, question))

    def ctx(self, rnd: Round, node: str = "") -> Ctx:
        """The context in which `node` works in a round; "" for the server functions."""
        return Ctx(
            round=rnd.index,
            node=node,
            cohort=rnd.cohort,
            seed=self.seed,
            work=rnd.work,
            schema=self.schema,
            board=rnd.board,
            about=rnd.about,
        )

    def lines(self) -> list[str]:
        """The plan as lines of text, one a part."""
        chain = " -> ".join(map(repr, self.chain.links)) or "none"
        parts = ("learner", "chain", "merge", "outer", "sync", "seed")
        shown = {name: getattr(self, name) for name in parts} | {"chain": chain}
        return [f"{name:8} {value}" for name, value in shown.items()]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def own_outer(learner: Learner, sync: Sync) -> Outer:
    """The outer step of a plan that names none."""
    return learner.gradient_outer() if sync.gradient else learner.outer()
