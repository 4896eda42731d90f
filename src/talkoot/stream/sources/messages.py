"""Readers of messages, each of which holds one row or many: brokers, and lines of files."""

from __future__ import annotations

from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import pyarrow as pa

from talkoot.stream.sources.source import EARLIEST, Chunk, OffsetGone, Reader, Rejected
from talkoot.stream.sources.values import RowDecoder, Types, Undecodable, Values, batch_of, types_of

AT_ONCE = 16  # messages of many rows that are fetched together
PROBED = 1000  # messages that types are found from
INSIDE = "/"  # in offsets between the place of a message and a row inside of it


@final
@dataclass(frozen=True, slots=True)
class Message:
    """A value and where it stands.

    Args:
        first: where to seek to read it again.
        after: where to seek to read what comes behind it.
        value: its bytes, or None.
    """

    first: str
    after: str
    value: bytes | None


class MessageReader(Reader):
    """A reader that fetches messages and decodes their values; offsets may point into a message.

    Args:
        values: how to decode.
    """

    def __init__(self, values: Values) -> None:
        self._values = values
        self._decoder = RowDecoder(values) if values.by_rows and values.columns is not None else None
        self._pieces: deque[Chunk] = deque()  # decoded and not yet read
        self._inside = 0  # rows of the first piece that were read

    @abstractmethod
    def _fetch(self, messages: int, seconds: float) -> Sequence[Message]:
        """At most so many messages from the position on, which moves behind them; waits for the first."""

    @abstractmethod
    def _move(self, place: str | None) -> None:
        """Fetch from a message on; see `Reader.seek`."""

    def seek(self, offset: str | None) -> None:
        """Go on at an offset; see `Reader.seek`."""
        place, _, inside = (offset or "").partition(INSIDE)
        self._move(place or None)
        self._pieces.clear()
        self._inside = int(inside or 0)

    def poll(self, rows: int, seconds: float) -> Chunk | None:
        """The next rows; see `Reader.poll`."""
        if not self._pieces:
            if self._values.by_rows:
                self._pieces.extend(self._by_rows(self._fetch(rows, seconds)))
            else:
                self._pieces.extend(map(_piece, self._fetch(min(rows, AT_ONCE), seconds)))
        return self._cut(self._pieces[0], rows) if self._pieces else None

    def _cut(self, piece: Chunk, rows: int) -> Chunk:
        """The next rows of the first piece."""
        if self._inside > piece.batch.num_rows:
            cause = (
                f"the message at {piece.first} has {piece.batch.num_rows} rows, and not row {self._inside}"
            )
            raise OffsetGone(cause, resume=piece.offset)
        start, self._inside = self._inside, min(self._inside + rows, piece.batch.num_rows)
        first = f"{piece.first}{INSIDE}{start}" if start else piece.first
        offset = f"{piece.first}{INSIDE}{self._inside}"
        if self._inside == piece.batch.num_rows:
            self._pieces.popleft()
            self._inside, offset = 0, piece.offset
        return Chunk(piece.batch.slice(start, rows), first, offset, piece.rejected)

    def _by_rows(self, messages: Sequence[Message]) -> list[Chunk]:
        """One piece of messages that are one row each."""
        if not messages:
            return []
        if self._decoder is None:
            raise AssertionError("the source was opened before it was typed")
        batch, wrong = self._decoder.decode([message.value for message in messages])
        rejected = tuple(
            Rejected(messages[at].first, cause, messages[at].value or b"") for at, cause in wrong
        )
        return [Chunk(batch, messages[0].first, messages[-1].after, rejected)]

    def types(self, seconds: float) -> Types | None:
        """The types of the columns, from the first messages; None where none come for so long."""
        self._move(EARLIEST)
        messages = [*self._fetch(PROBED, seconds)]
        while messages and len(messages) < PROBED and self.lag() != 0:
            if not (more := self._fetch(PROBED - len(messages), seconds)):
                break
            messages += more
        return types_of(self._values, [message.value for message in messages]) if messages else None


def _piece(message: Message) -> Chunk:
    """The rows of a message of many."""
    try:
        return Chunk(batch_of(message.value), message.first, message.after)
    except Undecodable as error:
        rejected = Rejected(message.first, str(error), message.value or b"")
        return Chunk(_nothing(), message.first, message.after, (rejected,))


def _nothing() -> Any:
    """A batch without columns and rows."""
    return pa.RecordBatch.from_arrays([], names=[])
