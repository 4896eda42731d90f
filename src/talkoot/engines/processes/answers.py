"""One round of a crew: what has been said so far, and how much time is left."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

from talkoot.core.engine import Emit
from talkoot.core.errors import TalkootError
from talkoot.core.merge import Merge
from talkoot.core.plan import Plan
from talkoot.core.run import NodeState
from talkoot.core.sync import Merged, Round
from talkoot.core.update import Update
from talkoot.engines.processes.messages import Answer


@final
@dataclass(slots=True, eq=False, kw_only=True)
class Answers:
    """A round under way.

    Args:
        rnd: the round.
        message: the round and the model, as workers get them.
        apart: whether nodes answer one by one.
        groups: nodes that are merged among themselves first, unless they answer apart.
    """

    rnd: Round
    message: Any
    apart: bool
    groups: Sequence[frozenset[str]] = ()
    answers: list[Answer] = field(default_factory=list)
    failed: dict[str, TalkootError] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    met: float | None = None  # when the quorum had arrived

    def add(self, answer: Answer) -> None:
        """Take in what was said."""
        self.answers.append(answer)
        self.failed.update(answer.failed)
        quorum = self.rnd.quorum
        if self.met is None and quorum is not None and sum(len(a.nodes) for a in self.answers) >= quorum:
            self.met = time.monotonic()

    @property
    def void(self) -> bool:
        """Whether the round can no longer count: all nodes are needed and one has failed."""
        return self.rnd.quorum is None and bool(self.failed)

    @property
    def left(self) -> float:
        """Seconds until the deadline; infinite without one."""
        if self.rnd.deadline is None:
            return math.inf
        return self.began + self.rnd.deadline - time.monotonic()

    @property
    def grace(self) -> float:
        """Seconds that nodes behind the quorum are waited for; infinite until it is there."""
        if self.met is None or self.rnd.grace is None:
            return math.inf
        return self.met + self.rnd.grace * (self.met - self.began) - time.monotonic()

    @property
    def over(self) -> bool:
        """Whether nothing that nodes may still say is waited for."""
        return self.void or self.grace <= 0

    def merged(self, merge: Merge) -> Merged:
        """The outcome; merged in the order of the cohort, so that it does not depend on who was first.

        Nodes of earlier cohorts, which come late, follow by name.
        """
        places = {node: index for index, node in enumerate(self.rnd.cohort)}

        def order(node: str) -> tuple[int, str]:
            return places.get(node, len(places)), node

        said = sorted((a for a in self.answers if a.nodes), key=lambda a: order(a.nodes[0]))
        updates = {a.nodes[0]: a.update for a in said if a.update is not None}
        arrived = sorted((node for a in said for node in a.nodes), key=order)
        seconds = {node: s for a in self.answers for node, s in a.seconds.items()}
        return Merged(
            update=merge.merge(updates if self.apart else self._grouped(updates, merge)),
            arrived=tuple(arrived),
            failed=self.failed,
            seconds=seconds,
        )

    def _grouped(self, updates: Mapping[str, Update], merge: Merge) -> Mapping[str, Update]:
        """One update for each group, also where its nodes had to answer one by one."""
        merged = dict(updates)
        for group in self.groups:
            first, *others = [node for node in updates if node in group] or [""]
            for node in others:
                merged[first] = merge.merge({first: merged[first], node: merged.pop(node)})
        return merged


def restarted(plan: Plan, before: NodeState | None, after: NodeState, rnd: Round) -> bool:
    """Whether a node that has been in rounds before did this one without what it had kept, and that matters.

    Only learners of samples leave their state where it is when a worker dies: it is many times an update.
    """
    if before is not None or not rnd.index or not plan.learner.samples:
        return False
    local, chain = after.now
    if rnd.delay or rnd.seconds is not None:  # it had gone on by itself
        return True
    return plan.learner.carries(local) or any(link is not None for link in chain or ())


def note_restarts(emit: Emit, nodes: Sequence[str], rnd: Round) -> None:
    """Say that nodes go on without the state that they had."""
    if nodes:
        names = ", ".join(map(repr, nodes))
        text = (
            f"in round {rnd.index} {names} went on in another process, without what it had kept there "
            "(such as its optimizer's momentum), so the answer is not that of an undisturbed run"
        )
        emit("note", {"text": text, "nodes": list(nodes), "round": rnd.index})
