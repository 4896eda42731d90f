"""What the tests of masks share: nodes that hold the phases, and whoever stands between them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from talkoot.core.context import Board, Ctx
from talkoot.core.engine import Emit, Engine, Nodes, View, ignore
from talkoot.core.errors import NodeLost, TalkootError
from talkoot.core.plan import Plan
from talkoot.core.round import UPDATE, Merged, Round
from talkoot.core.run import NodeState, explain, work
from talkoot.core.shard import Shard
from talkoot.core.transform import Chain
from talkoot.core.update import Update, total
from talkoot.guards.fixed import fixed
from talkoot.guards.mask import crypto
from talkoot.guards.mask.identity import Identity
from talkoot.guards.mask.mask import Mask
from talkoot.guards.mask.messages import KEYS, SHARES, SURVIVORS, UNMASK
from talkoot.guards.mask.node import SUM

Posts = dict[str, dict[str, Any]]  # node -> what it posted
QUESTION, OTHER = "11" * 32, "22" * 32  # digests
PHASES = (KEYS, SHARES, UPDATE, SURVIVORS, UNMASK)


def identities(names: Collection[str], run: str = "a run") -> dict[str, Identity]:
    """A key for each site, and the roster of all."""
    keys = {name: Ctx().secret() for name in names}
    roster = {name: crypto.signing_key(key) for name, key in keys.items()}
    return {name: Identity(key=key, roster=roster, run=run) for name, key in keys.items()}


@dataclass
class Sites:
    """Nodes with keys, spoken to one by one by a coordinator that may show each of them another board."""

    names: tuple[str, ...]
    cheats: int = 0
    size: int = 1
    masks: dict[str, Mask] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = identities(self.names)
        self.masks = {name: Mask(self.cheats, known[name]) for name in self.names}

    def ctx(self, node: str, board: Board, cohort: tuple[str, ...], about: str, index: int) -> Ctx:
        return Ctx(round=index, node=node, cohort=cohort, board=board, about=about)

    def answer(
        self,
        phase: str,
        nodes: Collection[str],
        board: Board,
        *,
        cohort: tuple[str, ...] | None = None,
        about: str = QUESTION,
        index: int = 0,
    ) -> Posts:
        """What nodes answer in a phase, each to the same board."""
        posts = {}
        for node in nodes:
            ctx = self.ctx(node, board, cohort or self.names, about, index)
            update, self.states[node] = self.masks[node].answer(phase, self.states.get(node), ctx)
            posts[node] = dict(update.values)
        return posts

    def send(
        self, nodes: Collection[str], board: Board, *, about: str = QUESTION, index: int = 0
    ) -> dict[str, Update]:
        """The nodes' masked updates."""
        sent = {}
        for node in nodes:
            ctx = self.ctx(node, board, self.names, about, index)
            plain, _ = fixed().encode(value_of(node, self.size), None, ctx)
            sent[node], self.states[node] = self.masks[node].encode(plain, self.states.get(node), ctx)
        return sent

    def before(self, *, index: int = 0, nodes: tuple[str, ...] | None = None) -> dict[str, Posts]:
        """The board after the phases before the update."""
        nodes = nodes or self.names
        board = {KEYS: self.answer(KEYS, nodes, {}, cohort=self.names, index=index)}
        return {**board, SHARES: self.answer(SHARES, nodes, board, index=index)}

    def read(self, sent: Collection[Update], board: Board, *, index: int = 0) -> float:
        """What can be read of a sum of masked updates and a board."""
        ctx = self.ctx("", board, self.names, QUESTION, index)
        link = Mask(self.cheats)
        if (obstacle := link.obstacle(ctx)) is not None:
            raise obstacle
        update, _ = link.decode(total(sent), None, ctx)
        return float(fixed().decode(update, None, ctx)[0].values["x"][0])


def value_of(node: str, size: int = 1) -> Update:
    """A node's update: a number that tells who it is of."""
    number = 1000.0 + sum(node.encode()) / 7
    return Update(values={"x": np.full(size, number)}, weight=float(len(node) + 2))


def number_of(nodes: Collection[str]) -> float:
    """The sum of the numbers of nodes."""
    return float(total(value_of(node) for node in sorted(nodes)).values["x"][0])


@dataclass(eq=False)
class Losing(Engine, Nodes):
    """Nodes of this process with identities; some are lost in a phase of a round and come back in the next.

    Args:
        lost: (index of the round, phase) -> nodes that do not answer it.
    """

    lost: Mapping[tuple[int, str], Collection[str]] = field(default_factory=dict)
    states: dict[str, NodeState] = field(default_factory=dict)
    sent: list[Update] = field(default_factory=list)
    known: dict[str, Identity] = field(default_factory=dict)

    @contextmanager
    def open(self, shards: Mapping[str, Shard], emit: Emit = ignore) -> Iterator[Nodes]:
        self.shards = dict(shards)
        self.known = identities(self.shards)
        yield self

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.shards)

    def place(self, plan: Plan, view: View | None = None) -> None:
        self.plan, self.states = plan, {}
        self.views = {node: shard if view is None else view(shard) for node, shard in self.shards.items()}

    def _plan_of(self, node: str) -> Plan:
        links = tuple(
            replace(link, identity=self.known[node]) if isinstance(link, Mask) else link
            for link in self.plan.chain
        )
        plan = Plan(
            self.plan.learner,
            chain=Chain(links),
            merge=self.plan.merge,
            outer=self.plan.outer,
            sync=self.plan.sync,
            seed=self.plan.seed,
        )
        return plan.agreed(self.plan.schema)

    def round(self, rnd: Round, question: Any) -> Merged:
        updates, failed = dict[str, Update](), dict[str, TalkootError]()
        gone = self.lost.get((rnd.index, rnd.phase), ())
        for node in rnd.cohort:
            if node in gone:
                failed[node] = NodeLost(f"lost in {rnd.phase}", node=node, step=f"round {rnd.index}")
                continue
            state = self.states.get(node, NodeState())
            try:
                updates[node], self.states[node] = work(
                    self._plan_of(node), question, self.views[node], state, rnd
                )
            except Exception as error:
                failed[node] = explain(error, node, rnd)
        self.sent += updates.values()
        apart = rnd.phase != UPDATE or self.plan.merge.needs == "each"
        return Merged(
            update=Update() if apart else total(updates.values()),
            each=updates if apart else None,
            arrived=tuple(updates),
            failed=failed,
        )


__all__ = [
    "OTHER",
    "PHASES",
    "QUESTION",
    "SUM",
    "Losing",
    "Sites",
    "identities",
    "number_of",
    "value_of",
]
