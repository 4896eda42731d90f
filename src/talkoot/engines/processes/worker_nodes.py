"""The nodes of a run on workers, wherever those are: requests rounds, receives answers, replaces workers."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from talkoot.core.engine import Emit, Nodes, View
from talkoot.core.plan import Plan
from talkoot.core.round import Merged, Round
from talkoot.core.run import NodeState, explain
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
from talkoot.engines.gathering import LONGER, TICK, Gathering
from talkoot.engines.processes.messages import RoundRequest
from talkoot.engines.processes.placement import PlanPlacement, ShardPlacement, note_changed
from talkoot.engines.processes.pool import advice_on


class Board(Protocol):
    """What a worker shows while it works."""

    @property
    def beats(self) -> int:
        """Another number whenever the worker has given a sign of life."""

    @property
    def node(self) -> int | None:
        """Which of the requested nodes the worker is at; None between rounds."""

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


@dataclass(slots=True, eq=False, kw_only=True)
class WorkerNodes(Nodes, Generic[W]):
    """Nodes on workers: `Gathering` decides, this acts. How workers are reached is for subclasses."""

    placement: ShardPlacement  # the shards, as workers get them
    slots: list[Slot]  # the places of workers
    silence: float  # seconds without a sign of life after which a worker is given up
    emit: Emit  # called with rows read and workers replaced
    workers: dict[int, W] = field(default_factory=dict)
    plan: PlanPlacement | None = None
    states: dict[str, NodeState] = field(default_factory=dict)
    gathering: Gathering = field(default_factory=Gathering)
    looked: float = 0.0
    engine: ClassVar[str]

    @property
    def names(self) -> tuple[str, ...]:
        """The nodes."""
        return tuple(self.placement.shards)

    @abstractmethod
    def _message(self, rnd: Round, question: Any) -> Any:
        """The round and the question, the same for all workers.

        Raises:
            PlanError: the question cannot be sent.
        """

    @abstractmethod
    def _pack_plan(self, plan: Plan, view: View | None) -> PlanPlacement:
        """The plan and the view, as workers get them.

        Raises:
            PlanError: they cannot be sent.
        """

    @abstractmethod
    def _start_worker(self, slot: Slot) -> W:
        """A worker that holds the shards of the slot's nodes.

        Raises:
            OSError: it died meanwhile.
            NodeLost: there is none to be had.
        """

    @abstractmethod
    def _send_plan(self, worker: W, plan: PlanPlacement, states: dict[str, NodeState]) -> None:
        """Place a plan on a worker, whose nodes have these states already.

        Raises:
            TimeoutError: it does not read.
            OSError: it is gone.
        """

    @abstractmethod
    def _send(self, slot: Slot, worker: W, request: RoundRequest, message: Any) -> None:
        """Request a round of a worker.

        Raises:
            TimeoutError: it does not read.
            OSError: it is gone.
        """

    @abstractmethod
    def _ready(self, slots: Iterable[Slot], timeout: float) -> list[Slot]:
        """The slots whose workers have an answer, or are gone."""

    @abstractmethod
    def _receive(self, worker: W) -> Answer:
        """A worker's answer.

        Raises:
            TimeoutError: it stopped in the middle.
            EOFError, OSError: it is gone.
        """

    @abstractmethod
    def _dismiss(self, worker: W) -> None:
        """Keep an idle worker for later.

        Raises:
            OSError: it is gone.
        """

    def place(self, plan: Plan, view: View | None = None) -> None:
        """Place a plan on all workers. Those that are still at work for the last one are ended."""
        self.plan, self.states = self._pack_plan(plan, view), {}
        self.gathering = Gathering(
            slots=self.slots,
            each=plan.merge.needs == "each",
            silence=self.silence,
            longer=LONGER.format(self.engine),
        )
        note_changed(self.plan.changed, self.emit)
        for slot in self.slots:
            if slot.pending:
                slot.pending = {}
                self._end(slot)
            elif worker := self.workers.get(slot.number):
                try:
                    self._send_plan(worker, self.plan, {})
                except OSError:
                    self._end(slot)  # the next request starts another one

    def round(self, rnd: Round, question: Any) -> Merged:
        """Request a round, then receive until all have answered, failed, been given up, or are late."""
        message = self._message(rnd, question)
        self._do(self.gathering.begin(rnd, time.monotonic()), message)
        while (wait := self.gathering.wait(time.monotonic())) is not None:
            for slot in self._ready(self.gathering.busy, wait):
                self._do(self.gathering.on(self._event(slot, rnd), time.monotonic()), message)
            if not wait or time.monotonic() - self.looked >= TICK:
                self._look(message)
        self._do(self.gathering.end(), message)
        return self.gathering.merged()

    def close(self) -> None:
        """Give workers back; end those that are still at work."""
        with ExitStack() as stack:
            for slot in self.slots:
                stack.callback(self._leave, slot)

    def _leave(self, slot: Slot) -> None:
        worker = self.workers.pop(slot.number, None)
        if worker is None:
            return
        try:
            if not slot.pending:
                self._dismiss(worker)
                return
        except OSError:
            pass
        worker.end()

    def _look(self, message: Any) -> None:
        """Look at busy workers: a few times a second, and when the deadline is over."""
        self.looked = now = time.monotonic()
        for slot in list(self.gathering.busy):
            if (worker := self.workers.get(slot.number)) is not None:
                node = self._running(slot)
                if node is not None:
                    self.emit("rows", {"node": node, "rows": worker.board.rows})
                self._do(self.gathering.on(Seen(slot, worker.board.beats, node), now), message)

    def _do(self, actions: Iterable[Action], message: Any) -> None:
        """Do what the gathering says, and what it says to what comes of that."""
        queue = deque(actions)
        while queue:
            match queue.popleft():
                case Request(slot, nodes):
                    if (event := self._request(slot, nodes, message)) is not None:
                        queue.extend(self.gathering.on(event, time.monotonic()))
                case Stop(slot):
                    self._end(slot)
                case Report(event=name, facts=facts):
                    self.emit(name, facts)

    def _request(self, slot: Slot, nodes: tuple[str, ...], message: Any) -> Event | None:
        request = RoundRequest(nodes=nodes, round=slot.round, apart=self.gathering.apart)
        try:
            worker = self.workers.get(slot.number) or self._hire(slot)
            self._send(slot, worker, request, message)
        except TimeoutError:
            return Blocked(slot)
        except OSError:
            return self._death(slot)
        return None

    def _hire(self, slot: Slot) -> W:
        """A worker with the shards, the plan and the states of a slot's nodes."""
        worker = self.workers[slot.number] = self._start_worker(slot)
        if self.plan is not None:
            states = {node: state for node, state in self.states.items() if node in slot.nodes}
            self._send_plan(worker, self.plan, states)
        return worker

    def _event(self, slot: Slot, rnd: Round) -> Event:
        """What a worker that is ready has to say."""
        try:
            answer = self._receive(self.workers[slot.number])
        except TimeoutError:
            return Blocked(slot, self._running(slot))
        except (EOFError, OSError):
            return self._death(slot)
        except Exception as error:  # an answer that this process cannot unpickle
            answer = Answer(failed={node: explain(error, node, rnd) for node in slot.pending})
        self.states.update(answer.states)
        return Answered(slot, answer)

    def _running(self, slot: Slot) -> str | None:
        """The node that the worker of a slot is at."""
        worker = self.workers.get(slot.number)
        index = worker.board.node if worker is not None and slot.pending else None
        return None if index is None else slot.requested[index]

    def _death(self, slot: Slot) -> Died:
        running, cause = self._running(slot), self._end(slot)
        return Died(slot, running, cause, advice_on(cause))

    def _end(self, slot: Slot) -> str:
        worker = self.workers.pop(slot.number, None)
        return worker.end() if worker is not None else ""
