"""The program of a site: it dials the coordinator, decides on proposals, and answers rounds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Protocol, final

from talkoot.core.errors import DataError, Refused, TalkootError
from talkoot.engines.federation.consent import proposal as proposals
from talkoot.engines.federation.consent.desk import Answer
from talkoot.engines.federation.identity.consents import Consent
from talkoot.engines.federation.link.dialling import Dialling, Turned
from talkoot.engines.federation.link.exchange import Closed, Exchange
from talkoot.engines.federation.link.greeting import BEAT, delays
from talkoot.engines.federation.link.messages import (
    Answered,
    Cancel,
    Decided,
    Deliver,
    Finish,
    Message,
    Propose,
    Refusal,
    Taken,
    Task,
    Welcome,
)
from talkoot.engines.federation.models import Models
from talkoot.engines.federation.site.worker import Reply, Worker, failure


class Desk(Protocol):
    """Who decides at a site."""

    def decide(self, signed: Propose) -> Answer:
        """By the policy of now, and what persons have decided so far."""

    def consent(self, run: str) -> Consent | None:
        """The signature of this site, where its part of a model is to be forgotten."""


@final
class Site:
    """A site at work.

    Args:
        dialling: where the coordinator is.
        worker: what answers rounds.
        desk: who decides.
        models: what it gets of runs that it took part in.
        say: prints a line for whoever runs the program.
        exchange: the link to the coordinator.
    """

    def __init__(
        self,
        dialling: Dialling,
        worker: Worker,
        desk: Desk,
        models: Models,
        say: Callable[[str], None],
        exchange: Exchange | None = None,
    ) -> None:
        self.dialling, self.worker, self.desk, self.say = dialling, worker, desk, say
        self.models = models
        self.exchange = exchange or Exchange()
        self.proposed: dict[str, Propose] = {}
        self.decisions: dict[str, Answer] = {}
        self.current: dict[str, Task] = {}  # the last round of each run
        self.answers: dict[bytes, Answered] = {}
        self.placements: dict[str, tuple[bytes, memoryview]] = {}  # the last one of each run
        self.work: set[asyncio.Task[None]] = set()  # rounds under way
        self.thread = ThreadPoolExecutor(1, "talkoot-site")

    async def run(self) -> Refusal:
        """Serve until the coordinator refuses for good; says why."""
        waits = delays()
        while True:
            try:
                async with self.dialling.stream("Site") as (stream, welcome):
                    waits = delays()
                    self._greeted(welcome)
                    async with aclosing(self.exchange.messages(stream, self._review)) as messages:
                        async for message in messages:
                            if isinstance(message, Refusal):
                                raise Turned(message)
                            self._on(message)
                cause = "the connection is gone"
            except Turned as turned:
                if turned.refusal.final:
                    return turned.refusal
                cause = turned.refusal.cause
            except (Closed, DataError) as error:
                cause = str(error)
            wait = next(waits)
            self.say(f"{self.dialling.address}: {cause}; next try in {wait:.1f} s")
            await asyncio.sleep(wait)

    def _greeted(self, welcome: Welcome) -> None:
        self.say(f"connected to {self.dialling.address}; waiting for proposals")
        for note in welcome.notes:
            self.say(f"note: {note}")
        if welcome.revoked:
            self.dialling.identity.update_revoked(welcome.revoked)

    def _on(self, message: Message) -> None:
        match message:
            case Propose():
                self.exchange.start(self._propose(message))
            case Task():
                self._start(message)
            case Cancel(run=run, key=key):
                if run in self.current and self.current[run].key == key:
                    self._drop(run)
            case Deliver():
                self.exchange.start(self._take(message))
            case Finish(run=run):
                self._drop(run)
                self.proposed.pop(run, None)
                self.decisions.pop(run, None)
                self.placements.pop(run, None)
                self.thread.submit(self.worker.forget, run)

    async def _take(self, deliver: Deliver) -> None:
        """Have a fitted model, if it is of a run that was approved here."""
        name, loop = f"run {deliver.run[:12]}", asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, self.models.require_wanted, deliver)
            data = await self.exchange.fetch(deliver.frame)
            path = await loop.run_in_executor(None, self.models.write, deliver, data)
        except TalkootError as error:
            self.say(f"{name}: its model is not taken: {error}")
        else:
            self.say(f"{name}: the fitted model is in {path}")
        await self.exchange.send(Taken(deliver.run))

    async def _propose(self, message: Propose) -> None:
        run = proposals.run_of(message.proposal)
        self.proposed[run] = message
        self.decisions.pop(run, None)
        await self._decide(run)

    async def _decide(self, run: str) -> None:
        """Decide on a run; tell the coordinator if the decision is another than before."""
        found = await asyncio.get_running_loop().run_in_executor(None, self.desk.decide, self.proposed[run])
        if self.decisions.get(run) != found:
            approved, consent = found.state == "approved", None
            if approved:
                consent = await asyncio.get_running_loop().run_in_executor(None, self.desk.consent, run)
            self.decisions[run] = found
            self.say(f"run {run[:12]}: {found.state}{f', {found.reason}' if found.reason else ''}")
            await self.exchange.send(Decided(run, found.state, found.reason, consent))

    async def _review(self) -> None:
        """Look again and again whether a decision has changed: a person approves, or a permit expires."""
        while True:
            await asyncio.sleep(BEAT)
            for run in list(self.proposed):
                await self._decide(run)

    def _drop(self, run: str) -> None:
        task = self.current.pop(run, None)
        if task is not None and (answered := self.answers.pop(task.key, None)) is not None:
            self.exchange.transfers.withdraw(answered.frame.digest)

    def _start(self, task: Task) -> None:
        """Begin a round; one that is done, or under way, is not begun again."""
        before = self.current.get(task.run)
        if before is not None and before.key == task.key:
            if task.key in self.answers:
                self.exchange.start(self.exchange.send(self.answers[task.key]))
            for frame in (task.placement, task.question):
                self.exchange.retry(frame)
            return
        self._drop(task.run)
        self.current[task.run] = task
        work = asyncio.ensure_future(self._do(task))  # it outlives the stream
        self.work.add(work)
        work.add_done_callback(self.work.discard)

    async def _do(self, task: Task) -> None:
        try:
            reply = await self._reply(task)
        except TalkootError as error:  # a frame that was refused or damaged holds no rows
            reply = failure(error.at(node=self.worker.node))
        if self.current.get(task.run) is not task:
            return
        frame = self.exchange.transfers.offer(reply.data, reply.frame)
        self.answers[task.key] = Answered(task.run, task.key, frame, reply.seconds, reply.restarted)
        await self.exchange.send(self.answers[task.key])

    async def _reply(self, task: Task) -> Reply:
        loop = asyncio.get_running_loop()
        proposal = await self._approved(task.run)
        if (known := await loop.run_in_executor(self.thread, self.worker.known, task)) is not None:
            return known
        placement = await self._placement(task)
        question = await self.exchange.fetch(task.question)
        if self.current.get(task.run) is not task:
            raise DataError("nobody waits for this round any more")
        return await loop.run_in_executor(
            self.thread, self.worker.answer, task, proposal, placement, question
        )

    async def _approved(self, run: str) -> proposals.Proposal:
        """The proposal of a run.

        Raises:
            Refused: the site has not approved it.
        """
        if run not in self.proposed:
            raise Refused(f"the run {run[:12]} was not proposed here")
        if run not in self.decisions:
            await self._decide(run)
        state, why = self.decisions[run]
        if state != "approved":
            raise Refused(f"the run {run[:12]} is {state} here{f': {why}' if why else ''}")
        return proposals.from_bytes(self.proposed[run].proposal)

    async def _placement(self, task: Task) -> memoryview:
        digest, data = self.placements.get(task.run, (b"", None))
        if data is None or digest != task.placement.digest:
            data = await self.exchange.fetch(task.placement)
            self.placements[task.run] = (task.placement.digest, data)
        return data
