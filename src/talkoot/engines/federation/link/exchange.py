"""One side of a link: messages over a stream, frames fetched beside them, resumed on the next stream."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from typing import Any, Protocol, final

from talkoot.core.errors import DataError, TalkootError
from talkoot.engines.federation.link.flow import Flow
from talkoot.engines.federation.link.greeting import BEAT, LEASE
from talkoot.engines.federation.link.messages import (
    Beat,
    Chunk,
    Fetch,
    Frame,
    Message,
    Missing,
    Refusal,
    decode,
    encode,
)
from talkoot.engines.federation.link.transfer import Incoming, Transfers

LOG = logging.getLogger("talkoot.link")


AHEAD = 2  # pieces of a frame that are requested at a time
LINGER = 5.0  # seconds that a refused caller has to hang up


class Stream(Protocol):
    """A stream of grpc, at either end."""

    async def read(self) -> Any:
        """The next message; what is no bytes at the end."""

    async def write(self, data: bytes) -> None:
        """Send a message."""


@final
class Closed(Exception):
    """The stream has ended."""


@final
class Exchange:
    """One side of a link. It outlives streams: frames that were cut off go on with the next stream.

    Args:
        transfers: the frames.
        flow: room for bytes on their way, which links may share.
        beat: seconds between signs of life.
        lease: seconds without one after which the stream is given up.
    """

    def __init__(
        self,
        transfers: Transfers | None = None,
        flow: Flow | None = None,
        *,
        beat: float = BEAT,
        lease: float = LEASE,
    ) -> None:
        self.transfers, self.flow = transfers or Transfers(), flow or Flow()
        self.beats = 0  # signs of life
        self.chunks = 0  # pieces of frames that have arrived
        self.moved = 0.0  # when bytes of frames moved last
        self._beat, self._lease = beat, lease
        self._stream: Stream | None = None
        self._lock, self._serving = asyncio.Lock(), asyncio.Lock()
        self._waiting: dict[bytes, asyncio.Future[memoryview]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def connected(self) -> bool:
        """Whether there is a stream."""
        return self._stream is not None

    async def send(self, message: Message) -> None:
        """Send a message, if there is a stream; what is lost with a stream is sent anew on the next one."""
        await self._send(self._stream, message)

    async def _send(self, stream: Stream | None, message: Message) -> None:
        if stream is None or stream is not self._stream:
            return
        async with self._lock:
            with suppress(Exception):  # the stream is gone, which its reader notices as well
                await stream.write(encode(message))

    async def fetch(self, frame: Frame) -> memoryview:
        """The bytes of a frame that the other side offers.

        Raises:
            DataError: it is too large, damaged, or not there any more.
        """
        future = self._waiting.get(frame.digest)
        if future is None:
            incoming = self.transfers.want(frame)
            future = self._waiting[frame.digest] = asyncio.get_running_loop().create_future()
            self._request(incoming)
        else:
            self.retry(frame)
        return await asyncio.shield(future)

    def retry(self, frame: Frame) -> None:
        """Ask again for a frame that the other side did not have."""
        incoming = self.transfers.incoming.get(frame.digest)
        if incoming is not None and incoming.stalled:
            self._request(self.transfers.want(frame))

    def give_up(self, frame: Frame) -> None:
        """Wait for a frame no longer."""
        if (incoming := self.transfers.incoming.pop(frame.digest, None)) is not None:
            self.flow.give(incoming.restart())
        if (future := self._waiting.pop(frame.digest, None)) is not None:
            future.cancel()

    def start(self, work: Any) -> None:
        """Do something beside the reading; it ends with the stream."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            LOG.error("on a link", exc_info=error)

    async def messages(
        self, stream: Stream, first: Callable[[], Any] | None = None
    ) -> AsyncGenerator[Message, None]:
        """The messages of a stream, until it ends or nothing comes for the length of the lease.

        Args:
            stream: the new stream; an earlier one is used no more.
            first: what to do once it is in use.

        Raises:
            DataError: bytes that are no message.
        """
        self._stream = stream
        self._stop()
        try:
            for incoming in list(self.transfers.incoming.values()):
                self._request(self.transfers.want(incoming.frame))
            self.start(self._send_beats(stream))
            if first is not None:
                self.start(first())
            while self._stream is stream:
                message = await read(stream, self._lease)
                if self._stream is not stream:
                    return
                self.beats += 1
                if not self._is_own(stream, message):
                    yield message
        except Closed:
            return
        finally:
            if self._stream is stream:
                self._stream = None
                self._stop()

    def _stop(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        for incoming in self.transfers.incoming.values():
            self.flow.give(incoming.restart())

    async def _send_beats(self, stream: Stream) -> None:
        while True:
            await asyncio.sleep(self._beat)
            await self._send(stream, Beat())

    def _is_own(self, stream: Stream, message: Message) -> bool:
        """Whether a message is about frames, or a sign of life."""
        match message:
            case Beat():
                return True
            case Fetch():
                self.start(self._serve(stream, message))
                return True
            case Chunk():
                self._take(message)
                return True
            case Missing(digest=digest):
                if (incoming := self.transfers.incoming.get(digest)) is not None:
                    incoming.stalled = True  # it is offered again once the other side is back where it was
                    self.flow.give(incoming.restart())
                return True
        return False

    def _request(self, incoming: Incoming, pieces: int = 1) -> None:
        """Ask for pieces of a frame; without a stream the next one does."""
        if self._stream is not None:
            for _ in range(pieces):
                self.start(self._fetch(self._stream, incoming))

    async def _fetch(self, stream: Stream, incoming: Incoming) -> None:
        """Ask for the next piece of a frame, once there is room for it."""
        if not incoming.left:
            return
        room = await self.flow.take(incoming.left)
        wanted = stream is self._stream and self.transfers.incoming.get(incoming.frame.digest) is incoming
        fetch = incoming.request(room if wanted and not incoming.stalled else 0)
        self.flow.give(room - fetch.size)
        if fetch.size:
            await self._send(stream, fetch)

    async def _serve(self, stream: Stream, fetch: Fetch) -> None:
        async with self._serving:  # what is requested first is sent first
            offset, end = fetch.offset, fetch.offset + fetch.size
            while offset < end:
                room = await self.flow.take(end - offset)
                try:
                    piece = self.transfers.piece(fetch.digest, offset, room)
                    await self._send(stream, piece)
                finally:
                    self.flow.give(room)
                if isinstance(piece, Missing):
                    return
                offset, self.moved = offset + room, time.monotonic()

    def _take(self, chunk: Chunk) -> None:
        self.chunks, self.moved = self.chunks + 1, time.monotonic()
        incoming = self.transfers.incoming.get(chunk.digest)
        if incoming is None:
            return  # given up meanwhile
        underway = incoming.underway
        try:
            complete = self.transfers.take(chunk)
        except DataError as error:
            self.flow.give(underway)
            self._resolve(chunk.digest, error)
            return
        self.flow.give(chunk.data.nbytes)
        if complete is not None:
            self._resolve(chunk.digest, complete.data.view())
        elif arrived := incoming.arrived():
            self._request(incoming, arrived if incoming.started else AHEAD)
            incoming.started = True

    def _resolve(self, digest: bytes, outcome: memoryview | TalkootError) -> None:
        future = self._waiting.pop(digest, None)
        if future is None or future.done():
            return
        if isinstance(outcome, TalkootError):
            future.set_exception(outcome)
        else:
            future.set_result(outcome)


async def read(stream: Stream, lease: float = LEASE) -> Message:
    """The next message of a stream.

    Raises:
        Closed: the stream has ended, or nothing came for the length of the lease.
        DataError: bytes that are no message.
    """
    try:
        data = await asyncio.wait_for(stream.read(), lease)
    except Exception as error:  # grpc's own, of either end, and the time limit's
        raise Closed from error
    if not isinstance(data, bytes):
        raise Closed
    return decode(data)


async def refuse(stream: Stream, refusal: Refusal) -> None:
    """Say why the stream is closed; it stays open for a moment, as what follows the end is not read."""
    with suppress(Exception):
        await stream.write(encode(refusal))
        await asyncio.wait_for(stream.read(), LINGER)
