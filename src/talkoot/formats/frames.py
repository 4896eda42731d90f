"""Bytes that hold plain data and, behind it, raw buffers: what every file and message of Talkoot is made of.

A frame is ``MAGIC``, the header's length, the header (msgpack: the data and the sizes of the buffers) and
the buffers, each at a multiple of `ALIGN`. All lengths are checked before anything is allocated or read.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from talkoot.core.errors import DataError

MAGIC = b"talkoot\x01"
ALIGN = 64  # bytes
HEADER = 64 << 20  # bytes that a header may have
_LENGTH = struct.Struct("<Q")


def to_bytes(data: Any, buffers: Sequence[Any] = ()) -> bytes:
    """A frame.

    Args:
        data: None, booleans, numbers (whole ones of 64 bits), text, bytes, lists, and dicts of these.
        buffers: bytes-like.

    >>> data, buffers = from_bytes(to_bytes({"n": 1}, [b"abc"]))
    >>> data, bytes(buffers[0])
    ({'n': 1}, b'abc')
    """
    return b"".join(to_pieces(data, [[buffer] for buffer in buffers]))


def to_pieces(data: Any, buffers: Sequence[Sequence[Any]] = ()) -> list[memoryview]:
    """A frame whose buffers are not copied: joined, its pieces are what `to_bytes` makes.

    Args:
        data: as in `to_bytes`.
        buffers: the pieces of each buffer, bytes-like; the pieces of a frame are a buffer of another.
    """
    views = [[memoryview(piece).cast("B") for piece in buffer] for buffer in buffers]
    sizes = [sum(view.nbytes for view in buffer) for buffer in views]
    header = msgspec.msgpack.encode([data, sizes])
    pieces = [memoryview(piece) for piece in (MAGIC, _LENGTH.pack(len(header)), header)]
    end = sum(map(len, pieces))
    for buffer, size in zip(views, sizes, strict=True):
        pieces += [memoryview(bytes(-end % ALIGN)), *buffer]
        end += -end % ALIGN + size
    return pieces


def from_bytes(frame: Any) -> tuple[Any, list[memoryview]]:
    """The data and the buffers of a frame; the buffers are views of it.

    Raises:
        DataError: it is no frame, is cut off, or says sizes that it does not have.
    """
    view = memoryview(frame).cast("B")
    start = len(MAGIC) + _LENGTH.size
    if view[: len(MAGIC)] != MAGIC or len(view) < start:
        raise DataError("these bytes were not written by Talkoot", cure="Look at the file's name.")
    (length,) = _LENGTH.unpack(view[len(MAGIC) : start])
    if length > min(HEADER, len(view) - start):
        raise _damaged("it is cut off, or its header is too large")
    try:
        header = msgspec.msgpack.decode(view[start : start + length], type=tuple[Any, list[int]])
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise _damaged(str(error)) from None
    data, sizes = header
    return data, list(_buffers(view, start + length, sizes))


def _buffers(view: memoryview, end: int, sizes: Sequence[int]) -> Iterable[memoryview]:
    for size in sizes:
        begin = end + -end % ALIGN
        end = begin + size
        if size < 0 or end > len(view):
            raise _damaged("it is shorter than its header says")
        yield view[begin:end]
    if end != len(view):
        raise _damaged("it is longer than its header says")


def _damaged(cause: str) -> DataError:
    return DataError(f"the file is damaged: {cause}", cure="Take another copy of it.")
