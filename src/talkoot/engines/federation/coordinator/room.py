"""A run at the coordinator: its proposal, its sites, and the round that is under way."""

from __future__ import annotations

import asyncio
import logging
import math
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Protocol, final

from talkoot.core.errors import TalkootError
from talkoot.engines.events import Action, Report, Request, Stop
from talkoot.engines.federation.coordinator.gathered import Arrival, GatheredRound
from talkoot.engines.federation.coordinator.received import UnderWay, received
from talkoot.engines.federation.coordinator.records import Records
from talkoot.engines.federation.coordinator.runs import Decision, Proposed
from talkoot.engines.federation.link.exchange import Exchange
from talkoot.engines.federation.link.messages import (
    Answered,
    Ask,
    Cancel,
    Decided,
    Finish,
    Frame,
    Message,
    Note,
    Refusal,
    Result,
    Standing,
    Status,
    Task,
)
from talkoot.engines.federation.results import result_to_bytes
from talkoot.formats.answers import answer_to_bytes

LOG = logging.getLogger("talkoot.coordinator")


WAITED = 1.0  # seconds of a round until the researcher sees who is waited for, and between two such reports


class House(Protocol):
    """What a run needs of the coordinator."""

    def link(self, site: str) -> Exchange:
        """The link to a site."""

    records: Records
    silence: float
    clock: Callable[[], float]


