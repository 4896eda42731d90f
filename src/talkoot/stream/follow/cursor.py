"""The readers of a node's partitions: whose turn it is, how many rows, and when there are no more."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Literal, final

from talkoot.core.errors import DataError
from talkoot.stream.sources.source import Chunk, OffsetGone, Reader, Source

Gone = Literal["stop", "earliest", "latest"]  # what to do where rows are gone
PART = 4096  # rows that are read at once
SILENT = 300.0  # seconds that rows are waited for which do not come, where the end is to be reached
WAIT = 0.1  # seconds that one partition is waited for while others may have rows


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """How much a node reads in a round.

    Args:
        rows: so many rows; None without a limit.
        seconds: for so long; None until the rows are there.
        to_end: stop as well where nothing is left to read just now, not only where nothing will ever come.
    """

    rows: int | None = None
    seconds: float | None = None
    to_end: bool = True


@final
@dataclass(slots=True, eq=False)
class Cursor:
    """Readers of partitions, each at an offset.

    Which rows are read in a round follows from the offsets and the quota alone, as long as the stream has
    them: partitions take turns, and each is read until its share is there.

    Args:
        source: the stream.
        offsets: where to go on, by partition; None at the start of the stream.
        gone: what to do where the rows at an offset are gone.
    """

    source: Source
    offsets: dict[str, str | None]
    gone: Gone = "stop"
    over: set[str] = field(default_factory=set)  # partitions of which nothing will come
    lost: dict[str, str] = field(default_factory=dict)  # rows that were gone, in words, by partition
    _readers: dict[str, Reader] = field(default_factory=dict)
    _open: ExitStack = field(default_factory=ExitStack)

    @property
    def done(self) -> bool:
        """Whether all partitions are over."""
        return self.over.issuperset(self.offsets)

    def close(self) -> None:
        """Close all readers."""
        self._readers = {}
        self._open.close()

    def commit(self) -> None:
        """Report the offsets to the broker's group, for tools that show the lag."""
        for partition, reader in self._readers.items():
            if (offset := self.offsets[partition]) is not None:
                reader.commit(offset)

    def read(self, quota: Quota, waiting: Callable[[], None]) -> Iterator[tuple[str, Chunk]]:
        """Chunks of partitions until the quota is met; what was taken is moved past.

        Args:
            quota: how much to read.
            waiting: called while nothing comes; it may raise.
        """
        ends = math.inf if quota.seconds is None else time.monotonic() + quota.seconds
        left = math.inf if quota.rows is None else quota.rows
        wait = waiting if quota.seconds is None else None
        live, patience = list(self.offsets), 0.0
        self.over = set()
        while left > 0 and live and time.monotonic() < ends:
            came, share = False, math.ceil(left / len(live)) if left < math.inf else PART
            for partition in live:
                rows = int(min(share, left))
                for chunk in self._share(partition, rows, patience, to_end=quota.to_end, wait=wait):
                    came, left = True, left - size(chunk)
                    yield partition, chunk
                waiting()
            live = [partition for partition in live if partition not in self.over]
            patience = 0.0 if came else WAIT / max(1, len(live))

    def next(
        self, partition: str, rows: int, patience: float, *, to_end: bool, wait: Callable[[], None] | None
    ) -> Chunk | None:
        """The next rows of one partition, at most so many; None where there are none now."""
        return next(self._share(partition, rows, patience, to_end=to_end, wait=wait), None)

    def again(self, partition: str, chunk: Chunk, rows: int, waiting: Callable[[], None]) -> Iterator[Chunk]:
        """The first rows of a chunk once more, and no further; the partition goes on behind them."""
        self._seek(self._reader(partition), partition, chunk.first)
        self.offsets[partition] = chunk.first
        while rows > 0:
            before = rows
            for part in self._share(partition, rows, WAIT, to_end=False, wait=waiting):
                rows -= part.batch.num_rows
                yield part
            if rows == before:  # the rows are gone since then
                return

    def _share(
        self,
        partition: str,
        rows: int,
        patience: float,
        *,
        to_end: bool,
        wait: Callable[[], None] | None,
    ) -> Iterator[Chunk]:
        """So many rows of a partition, or as many as it has now.

        With `wait`, which is called meanwhile, rows are waited for that are there and do not come, or of
        which is not known whether they are, as where a broker does not answer. So what is read next does not
        depend on how fast it answers.
        """
        reader, silent = self._reader(partition), 0.0
        while rows > 0:
            chunk = self._poll(reader, partition, min(rows, PART), patience)
            if chunk is not None:
                silent = 0.0
                rows -= size(chunk)
                self.offsets[partition] = chunk.offset
                yield chunk
                continue
            if reader.ended() or reader.dry():
                if reader.ended() or (to_end and (reader.lag() is not None or patience > 0)):
                    self.over.add(partition)
                return
            if wait is None and patience > 0:
                return
            if wait is not None:
                wait()
            silent, patience = silent + patience, WAIT
            if to_end and silent > SILENT:
                raise DataError(
                    f"rows of partition {partition!r} do not come: {reader.trouble or 'nothing answers'}",
                    cure="See that the stream can be read, and call again: it goes on where it was.",
                )

    def _reader(self, partition: str) -> Reader:
        if partition not in self._readers:
            reader = self._open.enter_context(self.source.open(partition))
            self._seek(reader, partition, self.offsets[partition])
            self._readers[partition] = reader
        return self._readers[partition]

    def _poll(self, reader: Reader, partition: str, rows: int, seconds: float) -> Chunk | None:
        try:
            return reader.poll(rows, seconds)
        except OffsetGone as error:
            self._go_on(reader, partition, error)
            return None

    def _seek(self, reader: Reader, partition: str, offset: str | None) -> None:
        try:
            reader.seek(offset)
        except OffsetGone as error:
            self._go_on(reader, partition, error)

    def _go_on(self, reader: Reader, partition: str, error: OffsetGone) -> None:
        if self.gone == "stop":
            cure = "Go on with gone='earliest', without what is lost, or with gone='latest'."
            raise OffsetGone(error.cause, resume=error.resume, cure=cure) from error
        reader.seek(self.gone)
        self.lost[partition] = f"{error.cause}; reading went on at the {self.gone} rows"


def size(chunk: Chunk) -> int:
    """Rows of a chunk, those among them that could not be decoded."""
    return int(chunk.batch.num_rows) + len(chunk.rejected)


def owned(partitions: tuple[str, ...], stored: Mapping[str, str | None]) -> dict[str, str | None]:
    """Offsets of the partitions that a node owns now."""
    return {partition: stored.get(partition) for partition in partitions}
