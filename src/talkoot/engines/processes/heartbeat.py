"""What a worker shows while it works: a page of shared memory that its parent reads without asking."""

from __future__ import annotations

import mmap
import os
from typing import final

from talkoot.engines.processes.memory import anonymous

_SIZE = mmap.PAGESIZE
_BEATS, _NODE, _ROWS = range(3)
_MOST = 1 << 16  # bytes of last words that are read


@final
class Heartbeat:
    """Signs of life, the node at work and the rows it has read. One process writes, another reads.

    Behind the page is room for last words: what the interpreter writes when native code crashes.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._page = mmap.mmap(fd, _SIZE)
        self._cells = memoryview(self._page).cast("q")

    @classmethod
    def make(cls) -> Heartbeat:
        """A board of its own memory."""
        fd = anonymous()
        os.ftruncate(fd, _SIZE)
        os.lseek(fd, _SIZE, os.SEEK_SET)  # where last words go
        return cls(fd)

    def close(self) -> None:
        """Let go of the memory."""
        self._cells.release()
        self._page.close()
        os.close(self.fd)

    @property
    def beats(self) -> int:
        """Counts up once a second while the worker lives."""
        return self._cells[_BEATS]

    @property
    def node(self) -> int | None:
        """Which of the nodes that it was asked for the worker is at; None between rounds."""
        return self._cells[_NODE] - 1 if self._cells[_NODE] else None

    @property
    def rows(self) -> int:
        """Rows of that node read so far."""
        return self._cells[_ROWS]

    def beat(self) -> None:
        """Give a sign of life."""
        self._cells[_BEATS] += 1

    def turn(self, node: int | None) -> None:
        """Go on to a node, or to none."""
        self._cells[_ROWS] = 0
        self._cells[_NODE] = 0 if node is None else node + 1

    def read(self, rows: int) -> None:
        """Some more rows were read."""
        self._cells[_ROWS] += rows

    def last_words(self) -> str:
        """What was written behind the page, such as the traceback of a crash in native code."""
        return os.pread(self.fd, _MOST, _SIZE).decode(errors="replace").strip()
