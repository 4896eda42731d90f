"""The coordinator: who comes in, and which run a message is about."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import Any, Protocol, final

from talkoot.core.errors import DataError, TalkootError
from talkoot.engines.federation.consent.proposal import run_of
from talkoot.engines.federation.coordinator.deliveries import Deliveries
from talkoot.engines.federation.coordinator.records import Records
from talkoot.engines.federation.coordinator.room import Room
from talkoot.engines.federation.coordinator.runs import Proposed
from talkoot.engines.federation.link.exchange import Closed, Exchange, Stream, read, refuse
from talkoot.engines.federation.link.flow import Flow
from talkoot.engines.federation.link.greeting import Difference, greet, software
from talkoot.engines.federation.link.messages import (
    Answered,
    Ask,
    AskRoster,
    Attach,
    Decided,
    Deliver,
    Finish,
    Finished,
    Hello,
    Message,
    Note,
    Propose,
    Refusal,
    Roster,
    Taken,
    encode,
)
from talkoot.engines.federation.link.spool import Spool
from talkoot.engines.federation.link.transfer import Transfers

MEMORY = 48 << 20  # bytes of answers that wait in memory for their turn in a sum; others wait in files


class Peer(Protocol):
    """Who is at the other end, by its certificate."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def role(self) -> str:
        """Its role."""

    @property
    def certificate(self) -> bytes:
        """Its certificate, PEM."""


class Gate(Protocol):
    """Who may come in: what an `Identity` knows of others."""

    def peer(self, context: Any) -> Peer:
        """The party at the other end of a call; raises `TalkootError` for one that may not come in."""

    def peer_of(self, certificate: bytes) -> Peer:
        """The party of a certificate (PEM); raises `TalkootError` for one that does not count."""

    @property
    def name(self) -> str:
        """The coordinator's own name."""

    @property
    def revoked_bytes(self) -> bytes | None:
        """The newest list of revoked certificates."""


