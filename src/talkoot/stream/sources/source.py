"""What a source of a stream is: a description that travels, and the reader it opens for one partition."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self, final

from talkoot.core.errors import DataError, PlanError

EARLIEST, LATEST = "earliest", "latest"
STARTS = (EARLIEST, LATEST)
PAUSES = (0.0005, 0.02)  # seconds between two looks at what has no way of telling: the first, and the longest


@final
class OffsetGone(DataError):
    """The rows at an offset are no longer there, or never were.

    Args:
        cause: the partition, the offset, and what is there instead.
        resume: the next offset at which there are rows, for those who go on without what is lost.
        place: node, step, column and cure, as in every error.

    >>> error = OffsetGone("partition '0' has rows 50 to 90, and not row 20", resume="50")
    >>> isinstance(error, DataError), error.resume
    (True, '50')
    """

    def __init__(self, cause: str, *, resume: str, **place: str | None) -> None:
        self.resume = resume
        super().__init__(cause, **place)

    def at(self, *, node: str | None = None, step: str | None = None) -> OffsetGone:
        """The same error with the node and step filled in where they were unknown."""
        return OffsetGone(
            self.cause,
            resume=self.resume,
            node=self.node or node,
            step=self.step or step,
            cure=self.cure,
        )

    def __reduce__(self) -> Any:
        place = {name: getattr(self, name) for name in ("resume", "node", "step", "cure")}
        return partial(OffsetGone, self.cause, **place), ()


@final
@dataclass(frozen=True, slots=True)
class Rejected:
    """A message that could not be decoded.

    Args:
        offset: where to seek to read it again.
        cause: what is wrong with it.
        value: its bytes.
    """

    offset: str
    cause: str
    value: bytes


@final
@dataclass(frozen=True, slots=True, eq=False)
class Chunk:
    """Consecutive rows of one partition.

    Args:
        batch: the rows, a `pyarrow.RecordBatch`; without rows where all messages were rejected.
        first: where to seek to read these rows again.
        offset: where to seek to read what comes after them.
        rejected: messages between the two that could not be decoded.
    """

    batch: Any
    first: str
    offset: str
    rejected: tuple[Rejected, ...] = ()


class Reader(ABC):
    """One partition, open for reading, at a position.

    The rows of a partition have one order that never changes, so what is read from an offset is always the
    same, however it is cut into chunks. A reader belongs to one thread.
    """

    tells_lag: ClassVar[bool] = False  # whether `lag` is None only while it is not known yet
    trouble: str | None = None  # why nothing comes, in words, where something is wrong that may pass

    @abstractmethod
    def seek(self, offset: str | None) -> None:
        """Go on at an offset.

        Args:
            offset: one that a chunk named, ``"earliest"``, ``"latest"``, or None for the source's `start`.

        Raises:
            OffsetGone: the rows there were deleted, or never were.
        """

    @abstractmethod
    def poll(self, rows: int, seconds: float) -> Chunk | None:
        """The next rows: at most `rows`, fewer where fewer are there now or where the columns change.

        Args:
            rows: at least 1.
            seconds: how long to wait for the first row.

        Returns:
            A chunk; None where nothing came.

        Raises:
            OffsetGone: rows were deleted before they were read.
            DataError: what is stored is damaged.
        """

    def ended(self) -> bool:
        """Whether all rows were read and the source states that no more will come."""
        return False

    def commit(self, offset: str) -> None:  # noqa: B027
        """Report an offset to the broker's group, so that tools can show the lag; it is never read back."""

    def lag(self) -> int | None:
        """Rows or messages that are there and were not read; None where it is not known."""
        return None

    def dry(self) -> bool:
        """Whether nothing is left to read just now, as far as that is known, where a poll brought nothing."""
        lag = self.lag()
        return lag == 0 or (lag is None and not self.tells_lag)

    def close(self) -> None:  # noqa: B027
        """Let go of files and connections."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Source(ABC):
    """Where the rows of a stream come from: a frozen description that travels to the node that reads it."""

    @abstractmethod
    def partitions(self) -> tuple[str, ...]:
        """The names of the partitions, in a fixed order; each is read by one node.

        Raises:
            DataError: the source cannot be reached.
        """

    @abstractmethod
    def open(self, partition: str) -> Reader:
        """A reader at the source's `start`, to be used as a context manager."""

    def typed(self) -> Source:
        """The same source with the types of its columns written down, so that all nodes decode alike.

        Sources whose values name their types are returned as they are.
        """
        return self


def pauses(seconds: float) -> Iterator[None]:
    """Something to do again until `seconds` are over, at least once; sleeps in between, longer each time."""
    ends, pause = time.monotonic() + seconds, PAUSES[0]
    yield
    while (left := ends - time.monotonic()) > 0:
        time.sleep(min(pause, left))
        pause = min(2 * pause, PAUSES[1])
        yield


def checked_start(start: str) -> None:
    """Refuse a start that is neither the earliest nor the latest.

    Raises:
        PlanError: it is another word.
    """
    if start not in STARTS:
        raise PlanError(f"start={start!r} is unknown", cure=f"Take one of {', '.join(map(repr, STARTS))}.")


def whole_number(offset: str, partition: str) -> int:
    """An offset that counts rows.

    Raises:
        DataError: it is no such number, so it is of another source.

    >>> whole_number("12", "0")
    12
    """
    if not (offset.isascii() and offset.isdigit()):
        raise DataError(
            f"partition {partition!r}: {offset!r} is no offset of this source",
            cure="Was the store of another stream given?",
        )
    return int(offset)
