"""The workers of a run, wherever they are: asks, listens, watches, and replaces workers that die."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar, final

from talkoot.core.engine import Emit, Nodes
from talkoot.core.errors import NodeError, NodeLost, NodeSilent
from talkoot.core.plan import Plan
from talkoot.core.run import NodeState, explain
from talkoot.core.sync import Merged, Round
from talkoot.engines.processes.answers import Answers, note_restarts
from talkoot.engines.processes.messages import Answer, Ask
from talkoot.engines.processes.placement import Placement
from talkoot.engines.processes.pool import advice_on

TICK = 0.25  # seconds between looks at workers that say nothing
DEATHS = 3  # of a worker in one round until its nodes are given up
_ON = "lower the quorum to go on without it."


class Board(Protocol):
    """What a worker shows while it works."""

    @property
    def beats(self) -> int:
        """Another number whenever the worker has given a sign of life."""

    @property
    def node(self) -> int | None:
        """Which of the nodes that it was asked for the worker is at; None between rounds."""

    @property
    def rows(self) -> int:
        """Rows of that node read so far."""


class WorkerHandle(Protocol):
    """A worker, seen from the process that it works for."""

    @property
    def board(self) -> Board:
        """What it shows."""

    def end(self) -> str:
        """End it, if it has not ended, and say how it ended."""


W = TypeVar("W", bound=WorkerHandle)


@final
@dataclass(slots=True, eq=False)
class Slot(Generic[W]):
    """A place for a worker, with the nodes that are its own."""

    number: int
    nodes: frozenset[str]
    worker: W | None = None
    asked: tuple[str, ...] = ()
    round: int = -1
    todo: dict[str, None] = field(default_factory=dict)
    beats: int = 0
    quiet: float = 0.0
    deaths: int = 0
    suspects: dict[str, None] = field(default_factory=dict)

    @property
    def running(self) -> str | None:
        """The node that the worker is at."""
        index = self.worker.board.node if self.worker and self.todo else None
        return None if index is None else self.asked[index]


@dataclass(slots=True, eq=False, kw_only=True)
class WorkerNodes(Nodes, Generic[W]):
    """The workers of one run. How they are reached is for subclasses to say.

    Where a round has grace, a worker that is late goes on with what it was asked, and is asked for nothing
    else meanwhile. What it says counts in the round in which it arrives, or in the next one that counts.

    Args:
        plan: what is run.
        cargo: what workers get.
        seats: who works on which nodes.
        silence: seconds without a sign of life after which a worker is given up.
        emit: hears of rows read and workers replaced.
    """

    plan: Plan
    placement: Placement
    slots: list[Slot[W]]
    silence: float
    emit: Emit
    states: dict[str, NodeState] = field(default_factory=dict)
    behind: list[Answer] = field(default_factory=list)
    looked: float = field(default_factory=time.monotonic)
    engine: ClassVar[str]

    @abstractmethod
    def _message(self, rnd: Round, model: Any) -> Any:
        """The round and the model, the same for all workers.

        Raises:
            PlanError: the model cannot be sent.
        """

    @abstractmethod
    def _start_worker(self, slot: Slot[W]) -> W:
        """Put a worker into a seat, with what it needs.

        Raises:
            OSError: it died meanwhile.
            NodeLost: there is none to be had.
        """

    @abstractmethod
    def _send(self, slot: Slot[W], worker: W, ask: Ask, message: Any) -> None:
        """Ask a worker.

        Raises:
            TimeoutError: it does not listen.
            OSError: it is gone.
        """

    @abstractmethod
    def _ready(self, slots: list[Slot[W]], timeout: float) -> list[Slot[W]]:
        """The seats whose workers have something to say, or are gone."""

    @abstractmethod
    def _receive(self, worker: W) -> Answer:
        """What a worker says.

        Raises:
            TimeoutError: it stopped in the middle.
            EOFError, OSError: it is gone.
        """

    @abstractmethod
    def _dismiss(self, worker: W) -> None:
        """Keep a worker that has nothing to do for later.

        Raises:
            OSError: it is gone.
        """

    def equip(self) -> None:
        """Give every seat a worker."""
        for slot in self.slots:
            self._start_worker(slot)

    def round(self, rnd: Round, model: Any) -> Merged:
        """Ask all, then listen until all have answered, failed, been given up, or are late."""
        meeting = Answers(
            rnd=rnd,
            message=self._message(rnd, model),
            apart=self.plan.merge.needs == "each" or rnd.quorum is not None,
            groups=[slot.nodes for slot in self.slots],
        )
        self._start(meeting)
        while not meeting.over and (busy := [slot for slot in self.slots if slot.todo]):
            for slot in self._ready(busy, min(TICK, meeting.left, meeting.grace)):
                self._hear(slot, meeting)
            if elapsed := self._tick(meeting):
                for slot in busy:
                    self._check(slot, meeting, elapsed)
        if meeting.void:
            for slot in self.slots:
                if slot.todo:
                    self._end(slot)
        return meeting.merged(self.plan.merge)

    def _start(self, meeting: Answers) -> None:
        """Ask whoever is not at work, nor waits with what came late to a round that did not count."""
        rnd = meeting.rnd
        self.behind = self.behind if rnd.index - 1 in rnd.dropped else []
        for answer in self.behind:
            meeting.add(answer)
        there = {node for answer in self.behind for node in answer.nodes}
        nodes = [node for node in rnd.cohort if node not in there]
        for slot in self.slots:
            slot.deaths, slot.suspects = 0, {}
            if not slot.todo:
                self._ask(slot, tuple(node for node in nodes if node in slot.nodes), meeting)

    def _tick(self, meeting: Answers) -> float:
        """Seconds since the last tick if it is at least TICK ago or the deadline is over, else 0.

        Never more than twice TICK: if this process itself was asleep, that is not the workers' silence.
        """
        now = time.monotonic()
        elapsed = now - self.looked
        if elapsed < TICK and meeting.left > 0:
            return 0.0
        self.looked = now
        return min(max(elapsed, 1e-9), 2 * TICK)

    def close(self) -> None:
        """Give workers back; end those that are still at work."""
        with ExitStack() as stack:
            for slot in self.slots:
                stack.callback(self._leave, slot)

    def _leave(self, slot: Slot[W]) -> None:
        worker, slot.worker = slot.worker, None
        if worker is None:
            return
        try:
            if not slot.todo:
                self._dismiss(worker)
                return
        except OSError:
            pass
        worker.end()

    def _ask(self, slot: Slot[W], nodes: tuple[str, ...], meeting: Answers) -> None:
        slot.asked, slot.todo, slot.quiet = nodes, dict.fromkeys(nodes), 0.0
        slot.round = meeting.rnd.index
        if not nodes:
            return
        ask = Ask(nodes=nodes, round=meeting.rnd.index, apart=meeting.apart)
        try:
            worker = slot.worker or self._start_worker(slot)
            self._send(slot, worker, ask, meeting.message)
        except TimeoutError:
            self._silent(slot, meeting)
        except OSError:
            self._on_worker_death(slot, meeting)

    def _hear(self, slot: Slot[W], meeting: Answers) -> None:
        assert slot.worker is not None
        try:
            answer = self._receive(slot.worker)
        except TimeoutError:
            return self._silent(slot, meeting)
        except (EOFError, OSError):
            return self._on_worker_death(slot, meeting)
        except Exception as error:  # it says something that this process cannot unpickle
            answer = Answer(failed={node: explain(error, node, meeting.rnd) for node in slot.todo})
        meeting.add(answer)
        if answer.nodes and slot.round < meeting.rnd.index:
            self.behind.append(answer)
        self.states.update(answer.states)
        note_restarts(self.emit, answer.restarted, meeting.rnd)
        for node in (*answer.nodes, *answer.failed):
            del slot.todo[node]
        return None

    def _check(self, slot: Slot[W], meeting: Answers, elapsed: float) -> None:
        if slot.worker is None or not slot.todo:
            return
        beats, node = slot.worker.board.beats, slot.running
        if node is not None:
            self.emit("rows", {"node": node, "rows": slot.worker.board.rows})
        slot.quiet = 0.0 if beats != slot.beats else slot.quiet + elapsed
        slot.beats = beats
        if meeting.left <= 0:
            self._late(slot, meeting)
        elif slot.quiet > self.silence:
            self._silent(slot, meeting)

    def _end(self, slot: Slot[W]) -> str:
        worker, slot.worker, slot.todo = slot.worker, None, {}
        return worker.end() if worker is not None else ""

    def _on_worker_death(self, slot: Slot[W], meeting: Answers) -> None:
        """A worker died: have another one do what it did not finish."""
        nodes, running = list(slot.todo), slot.running
        cause = self._end(slot)
        self.emit("worker", {"worker": slot.number, "nodes": nodes, "cause": cause})
        slot.deaths += 1
        if running is not None:
            slot.suspects[running] = None
        if slot.deaths < DEATHS:
            return self._again(slot, nodes, meeting)
        lost = [node for node in nodes if node in slot.suspects] or nodes
        slot.deaths, slot.suspects = 0, {}
        told = f"its worker process died {DEATHS} times in this round; the last one {cause}"
        cure = advice_on(cause)
        return self._without(slot, meeting, dict.fromkeys(lost, (NodeLost, told, cure)), nodes)

    def _silent(self, slot: Slot[W], meeting: Answers) -> None:
        """A worker gives no sign of life: end it, and go on without the node that it was at."""
        nodes, running = list(slot.todo), slot.running
        self._end(slot)
        told = f"no sign of life from its worker for {self.silence:g} s"
        longer = f"Give {self.engine}(...) a longer silence= if kernels hold the interpreter lock that long"
        cure = f"{longer}, or {_ON}"
        silent = nodes if running is None else [running]
        return self._without(slot, meeting, dict.fromkeys(silent, (NodeSilent, told, cure)), nodes)

    def _late(self, slot: Slot[W], meeting: Answers) -> None:
        """The deadline of the round is over: give up what is not there."""
        nodes, running = list(slot.todo), slot.running
        self._end(slot)
        told = f"no answer before the deadline of {meeting.rnd.deadline:g} s"
        behind = f"{told}; it was waiting for its worker, which was at node {running!r}"
        nodes.sort(key=lambda node: node != running)
        causes = {node: told if node == running or running is None else behind for node in nodes}
        cure = f"Raise the deadline, or {_ON}"
        self._without(
            slot, meeting, {node: (NodeSilent, cause, cure) for node, cause in causes.items()}, nodes
        )

    def _without(
        self,
        slot: Slot[W],
        meeting: Answers,
        failures: Mapping[str, tuple[type[NodeError], str, str]],
        nodes: list[str],
    ) -> None:
        """Report nodes that failed; have the rest of `nodes` done if the round can still count."""
        step = f"round {meeting.rnd.index}"
        meeting.add(
            Answer(
                failed={
                    node: kind(cause, node=node, step=step, cure=cure)
                    for node, (kind, cause, cure) in failures.items()
                }
            )
        )
        if not meeting.void:
            self._again(slot, [node for node in nodes if node not in failures], meeting)

    def _again(self, slot: Slot[W], nodes: list[str], meeting: Answers) -> None:
        """Have another worker do what is left, from the model of this round."""
        self._ask(slot, tuple(node for node in nodes if node in meeting.rnd.cohort), meeting)
