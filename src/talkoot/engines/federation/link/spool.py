"""Memory for frames that arrive; beyond a budget they lie in files without a name."""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, final

import numpy as np

from talkoot.core.errors import DataError

SMALL = 1 << 16  # bytes of a frame that is not worth a file


class Buffer(Protocol):
    """A place for the bytes of one frame."""

    def write(self, offset: int, data: memoryview) -> None:
        """Put bytes in their place."""

    def view(self) -> memoryview:
        """All of them."""


@final
class InMemory:
    """A frame in memory."""

    __slots__ = ("array",)

    def __init__(self, size: int) -> None:
        self.array = np.empty(size, np.uint8)

    def write(self, offset: int, data: memoryview) -> None:
        """Put bytes in their place."""
        self.array[offset : offset + data.nbytes] = np.frombuffer(data, np.uint8)

    def view(self) -> memoryview:
        """All of them."""
        return self.array.data


@final
class InFile:
    """A frame in a file that is gone when nobody looks at it."""

    __slots__ = ("__weakref__", "_file")

    def __init__(self) -> None:
        with _named():
            self._file, name = tempfile.mkstemp(prefix="talkoot-")
        os.unlink(name)
        weakref.finalize(self, os.close, self._file)

    def write(self, offset: int, data: memoryview) -> None:
        """Put bytes in their place."""
        with _named():
            while data.nbytes:
                written = os.pwrite(self._file, data, offset)
                offset, data = offset + written, data[written:]

    def view(self) -> memoryview:
        """All of them; read from the file when they are looked at."""
        return memoryview(mmap.mmap(self._file, 0, access=mmap.ACCESS_COPY))


@contextmanager
def _named() -> Iterator[None]:
    """Name the folder of files that cannot be written.

    Raises:
        DataError: they cannot.
    """
    try:
        yield
    except OSError as error:
        raise DataError(
            f"a frame does not go into a file in {tempfile.gettempdir()} of the receiver: {error.strerror}",
            cure="Make room there, or have TMPDIR name a folder that has some.",
        ) from None


@final
class Spool:
    """A budget of memory that many links share.

    Args:
        budget: bytes of frames that may be in memory at a time.
    """

    def __init__(self, budget: int) -> None:
        self.budget, self.used = budget, 0

    def allocate(self, size: int) -> Buffer:
        """A place for a frame: in memory if there is room."""
        if size > SMALL and self.used + size > self.budget:
            return InFile()
        buffer = InMemory(size)
        self.used += size
        weakref.finalize(buffer.array, self._free, size)
        return buffer

    def _free(self, size: int) -> None:
        self.used -= size
