"""What goes between this process and the workers that it forked. The one module that pickles.

A message is a frame: the pickle of an object and, beside it, the buffers of its arrays. Frames up to `INLINE`
bytes go through the socket; of larger ones the socket carries a descriptor of shared memory. So a frame
always fits the socket's buffer, and no send waits for the other side to read.
"""

from __future__ import annotations

import os
import pickle
import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any, final

import cloudpickle

from talkoot.engines.processes.memory import Segment, copy, layout, view

INLINE = 1 << 16
_APART = 1 << 10  # bytes from which a buffer is kept out of the pickle
_HEAD = struct.Struct("=?IQ")  # whether a descriptor comes along, number of pieces, bytes of the body
_FD = struct.Struct("=i")
_CLOEXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Pickled:
    """An object as a pickle and the buffers beside it, which are views of the object's own memory."""

    stream: bytes
    buffers: tuple[memoryview, ...]

    @property
    def size(self) -> int:
        """Bytes of the object: about what it costs to work on."""
        return sum(piece.nbytes for piece in self.pieces)

    @property
    def pieces(self) -> list[memoryview]:
        """The pickle, then the buffers."""
        return [memoryview(self.stream), *self.buffers]


def dump(thing: Any) -> Pickled:
    """Pickle `thing`, with functions and classes of scripts and notebooks by value."""
    buffers: list[memoryview] = []

    def apart(buffer: pickle.PickleBuffer) -> bool:
        raw = buffer.raw()
        if raw.nbytes >= _APART:
            buffers.append(raw)
        return raw.nbytes < _APART

    stream = cloudpickle.dumps(thing, protocol=5, buffer_callback=apart)
    return Pickled(stream, tuple(buffers))


@contextmanager
def by_value(modules: Sequence[ModuleType]) -> Iterator[None]:
    """In this context functions and classes of `modules` are pickled by value, as those of scripts are."""
    before = cloudpickle.list_registry_pickle_by_value()
    added = [module for module in modules if module.__name__ not in before]
    for module in added:
        cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in added:
            cloudpickle.unregister_pickle_by_value(module)


def load(stream: Any, buffers: Sequence[Any]) -> Any:
    """The object again. Its arrays are views of `buffers`, and read-only where those are."""
    return pickle.loads(stream, buffers=buffers)


def copied(thing: Any) -> Any:
    """What the other side would get if `thing` were sent."""
    pickled = dump(thing)
    return load(pickled.stream, pickled.buffers)


def packed(thing: Any) -> bytes:
    """The pickle of `thing` and the buffers beside it in one piece, for wires that know bytes only."""
    pieces = dump(thing).pieces
    sizes = [piece.nbytes for piece in pieces]
    return struct.pack(f"=Q{len(pieces)}Q", len(pieces), *sizes) + _body(pieces, *layout(sizes))


def unpacked(data: bytes) -> Any:
    """What was packed; its arrays lie in memory of their own."""
    (count,) = struct.unpack_from("=Q", data)
    sizes = struct.unpack_from(f"={count}Q", data, 8)
    return _unpack(memoryview(bytearray(memoryview(data)[8 + 8 * count :])), sizes)


def _body(pieces: Sequence[memoryview], offsets: Sequence[int], size: int) -> bytearray:
    """Pieces one behind the other, each aligned."""
    body = bytearray(size)
    for offset, piece in zip(offsets, pieces, strict=True):
        body[offset : offset + piece.nbytes] = piece
    return body


def _unpack(body: memoryview, sizes: Sequence[int]) -> Any:
    """The object of a body with pieces of these sizes; its arrays are views of the body."""
    offsets, _ = layout(sizes)
    stream, *buffers = (body[at : at + length] for at, length in zip(offsets, sizes, strict=True))
    return load(stream, buffers)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A message ready to be sent, to as many workers as need it."""

    head: bytes
    segment: Segment | None = None


def frame(thing: Any) -> Frame:
    """Make a message of `thing`."""
    pieces = dump(thing).pieces
    sizes = [piece.nbytes for piece in pieces]
    offsets, size = layout(sizes)
    head = _HEAD.pack(size > INLINE, len(pieces), size) + struct.pack(f"={len(pieces)}Q", *sizes)
    return Frame(head, Segment(pieces)) if size > INLINE else Frame(head + _body(pieces, offsets, size))


def send(sock: socket.socket, *things: Any) -> None:
    """Send frames, or what frames are made of; the other side is woken once where all fit the socket.

    Raises:
        OSError: the other side is gone, or did not read before the socket's timeout.
    """
    heads = b""
    for thing in things:
        message = thing if isinstance(thing, Frame) else frame(thing)
        if message.segment is None:
            heads += message.head
        else:
            if heads:
                sock.sendall(heads)
            sent = socket.send_fds(sock, [message.head], [message.segment.fd])
            heads = message.head[sent:]
    if heads:
        sock.sendall(heads)


def receive(sock: socket.socket) -> Any:
    """The next message; its arrays lie in memory of their own and may be written to.

    Raises:
        EOFError: the other side is gone.
        OSError: the rest of a message did not come before the socket's timeout.
    """
    head, fds = _first(sock, _HEAD.size)
    try:
        by_descriptor, count, size = _HEAD.unpack(head)
        rest = exactly(sock, 8 * count + (0 if by_descriptor else size))
        body = copy(fds[0], size) if by_descriptor else rest[8 * count :]
    finally:
        for fd in fds:
            os.close(fd)
    return _unpack(body, struct.unpack(f"={count}Q", rest[: 8 * count]))


def send_with(sock: socket.socket, thing: Any, segments: Sequence[Segment]) -> None:
    """Send a message, and let the other side see segments."""
    send(sock, thing)
    for segment in segments:
        lend(sock, segment)


def lend(sock: socket.socket, segment: Segment) -> None:
    """Let the other side see a segment."""
    socket.send_fds(sock, [b"s"], [segment.fd])


def borrow(sock: socket.socket) -> memoryview:
    """A segment that the other side lends, to be read only."""
    _, fds = _first(sock, 1)
    try:
        return view(fds[0])
    finally:
        os.close(fds[0])


def _first(sock: socket.socket, size: int) -> tuple[bytes, list[int]]:
    """The first bytes of a message, with the descriptor that may come along."""
    got, ancillary, _, _ = sock.recvmsg(size, socket.CMSG_SPACE(_FD.size), _CLOEXEC)
    if not got:
        raise EOFError("the other side is gone")
    fds = [_FD.unpack_from(data)[0] for _, _, data in ancillary]
    return got + bytes(exactly(sock, size - len(got))), fds


def exactly(sock: socket.socket, size: int) -> memoryview:
    """The next `size` bytes.

    Raises:
        EOFError: the other side is gone.
        OSError: they did not come before the socket's timeout.
    """
    held = memoryview(bytearray(size))
    done = 0
    while done < size:
        read = sock.recv_into(held[done:])
        if not read:
            raise EOFError("the other side is gone in the middle of a message")
        done += read
    return held
