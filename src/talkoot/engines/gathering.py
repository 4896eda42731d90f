"""A round under way, as a state machine without a clock and without wires.

An engine tells it what happened, and does what it answers: request nodes of a worker, stop a worker, report
an event. So quorum, grace, deadlines, lost workers and late nodes mean the same on every engine, and are
tested without processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import final

from talkoot.core.errors import NodeError, NodeLost, NodeSilent, TalkootError
from talkoot.core.round import UPDATE, Merged, Round
from talkoot.core.update import Update, total
from talkoot.engines.events import (
    Action,
    Answer,
    Answered,
    Blocked,
    Died,
    Event,
    Report,
    Request,
    Seen,
    Slot,
    Stop,
)
from talkoot.engines.ordered import OrderedSum

TICK = 0.25  # seconds between looks at workers that do not answer
DEATHS = 3  # of a worker in one round until its nodes are given up
_WITHOUT = "lower the quorum to go on without it."
LONGER = "Give {}(...) a longer silence= if kernels hold the interpreter lock that long"


@final
@dataclass(slots=True, eq=False, kw_only=True)
class Gathering:
    """The rounds of one plan, one at a time.

    Where a round has grace, a worker that is late goes on with what was requested, and gets no other request
    meanwhile. Its answer counts in the round in which it arrives, or in the next one that counts.
    """

    slots: Sequence[Slot] = ()  # the places of workers
    each: bool = False  # the plan's merge needs each update by itself
    silence: float = math.inf  # seconds without a sign of life after which a worker is given up
    worker: str = "its worker"  # who gives signs of life, in words
    longer: str = LONGER.format("Local")  # what to do where it gives none for so long
    rnd: Round = field(default_factory=lambda: Round(index=0))
    busy: dict[Slot, None] = field(default_factory=dict)  # whose workers have not answered yet
    late: list[Answer] = field(default_factory=list)  # arrived in an earlier round than this one counts
    began: float = 0.0
    ends: float = math.inf  # when its deadline is over
    patience: float = math.inf  # until when nodes behind the quorum are waited for, once it is there
    void: bool = False  # the round can no longer count: all nodes are needed and one has failed
    failed: dict[str, TalkootError] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    updates: dict[str, Update] = field(default_factory=dict)
    arrived: list[str] = field(default_factory=list)
    apart: bool = False  # nodes answer one by one: not all need arrive, or each update is wanted by itself
    sums: OrderedSum = field(init=False)  # of those that do not
    homes: dict[str, int] = field(init=False)  # node -> the number of its slot

    def __post_init__(self) -> None:
        self.homes = {node: slot.number for slot in self.slots for node in slot.nodes}

    def begin(self, rnd: Round, now: float) -> list[Action]:
        """Begin a round: request idle workers, but for nodes whose late answer has not been used yet."""
        deadline = rnd.meeting.deadline
        self.ends, self.patience = math.inf if deadline is None else now + deadline, math.inf
        self.rnd, self.began, self.void = rnd, now, False
        self.failed, self.seconds, self.updates, self.arrived = {}, {}, {}, []
        self.apart = self.each or rnd.meeting.quorum is not None or rnd.phase != UPDATE
        shares = self._shares(rnd.cohort)
        self.sums = OrderedSum({} if self.apart else shares)
        self.late = self.late if rnd.index - 1 in rnd.dropped else []
        for answer in self.late:
            self.take(answer, now)
        waiting = {node for answer in self.late for node in answer.nodes}
        actions: list[Action] = []
        for slot in self.slots:
            if slot.deaths:
                slot.deaths, slot.suspects = 0, {}
            if not slot.pending:
                share = shares.get(slot.number, ())
                actions += self._request(slot, [node for node in share if node not in waiting], now)
        return actions

    def on(self, event: Event, now: float) -> list[Action]:
        """What to do about an event."""
        match event:
            case Answered():
                return self._answered(event.slot, event.answer, now)
            case Died():
                return self._died(event, now)
            case Blocked():
                return self._silent(event.slot, event.running, now)
            case Seen():
                return self._seen(event, now)

    def over(self, now: float) -> bool:
        """Whether nothing that nodes may still answer is waited for in this round."""
        return self.void or not self.busy or now >= self.patience

    def wait(self, now: float) -> float | None:
        """Seconds until something is to be done, whatever happens: at most TICK; None once it is over."""
        return None if self.over(now) else max(0.0, min(TICK, self.ends - now, self.patience - now))

    def end(self) -> list[Action]:
        """End the round: if it cannot count, nothing more is wanted of its workers."""
        return [action for slot in list(self.busy) for action in self._stop(slot)] if self.void else []

    def take(self, answer: Answer, now: float) -> None:
        """Take in an answer."""
        quorum, grace = self.rnd.meeting.quorum, self.rnd.meeting.grace
        self.failed.update(answer.failed)
        self.seconds.update(answer.seconds)
        self.arrived += answer.nodes
        if answer.nodes:
            first, update = answer.nodes[0], answer.update or Update()
            if self.apart:
                self.updates[first] = update
            else:
                self.sums.add(self.homes[first], answer.nodes, update)
        if quorum is None:
            self.void = bool(self.failed)
        elif grace is not None and self.patience == math.inf and len(self.arrived) >= quorum:
            self.patience = now + grace * (now - self.began)

    def merged(self) -> Merged:
        """What came of the round, in the order of the cohort; nodes of earlier cohorts follow by name."""
        there = set(self.arrived)
        arrived = [node for node in self.rnd.cohort if node in there]
        arrived += sorted(there.difference(arrived))
        updates = {node: self.updates[node] for node in arrived if node in self.updates}
        each = self.each or self.rnd.phase != UPDATE
        return Merged(
            update=Update() if each else total(updates.values()) if self.apart else self.sums.total,
            each=updates if each else None,
            arrived=tuple(arrived),
            failed=self.failed,
            seconds=self.seconds,
        )

    def _shares(self, cohort: Iterable[str]) -> dict[int, list[str]]:
        """The nodes of each slot, in the order of the cohort, and slots in that of their first nodes."""
        shares: dict[int, list[str]] = {}
        for node in cohort:
            if node in self.homes:
                shares.setdefault(self.homes[node], []).append(node)
        return shares

    def _request(self, slot: Slot, nodes: Iterable[str], now: float) -> list[Action]:
        slot.requested = tuple(nodes)
        slot.pending = dict.fromkeys(slot.requested)
        slot.round, slot.seen, slot.quiet = self.rnd.index, now, 0.0
        if not slot.requested:
            self._release(slot)
            return []
        self.busy[slot] = None
        return [Request(slot, slot.requested)]

    def _release(self, slot: Slot) -> None:
        """Wait for a slot no longer."""
        slot.pending = {}
        self.busy.pop(slot, None)

    def _stop(self, slot: Slot) -> list[Action]:
        self._release(slot)
        return [Stop(slot)]

    def _answered(self, slot: Slot, answer: Answer, now: float) -> list[Action]:
        for node in (*answer.nodes, *answer.failed):
            slot.pending.pop(node, None)
        if not slot.pending:
            self.busy.pop(slot, None)
        self.take(answer, now)
        if answer.nodes and slot.round < self.rnd.index:
            self.late.append(answer)
        return [*restarts(answer.restarted, self.rnd)] if answer.restarted else []

    def _seen(self, event: Seen, now: float) -> list[Action]:
        slot = event.slot
        elapsed = min(now - slot.seen, 2 * TICK)  # if this process was asleep, the worker was not silent
        slot.quiet = 0.0 if event.beats != slot.beats else slot.quiet + elapsed
        slot.beats, slot.seen = event.beats, now
        if not slot.pending:
            return []
        if now >= self.ends:
            return self._late(slot, event.running, now)
        return self._silent(slot, event.running, now) if slot.quiet > self.silence else []

    def _died(self, event: Died, now: float) -> list[Action]:
        """A worker died: have another one do what it did not finish."""
        slot, nodes = event.slot, list(event.slot.pending)
        actions: list[Action] = [
            Report("worker", {"worker": slot.number, "nodes": nodes, "cause": event.cause})
        ]
        slot.deaths += 1
        if event.running is not None:
            slot.suspects[event.running] = None
        if slot.deaths < DEATHS:
            return actions + self._again(slot, nodes, now)
        lost = [node for node in nodes if node in slot.suspects] or nodes
        slot.deaths, slot.suspects = 0, {}
        cause = f"its worker process died {DEATHS} times in this round; the last one {event.cause}"
        return actions + self._without(slot, dict.fromkeys(lost, (NodeLost, cause, event.cure)), nodes, now)

    def _silent(self, slot: Slot, running: str | None, now: float) -> list[Action]:
        """A worker gives no sign of life: end it, and go on without the node that it is at."""
        nodes = list(slot.pending)
        cause = f"no sign of life from {self.worker} for {self.silence:g} s"
        lost = dict.fromkeys(
            nodes if running is None else [running], (NodeSilent, cause, f"{self.longer}, or {_WITHOUT}")
        )
        return self._stop(slot) + self._without(slot, lost, nodes, now)

    def _late(self, slot: Slot, running: str | None, now: float) -> list[Action]:
        """The deadline of the round is over: give up what is not there."""
        cause = f"no answer before the deadline of {self.rnd.meeting.deadline:g} s"
        behind = f"{cause}; it was waiting for its worker, which was at node {running!r}"
        nodes = sorted(slot.pending, key=lambda node: node != running)
        cure = f"Raise the deadline, or {_WITHOUT}"
        lost = {n: (NodeSilent, cause if running in (n, None) else behind, cure) for n in nodes}
        return self._stop(slot) + self._without(slot, lost, nodes, now)

    def _without(
        self,
        slot: Slot,
        lost: Mapping[str, tuple[type[NodeError], str, str]],
        nodes: Sequence[str],
        now: float,
    ) -> list[Action]:
        """Nodes fail; have the rest of `nodes` done if the round can still count."""
        step = f"round {self.rnd.index}"
        failed = {n: kind(cause, node=n, step=step, cure=cure) for n, (kind, cause, cure) in lost.items()}
        self.take(Answer(failed=failed), now)
        if self.void:
            self._release(slot)
            return []
        return self._again(slot, [node for node in nodes if node not in lost], now)

    def _again(self, slot: Slot, nodes: Sequence[str], now: float) -> list[Action]:
        """Have another worker do what is left, from the model of this round."""
        return self._request(slot, [node for node in nodes if node in self.rnd.cohort], now)


def restarts(nodes: Sequence[str], rnd: Round) -> list[Report]:
    """A note that nodes went on without their own state."""
    if not nodes:
        return []
    names = ", ".join(map(repr, nodes))
    text = (
        f"in round {rnd.index} {names} went on in another process, without their own state there "
        "(such as an optimizer's momentum), so the answer is not that of an undisturbed run"
    )
    return [Report("note", {"text": text, "nodes": list(nodes), "round": rnd.index})]
