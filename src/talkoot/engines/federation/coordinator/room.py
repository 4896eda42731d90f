"""A run at the coordinator: its proposal, its sites, and the round that is under way."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Protocol, final

from talkoot.core.errors import TalkootError
from talkoot.engines.events import Action, Report, Request, Stop
from talkoot.engines.federation.audit import AuditLog
from talkoot.engines.federation.coordinator.gathered import Arrival, GatheredRound
from talkoot.engines.federation.journal import Journal
from talkoot.engines.federation.link.exchange import Exchange
from talkoot.engines.federation.link.messages import (
    Answered,
    Ask,
    Cancel,
    Decided,
    Finish,
    Frame,
    Note,
    Propose,
    Refusal,
    Result,
    Standing,
    Status,
    Task,
)
from talkoot.engines.federation.results import result_to_bytes
from talkoot.formats.answers import answer_to_bytes

LOG = logging.getLogger("talkoot.coordinator")


class House(Protocol):
    """What a run needs of the coordinator."""

    def link(self, site: str) -> Exchange:
        """The link to a site."""

    journal: Journal
    audit: AuditLog
    silence: float


@final
class Room:
    """A run.

    Args:
        run: its name.
        researcher_name: whose it is.
        propose: what is proposed.
        names: its sites.
        house: the coordinator.
    """

    def __init__(
        self, run: str, researcher_name: str, propose: Propose, names: Sequence[str], house: House
    ) -> None:
        self.run, self.researcher_name, self.propose = run, researcher_name, propose
        self.names, self.house = tuple(names), house
        self.researcher: Exchange | None = None
        self.decisions: dict[str, Decided] = {}
        self.tasks: dict[str, Task] = {}  # what each site is at
        self.placement: tuple[int, bytes] | None = None
        self.gathered: GatheredRound | None = None
        self.arrivals: deque[Arrival] = deque()
        self.came = asyncio.Event()  # something has arrived
        self.holding: tuple[bytes, asyncio.Task[None]] | None = None
        self.frames: dict[bytes, memoryview] = {}
        self.answered_keys: dict[str, bytes] = {}  # of each site's last answer
        self.digests: dict[str, str] = {}  # SHA-256 of each site's last answer
        self.brought: tuple[Exchange, Frame] | None = None  # the last result
        self.fetching: dict[str, Frame] = {}  # answers on their way

    def _site(self, name: str) -> Exchange:
        return self.house.link(name)

    async def attach(self, researcher: Exchange) -> None:
        """A researcher has come, or come back."""
        self.researcher = researcher
        for name in self.names:
            await self._site(name).send(self.propose)
        await self.report()

    async def remind(self, site: str) -> None:
        """A site has come, or come back."""
        if site not in self.names:
            return
        await self._site(site).send(self.propose)
        if site in self.tasks:
            await self._site(site).send(self.tasks[site])
        await self.report()

    async def decided(self, site: str, decision: Decided) -> None:
        """A site has decided."""
        if site in self.names:
            self.decisions[site] = decision
            await self.report()

    async def report(self) -> None:
        """Tell the researcher where the sites stand."""
        if self.researcher is None:
            return
        sites = {}
        for name in self.names:
            found = self.decisions.get(name)
            state, reason = (found.state, found.reason) if found else ("pending", "")
            sites[name] = Standing(self._site(name).connected, state, reason)
        await self.researcher.send(Status(self.run, sites))

    def ask(self, ask: Ask) -> None:
        """Hold a round, unless it is under way."""
        self._take_back()
        if self.holding is not None:
            key, task = self.holding
            if key == ask.key and not task.done():
                return
            if not task.done():
                task.cancel()
                self._clear()
        self.holding = (ask.key, asyncio.ensure_future(self._bring(ask)))

    async def finish(self) -> None:
        """The run is over."""
        if self.holding is not None:
            self.holding[1].cancel()
        self._clear()
        self._take_back()
        for name in self.names:
            await self._site(name).send(Finish(self.run))
        self.house.journal.forget(self.run)

    async def answered(self, site: str, message: Answered) -> None:
        """A site has an answer: fetch it, if it is waited for."""
        task = self.tasks.get(site)
        if task is None or task.key != message.key:
            return
        try:
            self.fetching[site] = message.frame
            frame = await self._site(site).fetch(message.frame)
        except TalkootError as error:
            frame = memoryview(answer_to_bytes(error.at(node=site)))
        if self.tasks.get(site) is task:
            self._let_go(site)
            self.answered_keys[site] = message.key
            self.digests[site] = message.frame.digest.hex()
            self.arrivals.append(Arrival(site, frame, message.seconds, message.restarted))
            self.came.set()

    async def _bring(self, ask: Ask) -> None:
        """Bring the researcher the result of a round: the one that is written down, or a new one."""
        found = self.house.journal.get(self.run, ask.key)
        try:
            result, frame = await self._hold(ask) if found is None else (found, Frame.of(found))
        except Exception as error:
            LOG.exception("run %s, round %s", self.run[:12], ask.head.index)
            await self._refuse(error)
            return
        if self.researcher is not None:
            self.researcher.transfers.offer(result, frame)
            self.brought = (self.researcher, frame)
            await self.researcher.send(Result(ask.key, frame))

    async def _hold(self, ask: Ask) -> tuple[bytes, Frame]:
        for frame in (ask.placement, ask.question):
            await self._have(frame)
        self.frames = {f.digest: self.frames[f.digest] for f in (ask.placement, ask.question)}
        gathered = self._gathered(ask)
        self._do(gathered.begin(ask.head.round(), time.monotonic()), ask)
        while not gathered.over(time.monotonic()):
            with suppress(TimeoutError):
                await asyncio.wait_for(self.came.wait(), gathered.wait(time.monotonic()))
            self.came.clear()
            while self.arrivals:
                self._do(gathered.arrived(self.arrivals.popleft(), time.monotonic()), ask)
            self._do(gathered.look(*self._signs(), time.monotonic()), ask)
        void = gathered.gathering.void
        merged, actions = gathered.end()
        self.frames.pop(ask.question.digest, None)
        self.house.audit.append(
            "received",
            {
                "run": self.run,
                "round": ask.head.index,
                "phase": ask.head.phase,
                "sites": {name: self.digests[name] for name in merged.arrived},
                "failed": list(merged.failed),
            },
        )
        self._do(actions, ask)
        result = result_to_bytes(merged, self.answered_keys)
        frame = Frame.of(result)
        if void:
            self.arrivals.clear()
        else:
            self._write_down(ask, result, frame)
        return result, frame

    def _write_down(self, ask: Ask, result: bytes, frame: Frame) -> None:
        try:
            self.house.journal.put(self.run, {ask.key: result}, digests={ask.key: frame.digest})
        except (OSError, sqlite3.Error) as error:
            text = f"the coordinator cannot write round {ask.head.index} down ({error})"
            self._do([Report("note", {"text": f"{text}; if it is stopped, sites do it again"})], ask)

    async def _refuse(self, error: Exception) -> None:
        """Tell the researcher that the round cannot be held."""
        if self.researcher is not None:
            named = isinstance(error, TalkootError)
            cause = str(error) if named else "it failed in this round; what happened is in its log"
            await self.researcher.send(Refusal(cause))

    async def _have(self, frame: Frame) -> None:
        if frame.digest not in self.frames:
            assert self.researcher is not None
            self.frames[frame.digest] = await self.researcher.fetch(frame)

    def _gathered(self, ask: Ask) -> GatheredRound:
        """The gathering of a placement."""
        placement = (ask.number, ask.placement.digest)
        if self.gathered is None or self.placement != placement:
            self._clear()
            self.placement = placement
            self.gathered = GatheredRound(self.names, ask.each, self.house.silence, finite=ask.finite)
        return self.gathered

    def _take_back(self) -> None:
        """The last result has arrived."""
        if self.brought is not None:
            researcher, frame = self.brought
            researcher.transfers.withdraw(frame.digest)
            self.brought = None

    def _clear(self) -> None:
        """Forget the rounds so far."""
        for name in self.names:
            self._let_go(name)
        self.gathered = None
        self.arrivals.clear()

    def _signs(self) -> tuple[Mapping[str, int], Mapping[str, float]]:
        """Signs of life of each site, and when its frames moved last.

        While its answer is on its way, only bytes of it are a sign of life.
        """
        sites = {name: self._site(name) for name in self.names}
        beats = {n: s.chunks if n in self.fetching else s.beats for n, s in sites.items()}
        return beats, {n: s.moved for n, s in sites.items()}

    def _do(self, actions: Sequence[Action], ask: Ask) -> None:
        for action in actions:
            match action:
                case Request(slot=slot):
                    (name,) = slot.nodes
                    counted = ask.counted.get(name, b"")
                    self._request(name, Task(self.run, ask.number, ask.placement, ask.question, counted))
                case Stop(slot=slot):
                    (name,) = slot.nodes
                    if (task := self.tasks.get(name)) is not None:
                        self._let_go(name)
                        asyncio.ensure_future(self._site(name).send(Cancel(self.run, task.key)))  # noqa: RUF006
                case Report() if self.researcher is not None:
                    note = Note(action.event, dict(action.facts))
                    asyncio.ensure_future(self.researcher.send(note))  # noqa: RUF006

    def _request(self, name: str, task: Task) -> None:
        site = self._site(name)
        for frame in (task.placement, task.question):
            site.transfers.offer(self.frames[frame.digest], frame)
        self.tasks[name] = task
        asyncio.ensure_future(site.send(task))  # noqa: RUF006

    def _let_go(self, name: str) -> None:
        """Nothing is waited for from a site."""
        if (task := self.tasks.pop(name, None)) is not None:
            for frame in (task.placement, task.question):
                self._site(name).transfers.withdraw(frame.digest)
        if name in self.fetching:
            self._site(name).give_up(self.fetching.pop(name))