@final
class Room:
    """A run.

    Args:
        run: its name.
        proposed: what is proposed, by whom and to which sites.
        house: the coordinator.
        decisions: what sites have decided before.
    """

    def __init__(
        self, run: str, proposed: Proposed, house: House, decisions: Mapping[str, Decision] | None = None
    ) -> None:
        self.run, self.proposed, self.house = run, proposed, house
        self.names = proposed.sites
        self.researcher: Exchange | None = None
        self.decisions: dict[str, Decision] = dict(decisions or {})
        self.under_way: UnderWay | None = None
        self.away: set[str] = set()  # sites that are gone while they are waited for
        self.given: dict[str, bytes] = {}  # the placement that each site was given last
        self.tasks: dict[str, Task] = {}  # what each site is at
        self.placement: tuple[int, bytes] | None = None
        self.gathered: GatheredRound | None = None
        self.arrivals: deque[Arrival] = deque()
        self.came = asyncio.Event()  # something has arrived
        self.holding: tuple[bytes, asyncio.Task[None]] | None = None
        self.frames: dict[bytes, memoryview] = {}
        self.answered_keys: dict[str, bytes] = {}  # of each site's last answer
        self.answers: dict[str, Frame] = {}  # the name and size of each site's last answer
        self.brought: tuple[Exchange, Frame] | None = None  # the last result
        self.fetching: dict[str, Frame] = {}  # answers on their way

    def _site(self, name: str) -> Exchange:
        return self.house.link(name)

    async def attach(self, researcher: Exchange) -> None:
        """A researcher has come, or come back."""
        self.researcher = researcher
        for name in self.names:
            await self._site(name).send(self.proposed.propose)
        await self.report()

    async def remind(self, site: str) -> None:
        """A site has come, or come back."""
        if site not in self.names:
            return
        await self._site(site).send(self.proposed.propose)
        if site in self.tasks:
            await self._site(site).send(self.tasks[site])
        if site in self.away:
            self.away.discard(site)
            self.house.records.note("returned", self.run, {"site": site})
        await self.report()

    async def left(self, site: str) -> None:
        """A site is gone."""
        if site not in self.names:
            return
        if site in self.waited and site not in self.away:
            self.away.add(site)
            self.house.records.note("lost", self.run, {"site": site, **self._where()})
        await self.report()

    @property
    def waited(self) -> list[str]:
        """The sites whose answer to the round under way is not here."""
        if self.under_way is None or self.gathered is None:
            return []
        return self.gathered.waited

    async def decided(self, site: str, decision: Decided) -> None:
        """A site has decided."""
        if site not in self.names:
            return
        before = self.decisions.get(site)
        if before is None or (before.state, before.reason) != (decision.state, decision.reason):
            self.decisions[site] = Decision(
                decision.state, decision.reason, self.house.clock(), decision.consent
            )
            self.house.records.decide(self.run, site, self.decisions[site])
        await self.report()

    async def report(self) -> None:
        """Tell the researcher where the sites stand."""
        if self.researcher is not None:
            await self.researcher.send(Status(self.run, self.standings(), self.seconds_left))

    def standings(self) -> dict[str, Standing]:
        """Where each site stands."""
        waited, sites = set(self.waited), {}
        for name in self.names:
            found = self.decisions.get(name)
            state, reason = (found.state, found.reason) if found else ("pending", "")
            consent = found.consent if found else None
            sites[name] = Standing(self._site(name).connected, state, reason, name in waited, consent)
        return sites

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the deadline of the round under way, if it has one."""
        ends = None if self.gathered is None or self.under_way is None else self.gathered.gathering.ends
        return None if ends is None or ends == math.inf else max(0.0, ends - time.monotonic())

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
        self.house.records.journal.forget(self.run)

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
            self.answers[site] = message.frame
            self.arrivals.append(Arrival(site, frame, message.seconds, message.restarted))
            self.came.set()

    async def _bring(self, ask: Ask) -> None:
        """Bring the researcher the result of a round: the one that is written down, or a new one."""
        found = self.house.records.journal.get(self.run, ask.key)
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
        under_way = self.under_way = UnderWay(ask.head, self.house.clock())
        self._do(gathered.begin(ask.head.round(), time.monotonic()), ask)
        try:
            slow = await self._gather(gathered, ask)
        finally:
            self.under_way = None
        if slow:
            await self.report()
        void = gathered.gathering.void
        merged, actions = gathered.end()
        self.frames.pop(ask.question.digest, None)
        facts = received(ask.head, merged, self.answers, under_way)
        self.house.records.audit.append("received", {"run": self.run, **facts})
        self._do(actions, ask)
        result = result_to_bytes(merged, self.answered_keys)
        frame = Frame.of(result)
        if void:
            self.arrivals.clear()
        else:
            self._write_down(ask, result, frame)
        return result, frame

    async def _gather(self, gathered: GatheredRound, ask: Ask) -> bool:
        """Take answers in until nothing is waited for; whether it took so long that this was reported."""
        began, reported, slow = time.monotonic(), [*self.names], False
        while not gathered.over(time.monotonic()):
            with suppress(TimeoutError):
                await asyncio.wait_for(self.came.wait(), gathered.wait(time.monotonic()))
            self.came.clear()
            while self.arrivals:
                gathered.arrived(self.arrivals.popleft())
            if not gathered.waited:  # no site needs the question any more, and sums may take long
                self.frames.pop(ask.question.digest, None)
            while (actions := gathered.add(time.monotonic())) is not None:
                self._do(actions, ask)
                await asyncio.sleep(0)  # links go on between two sums
            self._do(gathered.look(*self._signs(), time.monotonic()), ask)
            if time.monotonic() - began > WAITED and gathered.waited != reported:
                began, reported, slow = time.monotonic(), gathered.waited, True
                await self.report()
        return slow

    def _where(self) -> dict[str, object]:
        head = None if self.under_way is None else self.under_way.head
        return {} if head is None else {"round": head.index, "phase": head.phase}

    def _write_down(self, ask: Ask, result: bytes, frame: Frame) -> None:
        try:
            self.house.records.journal.put(self.run, {ask.key: result}, digests={ask.key: frame.digest})
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
                        _post(self._site(name), Cancel(self.run, task.key))
                case Report() if self.researcher is not None:
                    _post(self.researcher, Note(action.event, dict(action.facts)))

    def _request(self, name: str, task: Task) -> None:
        site = self._site(name)
        for frame in (task.placement, task.question):
            site.transfers.offer(self.frames[frame.digest], frame)
        self.tasks[name] = task
        if self.under_way is not None:
            known = self.given.get(name) == task.placement.digest
            self.under_way.out[name] = task.question.size + (0 if known else task.placement.size)
            self.given[name] = task.placement.digest
        _post(site, task)

    def _let_go(self, name: str) -> None:
        """Nothing is waited for from a site."""
        if (task := self.tasks.pop(name, None)) is not None:
            for frame in (task.placement, task.question):
                self._site(name).transfers.withdraw(frame.digest)
        if name in self.fetching:
            self._site(name).give_up(self.fetching.pop(name))


def _post(link: Exchange, message: Message) -> None:
    """Send without waiting for it; what a stream loses is sent again on the next one."""
    link.start(link.send(message))
