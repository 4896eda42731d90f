"""What a site does for its runs: it reads a plan, answers each round once, and writes that down."""

from __future__ import annotations

import errno
import logging
import secrets
import sqlite3
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, final

from talkoot.core.engine import View
from talkoot.core.errors import DataError, NodeFailed, Refused, TalkootError
from talkoot.core.plan import Plan
from talkoot.core.query import Query
from talkoot.core.round import UPDATE, Round
from talkoot.core.run import NodeState, explain, restarted, work
from talkoot.core.shard import Shard
from talkoot.data.tables.source import Source
from talkoot.engines.federation.audit import AuditLog
from talkoot.engines.federation.consent.proposal import Proposal
from talkoot.engines.federation.journal import Journal
from talkoot.engines.federation.ledger.rows import Hashed, RowSet, row_hashes, row_set_of
from talkoot.engines.federation.link.messages import Frame, Task
from talkoot.engines.federation.site.states import state_from_bytes, state_to_bytes
from talkoot.formats.answers import answer_to_bytes
from talkoot.formats.plans import placement_from_bytes
from talkoot.formats.questions import question_from_bytes

LOG = logging.getLogger("talkoot.site")
_PLACE, _STATE = b"placement", b"state"


class Desk(Protocol):
    """Who decides at a site; each of these raises `Refused` for what was not approved."""

    def open(self, proposal: Proposal) -> Source:
        """The rows of an approved proposal."""

    def require_placement(self, proposal: Proposal, plan: Plan, view: View | None = None) -> Plan:
        """Let a plan in, with its view of rows; it comes back with its keys, or its thresholds."""

    @property
    def audit(self) -> AuditLog:
        """Where what leaves is written down."""

    def require_round(self, proposal: Proposal, rnd: Round, key: bytes) -> None:
        """Let a round in, and count it."""

    def require_question(self, proposal: Proposal, plan: Plan, rnd: Round, question: Any) -> None:
        """Let a question in; some are answered once in a run."""

    def require_disclosure(self, proposal: Proposal, plan: Plan, rnd: Round, rows: RowSet) -> None:
        """Let a round in whose answer cannot be subtracted from one before."""

    def disclose(self, proposal: Proposal, plan: Plan, rnd: Round, rows: RowSet) -> None:
        """Write down what others can read once the round has ended."""


@final
@dataclass(frozen=True, slots=True)
class Reply:
    """An answer as a frame, how long it took, and whether the node lacked its own state of earlier rounds."""

    frame: Frame
    data: bytes
    seconds: float = 0.0
    restarted: bool = False


@final
@dataclass(slots=True, eq=False)
class _Placed:
    """What a run has placed on this site."""

    name: bytes  # which placement it is
    plan: Plan
    shard: Shard
    rows: RowSet
    state: NodeState | None = None
    last: tuple[int, str] | None = None  # round and phase of the last answer
    key: bytes = b""  # of the last update


