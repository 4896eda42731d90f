"""Reading one partition of a segment log, while it is written or later."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, final

from talkoot.stream.sources.log.segments import ENDED, Segment, damaged, first_rows
from talkoot.stream.sources.source import EARLIEST, LATEST, Chunk, OffsetGone, Reader, pauses, whole_number


@final
class LogReader(Reader):
    """The rows of one partition from a position on; offsets are row numbers since the log began."""

    def __init__(self, folder: Path, start: str) -> None:
        self._folder, self._start = folder, start
        self._segment: Segment | None = None
        self._first = 0  # the first row of the open segment
        self._batch: Any | None = None  # a batch that was read, and how many of its rows are behind us
        self._inside = 0
        self._row = 0
        self.seek(None)

    def seek(self, offset: str | None) -> None:
        """Go on at a row; see `Reader.seek`."""
        at = offset if offset is not None else self._start
        firsts = first_rows(self._folder)
        begin, end = firsts[0] if firsts else 0, self._end(firsts)
        row = {EARLIEST: begin, LATEST: end}.get(at)
        row = whole_number(at, self._folder.name) if row is None else row
        if not begin <= row <= end:
            raise self._gone(row, begin, end)
        self._move_to(row)

    def poll(self, rows: int, seconds: float) -> Chunk | None:
        """The next rows; see `Reader.poll`."""
        for _ in pauses(seconds):
            if self._batch is None:
                self._batch = self._load()
            if self._batch is not None:
                return self._cut(self._batch, rows)
        return None

    def ended(self) -> bool:
        """Whether the writer has ended the partition, and all of it was read."""
        if self._batch is not None or not (self._folder / ENDED).exists():
            return False
        self._batch = self._load()
        return self._batch is None

    def lag(self) -> int | None:
        """Rows that were written and not read."""
        return self._end(first_rows(self._folder)) - self._row

    def close(self) -> None:
        """Close the open file."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _cut(self, batch: Any, rows: int) -> Chunk:
        part = batch.slice(self._inside, rows)
        first, self._row = self._row, self._row + part.num_rows
        self._inside += part.num_rows
        if self._inside == batch.num_rows:
            self._batch, self._inside = None, 0
        return Chunk(part, first=str(first), offset=str(self._row))

    def _load(self) -> Any | None:
        """The batch that holds the next row, if it is there."""
        if self._segment is None and not self._open(self._row):
            return None
        assert self._segment is not None
        if (batch := self._segment.read()) is None:
            later = [first for first in first_rows(self._folder) if first > self._first]
            if later and (batch := self._segment.read()) is None:  # it may have come before the later one
                return self._load_later(later)
            if batch is None:
                self._segment.torn()  # raises where it is damaged and not unfinished
                return None
        self._inside = self._row - (self._segment.row - batch.num_rows)
        return batch

    def _load_later(self, later: list[int]) -> Any | None:
        """The first batch of the segment behind this one."""
        segment = self._segment
        assert segment is not None
        if later[0] != segment.row and segment.torn():
            raise damaged(segment.path, segment.at, f"rows {segment.row} to {later[0]} are not there")
        if later[0] != segment.row:
            raise self._gone(self._row, later[0], self._end(later))
        self._move_to(self._row)
        return self._load()

    def _open(self, row: int) -> bool:
        """Open the segment of a row, if there is one."""
        firsts = first_rows(self._folder)
        before = [first for first in firsts if first <= row]
        if not firsts:
            return False
        if not before:
            raise self._gone(row, firsts[0], self._end(firsts))
        try:
            self._segment = Segment.open(self._folder, before[-1])
        except FileNotFoundError:  # deleted since the folder was listed
            return self._open(row)
        self._first = before[-1]
        self._segment.skip(row)
        return True

    def _end(self, firsts: list[int]) -> int:
        """The row behind the last one that was written."""
        if not firsts:
            return 0
        try:
            last = Segment.open(self._folder, firsts[-1])
        except FileNotFoundError:  # deleted since the folder was listed
            return self._end(first_rows(self._folder))
        try:
            last.skip(math.inf)
            return last.row
        finally:
            last.close()

    def _move_to(self, row: int) -> None:
        self.close()
        self._row, self._batch, self._inside = row, None, 0

    def _gone(self, row: int, begin: int, end: int) -> OffsetGone:
        there = f"rows {begin} to {end}" if end > begin else f"no row from {begin} on"
        return OffsetGone(
            f"partition {self._folder.name!r} of {self._folder.parent} has {there}, and not row {row}",
            resume=str(begin if row < begin else end),
        )
