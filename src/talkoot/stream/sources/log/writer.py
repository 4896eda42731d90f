"""Writing one partition of a segment log: by one process at a time, and so that a kill loses nothing."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self, final

import pyarrow as pa

from talkoot.core.errors import DataError
from talkoot.stream.sources.log.frames import END, message_of, plain, schema_bytes
from talkoot.stream.sources.log.segments import ENDED, LOCK, Segment, first_rows, segment_name
from talkoot.stream.sources.memory import batches_of

MESSAGE_BYTES = 4 << 20  # larger batches are written as several messages, since a message is read at once


@final
@dataclass(frozen=True, slots=True)
class Limits:
    """When a segment is full, and when full segments are deleted."""

    segment_bytes: int
    retention_bytes: int | None
    retention_seconds: float | None


@final
class LogWriter:
    """The writer of one partition; a context manager. `row` is the number of rows that were ever written."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._limits = folder, limits
        self._lock = _locked(folder)
        self._file, self._size = -1, 0
        self._schema: Any = None
        self._prefix = b""
        try:
            if (folder / ENDED).exists():
                cure = f"Write to another one, or delete {folder / ENDED}."
                raise DataError(f"partition {folder.name!r} of {folder.parent} was ended", cure=cure)
            self.row = self._recover()
        except BaseException:
            self.close()
            raise

    def append(self, table: Any, *, sync: bool = True) -> int:
        """Write rows behind the last; when this returns they outlive a kill and a loss of power.

        Args:
            table: a table of pandas, polars or pyarrow, or a list of batches.
            sync: False leaves it to the system when rows reach the disk: faster, and a loss of power may lose
                the last of them, though a kill does not.

        Returns:
            The row behind the last one.

        Raises:
            DataError: it is no table, or the disk is full; what is then missing is counted by `row`.
        """
        for batch in map(plain, batches_of(table)):
            step = max(1, batch.num_rows * MESSAGE_BYTES // max(1, batch.nbytes))
            for at in range(0, batch.num_rows, step):
                self._write(batch.slice(at, step))
        if sync:
            self.sync()
        return self.row

    def sync(self) -> None:
        """Wait until all rows are on the disk."""
        if self._file >= 0:
            os.fsync(self._file)

    def end(self) -> None:
        """State that no more rows will come, and close; readers then end behind the last row."""
        self._finish_segment()
        (self._folder / ENDED).touch()
        _sync_folder(self._folder)
        self.close()

    def close(self) -> None:
        """Close the files, so that another process may write; the partition goes on when it does."""
        for file in (self._file, self._lock):
            if file >= 0:
                os.close(file)
        self._file = self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _write(self, batch: Any) -> None:
        if self._lock < 0:
            raise DataError(f"the writer of {self._folder} is closed", cure="Open another.")
        full = self._size >= self._limits.segment_bytes
        if self._file < 0 or full or not batch.schema.equals(self._schema):
            self._start_segment(batch.schema)
        batch = pa.RecordBatch.from_arrays(batch.columns, schema=self._schema)  # metadata may differ
        self._put(message_of(batch, self.row, self._prefix))
        self.row += batch.num_rows

    def _put(self, data: bytes | bytearray) -> None:
        """Write all of `data`, or nothing of it."""
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError as error:
            os.ftruncate(self._file, self._size)
            os.lseek(self._file, self._size, os.SEEK_SET)
            cure = "Nothing behind that row was stored. Make room on the disk, and write it again."
            raise DataError(f"{self._folder}: row {self.row} was not written: {error}", cure=cure) from error
        self._size += len(data)

    def _start_segment(self, schema: Any) -> None:
        self._finish_segment()
        path = self._folder / segment_name(self.row)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644)
        self._schema, self._prefix, self._size = schema, schema_bytes(schema), 0
        try:
            self._put(self._prefix)
        except DataError:
            os.close(self._file)
            self._file = -1
            path.unlink()
            raise
        _sync_folder(self._folder)
        self._delete_old()

    def _finish_segment(self) -> None:
        if self._file >= 0:
            self._put(END)
            os.fsync(self._file)
            os.close(self._file)
            self._file = -1

    def _delete_old(self) -> None:
        """Delete the oldest segments beyond the limits; never the one that is written."""
        paths = [self._folder / segment_name(first) for first in first_rows(self._folder)]
        stats = [path.stat() for path in paths]
        total, now = sum(stat.st_size for stat in stats), time.time()
        for path, stat in list(zip(paths, stats, strict=True))[:-1]:
            large = self._limits.retention_bytes is not None and total > self._limits.retention_bytes
            age = self._limits.retention_seconds
            if not large and not (age is not None and now - stat.st_mtime > age):
                break
            path.unlink()
            total -= stat.st_size

    def _recover(self) -> int:
        """Cut off what a killed writer left unfinished, and go on behind it; the next row."""
        firsts = first_rows(self._folder)
        if not firsts:
            return 0
        segment = Segment.open(self._folder, firsts[-1])
        try:
            while segment.read() is not None:
                pass
            unfinished = segment.torn() or not segment.finished
            if segment.schema is None:
                segment.path.unlink()
            elif unfinished:
                self._reopen(segment)
            return segment.row
        finally:
            segment.close()

    def _reopen(self, segment: Segment) -> None:
        self._file = os.open(segment.path, os.O_WRONLY | os.O_CLOEXEC)
        os.ftruncate(self._file, segment.at)
        os.lseek(self._file, segment.at, os.SEEK_SET)
        self._schema, self._prefix, self._size = segment.schema, segment.prefix, segment.at


def _locked(folder: Path) -> int:
    """A lock on a partition that its process loses when it dies.

    Raises:
        DataError: another writer has it.
    """
    lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.pread(lock, 20, 0).decode(errors="replace")
        os.close(lock)
        raise DataError(
            f"partition {folder.name!r} of {folder.parent} is being written by process {owner}",
            cure="A partition has one writer: end that one, or write to another partition.",
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, str(os.getpid()).encode(), 0)
    return lock


def _sync_folder(folder: Path) -> None:
    """Make names of new files outlive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
