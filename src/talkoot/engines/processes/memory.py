"""Shared memory without names: it is gone with the last process that holds it, whatever ends that process."""

from __future__ import annotations

import mmap
import os
import tempfile
import threading
import weakref
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

ALIGN = 64  # bytes: a cache line, and more than any dtype asks for
LARGE = 1 << 16  # bytes from which a buffer is placed rather than sent
KEEP = 2 << 30  # bytes of placed rows that are kept between fits
_COMPARED = 1 << 19  # bytes compared at a time


@final
class Segment:
    """A piece of anonymous shared memory: a file descriptor without a name in any file system."""

    def __init__(self, pieces: Sequence[Any]) -> None:
        """Write `pieces` (bytes-like) one behind the other, each aligned."""
        self.offsets, self.size = layout(memoryview(piece).nbytes for piece in pieces)
        self.fd = anonymous()
        self._closed = weakref.finalize(self, os.close, self.fd)
        self._closed.atexit = False
        for offset, piece in zip(self.offsets, pieces, strict=True):
            _write(self.fd, memoryview(piece), offset)
        os.ftruncate(self.fd, max(1, self.size))


def layout(sizes: Iterable[int]) -> tuple[list[int], int]:
    """Aligned offsets of pieces that lie one behind the other, and the bytes that they take in all.

    >>> layout([3, 70, 1])
    ([0, 64, 192], 193)
    """
    offsets, end = [], 0
    for size in sizes:
        start = -(-end // ALIGN) * ALIGN
        offsets.append(start)
        end = start + size
    return offsets, end


def view(fd: int) -> memoryview:
    """The whole of a segment, mapped so that it can only be read. The descriptor may be closed after."""
    return memoryview(mmap.mmap(fd, os.fstat(fd).st_size, access=mmap.ACCESS_READ))


def copy(fd: int, size: int) -> memoryview:
    """The first `size` bytes of a segment as memory of this process's own."""
    held = memoryview(bytearray(size))
    done = 0
    while done < size:
        done += os.preadv(fd, [held[done:]], done)
    return held


def anonymous() -> int:
    """A descriptor of empty memory that no file system knows."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("talkoot", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:  # has no name either, but lies on a disk
        return os.dup(file.fileno())


def _write(fd: int, data: memoryview, offset: int) -> None:
    data = data.cast("B") if data.nbytes else memoryview(b"")
    done = 0
    while done < data.nbytes:
        done += os.pwrite(fd, data[done:], offset + done)


@final
@dataclass(frozen=True, slots=True)
class Place:
    """Where a buffer lies in shared memory."""

    segment: Any  # a `Segment`, or what stands for one where workers share memory in another way
    offset: int  # its first byte
    size: int  # its bytes


@final
@dataclass(slots=True)
class Shelf:
    """Buffers that were placed before, by where they lie in this process.

    A buffer that comes again is not copied again. Its bytes are compared with those on the shelf, since
    its owner may have changed them; that takes a fraction of a copy. An entry goes with the array that
    it came from.
    """

    limit: int = KEEP
    _places: dict[tuple[int, int], tuple[Place, weakref.ref[Any]]] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.RLock)

    def place(self, buffers: Sequence[memoryview]) -> list[Place]:
        """Where each of `buffers` lies in shared memory; those that are new go into one segment."""
        with self._lock:
            found = [self._find(buffer) for buffer in buffers]
            fresh = [buffer for buffer, place in zip(buffers, found, strict=True) if place is None]
            if fresh:
                segment = Segment(fresh)
                made = iter(
                    Place(segment, offset, buffer.nbytes)
                    for offset, buffer in zip(segment.offsets, fresh, strict=True)
                )
                found = [place or next(made) for place in found]
            for buffer, place in zip(buffers, found, strict=True):
                assert place is not None
                self._keep(buffer, place)
            self._trim()
            return [place for place in found if place is not None]

    def clear(self) -> None:
        """Forget all, also in a fork of this process, where another thread may have held the lock."""
        self._places, self._lock = {}, threading.RLock()

    @property
    def size(self) -> int:
        """Bytes on the shelf."""
        return sum(place.size for place, _ in list(self._places.values()))

    def _find(self, buffer: memoryview) -> Place | None:
        place, owner = self._places.get(_key(buffer), (None, None))
        if place is None or owner is None or owner() is None:
            return None
        there = view(place.segment.fd)[place.offset : place.offset + place.size]
        return place if _same(buffer, there) else None

    def _keep(self, buffer: memoryview, place: Place) -> None:
        key, owner = _key(buffer), _owner(buffer)
        self._places.pop(key, None)  # the last used stand at the end
        if owner is not None:
            self._places[key] = place, weakref.ref(owner, lambda ref: self._forget(key, ref))

    def _forget(self, key: tuple[int, int], ref: weakref.ref[Any]) -> None:
        """Called when an array is collected, in any thread and at any time: takes no lock."""
        if self._places.get(key, (None, None))[1] is ref:
            self._places.pop(key, None)

    def _trim(self) -> None:
        while self._places and self.size > self.limit:
            self._places.pop(next(iter(list(self._places))), None)


def _key(buffer: memoryview) -> tuple[int, int]:
    return np.frombuffer(buffer, dtype=np.uint8).ctypes.data, buffer.nbytes


def _owner(buffer: memoryview) -> Any:
    """The array whose memory a buffer shows: what must die before that memory can be another's."""
    owner: Any = buffer.obj
    while isinstance(getattr(owner, "base", None), np.ndarray):
        owner = owner.base
    return owner if isinstance(owner, np.ndarray) else None


def _same(a: memoryview, b: memoryview) -> bool:
    """Whether two buffers of one size hold the same bytes."""
    x, y = (np.frombuffer(side, dtype=np.uint8) for side in (a, b))
    whole = len(x) - len(x) % 8
    words = _COMPARED // 8
    u, v = x[:whole].view(np.uint64), y[:whole].view(np.uint64)
    return bool((x[whole:] == y[whole:]).all()) and all(
        bool((u[at : at + words] == v[at : at + words]).all()) for at in range(0, len(u), words)
    )
