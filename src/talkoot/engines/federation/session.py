"""The researcher's end of the link: a thread that stays connected, and a place to wait for what comes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import aclosing, suppress
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any, Self, TypeVar, final

import msgspec

from talkoot.core.errors import DataError, TalkootError
from talkoot.engines.federation.link.dialling import Dialling, Turned
from talkoot.engines.federation.link.exchange import Closed, Exchange
from talkoot.engines.federation.link.greeting import delays
from talkoot.engines.federation.link.messages import (
    Ask,
    AskRoster,
    Attach,
    Deliver,
    Finish,
    Finished,
    Message,
    Note,
    Refusal,
    Result,
    Roster,
    Standing,
    Status,
    Taken,
)

T = TypeVar("T")
FORGOTTEN = 10.0  # seconds that the end of a run waits for the coordinator
AWAY = 600.0  # seconds until a coordinator that cannot be reached is given up
Said = tuple[str, Mapping[str, Any]]


@final
class Session:
    """A connection to the coordinator that is made anew when it is cut.

    Args:
        dialling: where the coordinator is.
        away: seconds until a coordinator that cannot be reached is given up.
    """

    def __init__(self, dialling: Dialling, *, away: float = AWAY) -> None:
        self.dialling, self.away = dialling, away
        self.exchange = Exchange()
        self.attached: Attach | None = None
        self.pending: tuple[Ask, asyncio.Future[memoryview]] | None = None
        self.roster: asyncio.Future[Roster] | None = None
        self.delivering: tuple[Deliver, asyncio.Future[None]] | None = None
        self.finishing: tuple[Finish, asyncio.Future[None]] | None = None
        self.status: Status | None = None
        self.events: SimpleQueue[Said] = SimpleQueue()
        self.failed: TalkootError | None = None
        self.lost: float | None = None  # since when there is no connection
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, name="talkoot-session", daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()

    def wait(self, work: Coroutine[Any, Any, T], listen: Callable[[Said], None]) -> T:
        """Wait for something, and pass on events meanwhile, in the caller's thread.

        Raises:
            TalkootError: the coordinator refuses, or cannot be reached for too long.
        """
        future: Future[T] = asyncio.run_coroutine_threadsafe(work, self.loop)
        try:
            while True:
                with suppress(Empty):
                    while True:
                        listen(self.events.get_nowait())
                with suppress(TimeoutError):
                    return future.result(timeout=0.1)
                if self.failed is not None:
                    raise self.failed
        finally:
            future.cancel()

    async def sites(self) -> dict[str, str]:
        """The sites that the coordinator knows, with their certificates, PEM."""
        self.roster = self.loop.create_future()
        await self.exchange.send(AskRoster())
        return (await self.roster).sites

    async def attach(self, attach: Attach) -> None:
        """Say what is to be done."""
        self.attached = attach
        await self.exchange.send(attach)

    async def ask(self, ask: Ask, placement: bytes, question: bytes) -> memoryview:
        """The result of a round."""
        future: asyncio.Future[memoryview] = self.loop.create_future()
        self.pending = (ask, future)
        for frame, data in ((ask.placement, placement), (ask.question, question)):
            self.exchange.transfers.offer(data, frame)
        try:
            await self.exchange.send(ask)
            return await future
        finally:
            self.pending = None
            for frame in (ask.placement, ask.question):
                self.exchange.transfers.withdraw(frame.digest)

    async def deliver(self, deliver: Deliver, data: bytes) -> None:
        """Let the coordinator have a fitted model; it brings it to the sites, also later."""
        self.delivering = (deliver, self.loop.create_future())
        self.exchange.transfers.offer(data, deliver.frame)
        try:
            await self.exchange.send(deliver)
            await self.delivering[1]
        finally:
            self.delivering = None
            self.exchange.transfers.withdraw(deliver.frame.digest)

    async def finish(self, run: str) -> None:
        """Say that the run is over, and wait a little until the coordinator has forgotten it."""
        self.attached, self.finishing = None, (Finish(run), self.loop.create_future())
        await self.exchange.send(self.finishing[0])
        with suppress(TimeoutError):
            await asyncio.wait_for(self.finishing[1], FORGOTTEN)

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        main = self.loop.create_task(self._stay())
        try:
            self.loop.run_forever()
        finally:
            main.cancel()
            pending = asyncio.all_tasks(self.loop)
            for task in pending:
                task.cancel()
            self.loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
            self.loop.close()

    async def _stay(self) -> None:
        """Be connected, again and again."""
        waits = delays()
        while self.failed is None:
            try:
                async with self.dialling.stream("Researcher") as (stream, welcome):
                    waits, self.lost = delays(), None
                    if welcome.revoked:
                        self.dialling.identity.update_revoked(welcome.revoked)
                    for note in welcome.notes:
                        self.events.put(("note", {"text": note}))
                    async with aclosing(self.exchange.messages(stream, self._again)) as messages:
                        async for message in messages:
                            if isinstance(message, Refusal):
                                raise Turned(message)
                            self._on(message)
                cause = "the connection is gone"
            except Turned as turned:
                where = f"the coordinator at {self.dialling.address} refuses"
                self.failed = DataError(f"{where}: {turned.refusal.cause}", cure=turned.refusal.cure or None)
                return
            except (Closed, DataError) as error:
                cause = str(error)
            await self._pause(cause, next(waits))

    async def _pause(self, cause: str, wait: float) -> None:
        now = time.monotonic()
        if self.lost is None:
            self.lost = now
            text = f"{self.dialling.address}: {cause}; trying again for {self.away:g} s"
            self.events.put(("note", {"text": text}))
        if now - self.lost > self.away:
            self.failed = DataError(
                f"the coordinator at {self.dialling.address} cannot be reached: {cause}",
                cure="Look at its address in researcher.toml, and have its operator start it. Then the same "
                "call goes on where it was.",
            )
        await asyncio.sleep(wait)

    async def _again(self) -> None:
        """On a new stream: say again what is wanted."""
        if self.roster is not None and not self.roster.done():
            await self.exchange.send(AskRoster())
        if self.attached is not None:
            await self.exchange.send(self.attached)
        if self.pending is not None:
            await self.exchange.send(self.pending[0])
        for wanted in (self.delivering, self.finishing):
            if wanted is not None:
                await self.exchange.send(wanted[0])

    def _on(self, message: Message) -> None:
        match message:
            case Roster() if self.roster is not None and not self.roster.done():
                self.roster.set_result(message)
            case Status():
                if message != self.status:
                    facts = {name: _facts(found) for name, found in message.sites.items()}
                    self.events.put(("sites", {"sites": facts, "left": message.left}))
                self.status = message
            case Note(event=event, facts=facts):
                self.events.put((event, facts))
            case Taken() if self.delivering is not None and not self.delivering[1].done():
                self.delivering[1].set_result(None)
            case Finished() if self.finishing is not None and not self.finishing[1].done():
                self.finishing[1].set_result(None)
            case Result() if self.pending is not None and self.pending[0].key == message.key:
                self.exchange.start(self._receive(message, self.pending[1]))

    async def _receive(self, result: Result, future: asyncio.Future[memoryview]) -> None:
        try:
            data = await self.exchange.fetch(result.frame)
        except TalkootError as error:
            if not future.done():
                future.set_exception(error)
        else:
            if not future.done():
                future.set_result(data)


def _facts(standing: Standing) -> dict[str, Any]:
    """Where a site stands, as plain values."""
    facts = msgspec.structs.asdict(standing)
    del facts["consent"]
    return facts