@final
@dataclass(slots=True, eq=False)
class Worker:
    """The work of a site. One thread uses it.

    Args:
        node: the site's name.
        desk: who decides, and opens its rows.
        journal: what a restarted site goes on from.
        registered: what plans may name, besides the catalogue of estimators.
    """

    node: str
    desk: Desk
    journal: Journal
    registered: Mapping[str, Any] = field(default_factory=dict)
    placed: dict[str, _Placed] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)  # by run
    hashed: dict[str, Hashed] = field(default_factory=dict)  # by run, all rows of its source

    def known(self, task: Task) -> Reply | None:
        """The answer that was given to this round before, if it was."""
        frame = self.journal.get(task.run, task.key)
        return None if frame is None else Reply(Frame.of(frame), frame)

    def needs(self, task: Task) -> bool:
        """Whether the placement of a round is not here yet."""
        placed = self.placed.get(task.run)
        return placed is None or placed.name != _name(task)

    def answer(self, task: Task, proposal: Proposal, placement: Any, question: Any) -> Reply:
        """Do a round; an error is an answer, too."""
        began = time.perf_counter()
        try:
            if self.needs(task):
                self._place(task, proposal, placement)
            return replace(self._answer(task, proposal, question), seconds=time.perf_counter() - began)
        except Exception as error:
            self.placed.pop(task.run, None)
            return self._failed(task, self._outward(error, task.run, proposal), time.perf_counter() - began)

    def forget(self, run: str) -> None:
        """The run is over."""
        self.placed.pop(run, None)
        self.sources.pop(run, None)
        self.hashed.pop(run, None)
        self.journal.forget(run)

    def _place(self, task: Task, proposal: Proposal, placement: Any) -> None:
        self.placed.pop(task.run, None)
        plan, view = placement_from_bytes(placement, registered=self.registered)
        plan = self.desk.require_placement(proposal, plan, view)
        source = self._source(task.run, proposal)
        if task.run not in self.hashed:
            self.hashed[task.run] = row_hashes(source, proposal.target)
        rows = row_set_of(self.hashed[task.run], source, view, proposal.fixes)
        placed = _Placed(_name(task), plan, _viewed(source, view), rows)
        before = self.journal.get(task.run, _PLACE) or b""
        if before.startswith(placed.name):  # this process was restarted
            placed.key = before.removeprefix(placed.name)
            placed.state = state_from_bytes(self.journal.get(task.run, _STATE), plan)
        self.placed[task.run] = placed

    def _source(self, run: str, proposal: Proposal) -> Source:
        """The rows; the same for all that a run places, so that they are read once."""
        if run not in self.sources:
            self.sources[run] = self.desk.open(proposal)
        if self.sources[run].name != self.node:
            raise DataError(f"the rows are named {self.sources[run].name!r}, not as the site")
        return self.sources[run]

    def _answer(self, task: Task, proposal: Proposal, question: Any) -> Reply:
        placed = self.placed[task.run]
        rnd, asked = question_from_bytes(question, placed.plan)
        self.desk.require_round(proposal, rnd, task.key)
        self.desk.require_question(proposal, placed.plan, rnd, asked)
        self.desk.require_disclosure(proposal, placed.plan, rnd, placed.rows)
        if task.counted != placed.key and placed.state is not None:
            placed.state, placed.key = _undone(placed.state), task.counted
        before = _before(placed, rnd)
        update, after = work(placed.plan, asked, placed.shard, before or NodeState(), rnd)
        self.desk.disclose(proposal, placed.plan, rnd, placed.rows)
        data = answer_to_bytes(update)
        frame = Frame.of(data)
        key = task.key if rnd.phase == UPDATE else placed.key
        items = {task.key: data, _PLACE: placed.name + key}
        if (state := state_to_bytes(after, placed.plan)) is not None:
            items[_STATE] = state
        query = placed.plan.learner.name if isinstance(placed.plan.learner, Query) else ""
        self._write_down(task, frame, {"round": rnd.index, "phase": rnd.phase, "query": query})
        self.journal.put(task.run, items, only=True, digests={task.key: frame.digest})
        placed.state, placed.last, placed.key = after, (rnd.index, rnd.phase), key
        return Reply(frame, data, restarted=restarted(placed.plan, before, after, rnd))

    def _failed(self, task: Task, error: TalkootError, seconds: float) -> Reply:
        reply = failure(error, seconds)
        with suppress(TalkootError):  # the error may be that nothing can be written down
            self._write_down(task, reply.frame, {"error": type(error).__name__})
        return reply

    def _write_down(self, task: Task, frame: Frame, facts: Mapping[str, Any]) -> None:
        """Into the audit log, before it leaves."""
        sent = {"run": task.run, "bytes": frame.size, "digest": frame.digest.hex()}
        self.desk.audit.append("sent", {**sent, **facts})

    def _outward(self, error: Exception, run: str, proposal: Proposal) -> TalkootError:
        """An error as it may leave the site: its kind and place. What it says may hold values of rows."""
        if _is_full(error):
            return DataError("the disk of the site is full", node=self.node, cure="Have the site make room.")
        if isinstance(error, Refused):  # by the desk, in words that others may read
            return error.at(node=self.node)
        entry = secrets.token_hex(4)
        LOG.error("entry %s", entry, exc_info=error)
        kind = type(error) if isinstance(error, TalkootError) else NodeFailed
        found = explain(error, self.node, "")
        return kind(
            f"{kind.__name__} at the site",
            node=self.node,
            step=found.step or None,
            column=self._own_column(found.column, run, proposal),
            cure=f"What happened is entry {entry} of the log at {self.node}, and stays there.",
        )

    def _own_column(self, name: str | None, run: str, proposal: Proposal) -> str | None:
        """A column's name, if it is one of the site's: what errors call a column could also be a value."""
        if name is None or name == proposal.target:
            return name
        with suppress(TalkootError, OSError):
            return name if run in self.sources and name in self.sources[run].layout().names else None
        return None


def failure(error: TalkootError, seconds: float = 0.0) -> Reply:
    """An error as an answer."""
    data = answer_to_bytes(error)
    return Reply(Frame.of(data), data, seconds)


def _is_full(error: BaseException | None) -> bool:
    """Whether a disk is full, which may be behind the error that says so in other words."""
    while error is not None:
        full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
        if full or getattr(error, "errno", None) == errno.ENOSPC:
            return True
        error = error.__context__
    return False


def _name(task: Task) -> bytes:
    return task.number.to_bytes(8) + task.placement.digest


def _viewed(source: Source, view: View | None) -> Shard:
    return source if view is None else view(source)


def _undone(state: NodeState) -> NodeState:
    """The state before a round whose update came too late to count."""
    return replace(state, now=state.before)


def _before(placed: _Placed, rnd: Round) -> NodeState | None:
    """The state that a round begins with; none where rounds begin anew."""
    state = placed.state
    if state is None or rnd.index < state.round or placed.last == (rnd.index, rnd.phase):
        return None
    return state
