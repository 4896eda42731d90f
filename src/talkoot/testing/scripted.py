"""An engine whose nodes are lost as scripted: what the loop does about it, without processes."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, final

from talkoot.core.engine import Emit, Engine, Nodes, View, Viewed, ignore
from talkoot.core.errors import NodeLost, TalkootError
from talkoot.core.plan import Plan
from talkoot.core.round import UPDATE, Merged, Round
from talkoot.core.run import NodeState, work
from talkoot.core.shard import Shard
from talkoot.core.update import total


@final
@dataclass(eq=False)
class Scripted(Engine, Nodes):
    """Nodes of this process, one after the other; some work and are then lost."""

    # for each round the names of the nodes that are lost; nobody behind its end
    script: Sequence[Collection[str]]
    error: type[TalkootError] = NodeLost  # what is reported of them
    phase: str | None = None  # of the round in which they are lost; all by default
    states: dict[str, NodeState] = field(default_factory=dict)
    held: list[tuple[int, str]] = field(default_factory=list)  # the (round, phase) that were held

    @contextmanager
    def open(self, shards: Mapping[str, Shard], emit: Emit = ignore) -> Iterator[Nodes]:
        """The nodes are here."""
        self.shards = dict(shards)
        yield self

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes."""
        return tuple(self.shards)

    def place(self, plan: Plan, view: View | None = None) -> None:
        """Take the plan."""
        self.plan, self.states, self.views = plan, {}, Viewed(self.shards, view)

    def round(self, rnd: Round, question: Any) -> Merged:
        """Every node works, and those in the script are lost then."""
        self.held.append((rnd.index, rnd.phase))
        loses = rnd.index < len(self.script) and self.phase in (None, rnd.phase)
        lost = self.script[rnd.index] if loses else ()
        updates = {}
        for node in rnd.cohort:
            state = self.states.get(node, NodeState())
            updates[node], self.states[node] = work(self.plan, question, self.views[node], state, rnd)
        arrived = {node: update for node, update in updates.items() if node not in lost}
        step = f"round {rnd.index}"
        each = self.plan.merge.needs == "each" or rnd.phase != UPDATE
        return Merged(
            update=total(() if each else arrived.values()),
            each=arrived if each else None,
            arrived=tuple(arrived),
            failed={n: self.error("as scripted", node=n, step=step) for n in updates if n in lost},
        )
