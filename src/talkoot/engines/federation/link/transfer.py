"""Frames on their way: what one side offers and what it waits for, across any number of connections."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, final

from talkoot.core.errors import DataError
from talkoot.engines.federation.link.messages import Chunk, Fetch, Frame, Missing
from talkoot.engines.federation.link.spool import Buffer, InMemory

MOST = 2 << 30  # bytes of a frame


@final
@dataclass(slots=True, eq=False)
class Incoming:
    """A frame that has arrived in part."""

    frame: Frame
    data: Buffer
    offset: int = 0
    ends: deque[int] = field(default_factory=deque)  # of the pieces that were requested and are not here
    started: bool = False  # a piece has arrived since requests began
    stalled: bool = False  # the other side did not have it
    hash: Any = field(default_factory=hashlib.sha256)

    @property
    def underway(self) -> int:
        """Bytes that were requested and are not here."""
        return self.ends[-1] - self.offset if self.ends else 0

    @property
    def left(self) -> int:
        """Bytes that were not requested."""
        return self.frame.size - self.offset - self.underway

    def request(self, most: int) -> Fetch:
        """The request for the next piece, of at most so many bytes."""
        begin, size = self.offset + self.underway, min(most, self.left)
        if size:
            self.ends.append(begin + size)
        return Fetch(self.frame.digest, begin, size)

    def restart(self) -> int:
        """Forget the requests; returns the bytes that they were for."""
        size = self.underway
        self.ends.clear()
        self.started = False
        return size

    def arrived(self) -> int:
        """How many of the pieces that were requested have arrived since this was called last."""
        before = len(self.ends)
        while self.ends and self.ends[0] <= self.offset:
            self.ends.popleft()
        return before - len(self.ends)

    def add(self, chunk: Chunk) -> bool:
        """Take in the next chunk; whether the frame is complete.

        Raises:
            DataError: it is not the next one, is more than was requested, or the frame is not what its name
                says.
        """
        end = chunk.offset + chunk.data.nbytes
        if chunk.offset != self.offset or end > self.offset + self.underway or not chunk.data.nbytes:
            raise DataError(
                f"bytes {chunk.offset} to {end} of a frame of {self.frame.size} arrived, and bytes "
                f"{self.offset} to {self.offset + self.underway} were requested"
            )
        self.data.write(self.offset, chunk.data)
        self.hash.update(chunk.data)
        self.offset = end
        if end < self.frame.size:
            return False
        if self.hash.digest() != self.frame.digest:
            raise DataError("a frame was changed on its way: its SHA-256 is another")
        return True


@final
@dataclass(slots=True, eq=False)
class Transfers:
    """What one side offers to the other, and what it waits for.

    Args:
        limit: bytes that a frame may have; a larger one is refused before memory is taken for it.
        allocate: a place for a frame.
    """

    limit: int = MOST
    allocate: Callable[[int], Buffer] = InMemory
    offered: dict[bytes, memoryview] = field(default_factory=dict)
    offers: Counter[bytes] = field(default_factory=Counter)  # how often, as two runs may have equal frames
    incoming: dict[bytes, Incoming] = field(default_factory=dict)

    def offer(self, data: bytes | memoryview, frame: Frame | None = None) -> Frame:
        """Let the other side fetch a frame; returns its name."""
        frame = frame or Frame.of(data)
        self.offered[frame.digest] = memoryview(data)
        self.offers[frame.digest] += 1
        return frame

    def withdraw(self, digest: bytes) -> None:
        """Take an offer back."""
        self.offers[digest] -= 1
        if self.offers[digest] <= 0:
            del self.offers[digest]
            self.offered.pop(digest, None)

    def want(self, frame: Frame) -> Incoming:
        """Wait for a frame; returns what there is of it.

        Raises:
            DataError: it is too large.
        """
        if not 0 < frame.size <= self.limit or len(frame.digest) != hashlib.sha256().digest_size:
            raise DataError(
                f"a frame of {frame.size:,} bytes was announced, and at most {self.limit:,} are taken",
                cure="Send less: a smaller model, or fewer columns.",
            )
        if frame.digest not in self.incoming:
            self.incoming[frame.digest] = Incoming(frame, self.allocate(frame.size))
        incoming = self.incoming[frame.digest]
        incoming.stalled = False
        return incoming

    def take(self, chunk: Chunk) -> Incoming | None:
        """Take in a chunk; returns the frame when it is complete.

        Raises:
            DataError: it is no part of a frame that is waited for, or damages it.
        """
        incoming = self.incoming.get(chunk.digest)
        if incoming is None:
            return None  # given up meanwhile
        try:
            complete = incoming.add(chunk)
        except DataError:
            del self.incoming[chunk.digest]
            raise
        return self.incoming.pop(chunk.digest) if complete else None

    def piece(self, digest: bytes, offset: int, size: int) -> Chunk | Missing:
        """Bytes of a frame that is offered, at most so many."""
        data = self.offered.get(digest)
        if data is None or not 0 <= offset < data.nbytes:
            return Missing(digest)
        return Chunk(digest, offset, data[offset : offset + size])
