"""The files of one partition: segments named by their first row, read message by message."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import pyarrow as pa

from talkoot.core.errors import DataError
from talkoot.stream.sources.log.frames import END, PREFIX, Place, batch_of, metadata_size, place_in

ENDING = ".arrows"
ENDED = "ended"  # an empty file beside the segments: no more rows will come
LOCK = "writer.lock"


def segment_name(row: int) -> str:
    """The name of the segment that starts with this row, so that names sort as rows do."""
    return f"{row:020d}{ENDING}"


def first_rows(folder: Path) -> list[int]:
    """The first row of each segment of a partition, in order."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.endswith(ENDING)]
    except FileNotFoundError:
        return []
    return sorted(int(name.removesuffix(ENDING)) for name in names if name.removesuffix(ENDING).isdigit())


def damaged(path: Path, byte: int, what: str) -> DataError:
    """The error for a segment that does not hold what was written."""
    return DataError(
        f"{path} is damaged at byte {byte}: {what}",
        cure=f"Restore the file from a copy. To go on without what is behind it: truncate -s {byte} {path}",
    )


@final
@dataclass(slots=True)
class Segment:
    """One segment, open for reading; `at` is where the next message starts, `row` its first row.

    A file is read with `pread`, never mapped, since its writer may cut off a torn end at any time.
    """

    path: Path
    row: int
    at: int = 0
    schema: Any = None
    finished: bool = False  # whether the mark behind the last message was read
    _prefix: bytes = b""
    _file: int = field(default=-1, repr=False)

    @classmethod
    def open(cls, folder: Path, first: int) -> Segment:
        """The segment that starts with row `first`.

        Raises:
            FileNotFoundError: it was deleted.
        """
        segment = cls(folder / segment_name(first), first)
        segment._file = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        return segment

    def head(self) -> tuple[Place, int] | None:
        """The place of the next message and the bytes that there are of it; None before its head is whole.

        Raises:
            DataError: the file is damaged here.
        """
        if self.schema is None and not self._read_schema():
            return None
        prefix = os.pread(self._file, PREFIX, self.at)
        if prefix == END:
            self.finished = True
            return None
        size = metadata_size(prefix)
        if size is None and len(prefix) == PREFIX and any(prefix):
            raise damaged(self.path, self.at, "no message starts here")
        metadata = os.pread(self._file, PREFIX + size, self.at) if size else b""
        if not size or len(metadata) < PREFIX + size:
            return None
        place = place_in(metadata)
        if place is None or place.row != self.row or place.size < PREFIX + size:
            raise damaged(self.path, self.at, f"the message does not start with row {self.row}")
        return place, min(place.size, os.fstat(self._file).st_size - self.at)

    def read(self) -> Any | None:
        """The next batch, which is then behind us; None while it is not all there.

        Raises:
            DataError: the file is damaged here.
        """
        head = self.head()
        if head is None or head[1] < head[0].size:
            return None
        place, _ = head
        message = pa.allocate_buffer(place.size)
        if os.preadv(self._file, [memoryview(message)], self.at) < place.size:
            return None
        batch = batch_of(message, place, self.schema, self._prefix)
        if batch is None:
            raise damaged(self.path, self.at, f"the checksum of rows {place.row} and on is wrong")
        self._pass(place)
        return batch

    def skip(self, row: float) -> None:
        """Pass the whole messages that end at or before `row`, reading their heads alone."""
        while (head := self.head()) and head[1] == head[0].size and self.row + head[0].rows <= row:
            self._pass(head[0])

    def torn(self) -> bool:
        """Whether there is the beginning of a message behind the last whole one.

        Raises:
            DataError: it is whole but for its length, which is damaged.
        """
        left = os.fstat(self._file).st_size - self.at
        if self.finished or left == 0:
            return False
        place = place_in(os.pread(self._file, left, self.at))
        if place is not None and place.size <= left and not self._whole():
            raise damaged(self.path, self.at, "the length of the message is wrong")
        return True

    def _whole(self) -> bool:
        """Whether the next message can be read: since we last looked, its writer may have finished it."""
        head = self.head()
        return head is not None and head[1] == head[0].size

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def _pass(self, place: Place) -> None:
        self.at, self.row = self.at + place.size, self.row + place.rows

    def _read_schema(self) -> bool:
        prefix = os.pread(self._file, PREFIX, 0)
        size = metadata_size(prefix)
        if size is None and len(prefix) == PREFIX and any(prefix):
            raise damaged(self.path, 0, "it does not start with Arrow's schema")
        message = os.pread(self._file, PREFIX + size, 0) if size else b""
        if not size or len(message) < PREFIX + size:
            return False
        try:
            self.schema = pa.ipc.read_schema(pa.py_buffer(message))
        except (pa.ArrowException, OSError, ValueError) as error:
            raise damaged(self.path, 0, f"its schema cannot be read ({error})") from None
        self._prefix, self.at = message, len(message)
        return True

    @property
    def prefix(self) -> bytes:
        """The bytes of the schema, which every checksum covers."""
        return self._prefix