@final
class Coordinator:
    """A coordinator at work.

    Args:
        gate: who may come in.
        records: what it writes down, and goes on from when it is started again.
        say: prints a line for whoever runs the program.
        sites: the names of the sites that take part; all that come, by default.
        differences: what to do about other versions of packages.
        silence: seconds without a sign of life after which a site is given up in a round.
        clock: this machine's clock.
    """

    def __init__(
        self,
        gate: Gate,
        records: Records,
        say: Callable[[str], None],
        *,
        sites: Sequence[str] | None = None,
        differences: Difference = "note",
        silence: float = 600.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.gate, self.records, self.say = gate, records, say
        self.listed, self.differences, self.silence, self.clock = sites, differences, silence, clock
        self.sites: dict[str, Exchange] = {}
        self.spool, self.flow = Spool(MEMORY), Flow()
        self.streams: dict[str, tuple[bytes, Stream]] = {}  # of each site: its session and its stream
        self.researchers: dict[tuple[str, bytes], Exchange] = {}
        self.rooms = {run: Room(run, found, self, decided) for run, found, decided in records.runs.known()}
        self.since: dict[str, float] = {}  # when each site has come, or has gone, in seconds since 1970
        self.deliveries = Deliveries(records.journal)
        for run, room in self.rooms.items():
            self.say(f"run {run[:12]} of {room.proposed.researcher} goes on")

    @property
    def name(self) -> str:
        """Its name."""
        return self.gate.name

    async def site(self, _: Any, context: Any) -> None:
        """A site has called."""
        if (entered := await self._enter(context, "site")) is None:
            return
        peer, session = entered
        self.records.know(peer.name, peer.certificate)
        self.since[peer.name] = self.clock()
        before, self.streams[peer.name] = self.streams.get(peer.name), (session, context)
        if before is not None and before[0] != session:
            await refuse(before[1], Refusal(f"another program has come with the certificate of {peer.name}"))
        exchange = self.link(peer.name)
        await self._serve(exchange, peer, context, self._from_site, lambda: self._remind(peer.name))

    def link(self, site: str) -> Exchange:
        """The link to a site, whether it is connected or not."""
        if site not in self.sites:
            self.sites[site] = self._exchange()
        return self.sites[site]

    def _exchange(self) -> Exchange:
        """A link that shares memory with all others."""
        return Exchange(Transfers(allocate=self.spool.allocate), self.flow)

    async def researcher(self, _: Any, context: Any) -> None:
        """A researcher has called."""
        if (entered := await self._enter(context, "researcher")) is None:
            return
        peer, session = entered
        key = (peer.name, session)
        exchange = self.researchers.setdefault(key, self._exchange())
        await self._serve(exchange, peer, context, self._from_researcher, None)
        if not exchange.connected and all(room.researcher is not exchange for room in self.rooms.values()):
            self.researchers.pop(key, None)

    async def _enter(self, context: Stream, role: str) -> tuple[Peer, bytes] | None:
        """Greet who calls: who it is, and its session; None if it may not come in."""
        try:
            hello = await read(context)
            peer = self.gate.peer(context)
            if peer.role != role:
                raise DataError(f"{peer.name} has the certificate of a {peer.role}, and comes as a {role}")
            if role == "site" and self.listed is not None and peer.name not in self.listed:
                raise DataError(
                    f"{peer.name} is not on the roster", cure="Have it added to sites in coordinator.toml."
                )
        except Closed:
            return None
        except TalkootError as error:
            self.say(f"refused: {error}")
            await refuse(context, Refusal(error.cause, error.cure or ""))
            return None
        if not isinstance(hello, Hello):
            await refuse(context, Refusal(f"a {type(hello).__name__} came before a hello"))
            return None
        revoked = self.gate.revoked_bytes or b""
        answer = greet(hello, self.clock(), software(), differences=self.differences, revoked=revoked)
        if isinstance(answer, Refusal):
            self.say(f"refused {peer.name}: {answer.cause}")
            await refuse(context, answer)
            return None
        for note in answer.notes:
            self.say(f"note: {peer.name}: {note}")
        await context.write(encode(answer))
        return peer, hello.session

    async def _serve(
        self, exchange: Exchange, peer: Peer, stream: Any, handle: Any, first: Callable[[], Any] | None
    ) -> None:
        self.say(f"{peer.role} {peer.name} is connected")
        try:
            async with aclosing(exchange.messages(stream, first)) as messages:
                async for message in messages:
                    self.gate.peer(stream)  # it may be revoked meanwhile
                    await handle(peer, exchange, message)
        except TalkootError as error:
            self.say(f"refused {peer.name}: {error}")
            await refuse(stream, Refusal(error.cause, error.cure or ""))
        finally:
            self.say(f"{peer.role} {peer.name} is gone")
            if peer.role == "site" and not exchange.connected:
                self.since[peer.name] = self.clock()
                for room in list(self.rooms.values()):
                    await room.left(peer.name)

    async def _remind(self, site: str) -> None:
        """Tell a site that has come what is going on."""
        for room in list(self.rooms.values()):
            await room.remind(site)
        await self.deliveries.remind(site, self.link(site))

    async def _from_site(self, peer: Peer, exchange: Exchange, message: Message) -> None:
        match message:
            case Decided() if message.run in self.rooms:
                await self.rooms[message.run].decided(peer.name, message)
            case Answered() if message.run in self.rooms:
                exchange.start(self.rooms[message.run].answered(peer.name, message))
            case Taken():
                self.deliveries.taken(peer.name, message.run)
            case Decided() | Answered():
                pass  # of a run that is over
            case _:
                raise DataError(f"a site does not send a {type(message).__name__}")

    async def _from_researcher(self, peer: Peer, exchange: Exchange, message: Message) -> None:
        match message:
            case AskRoster():
                await exchange.send(Roster(self._roster()))
            case Attach():
                await self._attach(peer, exchange, message)
            case Ask():
                self._room(peer, message.run).ask(message)
            case Deliver():
                known = [site for site in message.sites if site in self._roster()]
                exchange.start(self._deliver(known or self._room(peer, message.run).names, exchange, message))
            case Finish():
                if message.run in self.rooms:
                    room = self._room(peer, message.run)
                    del self.rooms[message.run]
                    await room.finish()
                    self.records.finish(message.run, peer.name)
                    self.say(f"run {message.run[:12]} is over")
                await exchange.send(Finished(message.run))
            case _:
                raise DataError(f"a researcher does not send a {type(message).__name__}")

    async def _deliver(self, sites: Sequence[str], exchange: Exchange, deliver: Deliver) -> None:
        """Fetch a fitted model for the sites of its run."""
        try:
            self.deliveries.add(deliver, sites, await exchange.fetch(deliver.frame))
        except (TalkootError, OSError, sqlite3.Error) as error:
            text = f"the coordinator cannot deliver the model to the sites: {error}"
            await exchange.send(Note("note", {"text": text}))
        for site in sites:
            await self.deliveries.remind(site, self.link(site))
        await exchange.send(Taken(deliver.run))

    def _room(self, peer: Peer, run: str) -> Room:
        room = self.rooms.get(run)
        if room is None or room.proposed.researcher != peer.name:
            raise DataError(f"the run {run[:12]} is not one of {peer.name}'s")
        return room

    async def _attach(self, peer: Peer, exchange: Exchange, attach: Attach) -> None:
        run = run_of(attach.proposal)
        room = self.rooms.get(run)
        if room is None:
            propose = Propose(attach.proposal, attach.signature, attach.certificate)
            proposed = Proposed(peer.name, tuple(attach.sites), propose, self.clock())
            room = self.rooms[run] = Room(run, proposed, self)
            self.records.propose(run, proposed)
            self.say(f"run {run[:12]} of {peer.name}: waiting for {', '.join(attach.sites)}")
        elif room.proposed.researcher != peer.name:
            raise DataError(f"the run {run[:12]} is another researcher's")
        await room.attach(exchange)

    def _roster(self) -> dict[str, str]:
        """Certificates of the sites that take part; empty where one has never been here."""
        known = self.records.roster.certificates()
        if self.listed is not None:
            return {name: known.get(name, b"").decode() for name in sorted(self.listed)}
        return {name: known[name].decode() for name in sorted(known) if self._counts(known[name])}

    def _counts(self, certificate: bytes) -> bool:
        try:
            self.gate.peer_of(certificate)
        except TalkootError:
            return False
        return True
