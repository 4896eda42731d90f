"""The audit log: lines that each hold the hash of the one before, so that no line can be changed or left out.

A second file beside it holds the number of lines and the hash of the last one, so that an end that is cut
off is missed too. Whoever can write both files can write another history; the other end's log shows that.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import msgspec

from talkoot.core.errors import DataError

FILE = "audit.jsonl"
START = "0" * 64  # what the first line holds for a hash
TAIL = 1 << 16  # bytes that are read to find the last line at first


@final
class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A line of the log.

    Args:
        number: from 1.
        at: seconds since 1970.
        event: what happened: "start", "proposed", "decided", "consented", "disclosed", "withheld",
            "sent", "received", "model".
        facts: plain values; never a value of a row.
        before: the hash of the line before, in hexadecimal.
    """

    number: int
    at: float
    event: str
    facts: dict[str, Any]
    before: str


@final
class Head(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the log ends."""

    lines: int
    hash: str


@final
@dataclass(frozen=True, slots=True)
class AuditLog:
    """The log in a folder. Any process may append to it; they take turns.

    Args:
        folder: where it is.
        now: the time, in seconds since 1970.
    """

    folder: Path
    now: Callable[[], float] = time.time

    @property
    def path(self) -> Path:
        """The file of lines."""
        return self.folder / FILE

    def append(self, event: str, facts: Mapping[str, Any]) -> Entry:
        """Write a line; it is on the disk when this returns.

        Raises:
            DataError: the disk is full, or the log does not end as it should.
        """
        try:
            with self._locked() as file:
                last = _last(file)
                number, before = (0, START) if last is None else (_decoded(last, 0).number, _hash(last))
                self._require_end(number, before)
                entry = Entry(number + 1, self.now(), event, dict(facts), before)
                line = msgspec.json.encode(entry)
                _write(file, line + b"\n")
                self._write_head(Head(entry.number, _hash(line)))
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be written: {error.strerror}", cure="Look at the disk."
            ) from None
        return entry

    def verify(self) -> Head:
        """Check every line; where the log ends.

        Raises:
            DataError: a line was changed, added, moved or left out; the first such line is named.
        """
        number, before = 0, START
        head = self._head()
        for number, line in enumerate(self._lines(), 1):
            entry = _decoded(line, number)
            if entry.number != number:
                raise _broken(number, f"it says that it is line {entry.number}")
            if entry.before != before:
                raise _broken(number, "it does not follow from the line before: one of the two was changed")
            before = _hash(line)
            if head is not None and number == head.lines and before != head.hash:
                raise _broken(number, "it is not the line that was written last")
        if head is not None and number < head.lines:
            raise _broken(number + 1, f"it is missing; {head.lines} lines were written")
        if head is None and number:
            raise _broken(number, "audit.head, which says where the log ends, is missing")
        return Head(number, before)

    def entries(self, run: str = "") -> Iterator[Entry]:
        """The lines, unchecked; with a run only those that are about it."""
        for number, line in enumerate(self._lines(), 1):
            entry = _decoded(line, number)
            if not run or entry.facts.get("run") == run:
                yield entry

    def _lines(self) -> Iterator[bytes]:
        try:
            with self.path.open("rb") as file:
                for number, line in enumerate(file, 1):
                    if not line.endswith(b"\n"):
                        head = self._head()
                        if head is not None and number > head.lines:
                            return  # its writer was killed, and it never counted
                        raise _broken(number, "it is cut off")
                    yield line[:-1]
        except FileNotFoundError:
            return

    @contextmanager
    def _locked(self) -> Iterator[int]:
        self.folder.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _require_end(self, number: int, before: str) -> None:
        """Refuse to go on where lines are missing at the end; one too many is a killed writer's."""
        head = self._head()
        if head is None and number <= 1:
            return
        if head is None or number < head.lines or (number == head.lines and before != head.hash):
            raise _broken(number + 1, "the log does not end where it ended")

    def _head(self) -> Head | None:
        try:
            return msgspec.json.decode(self.path.with_suffix(".head").read_bytes(), type=Head)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise DataError(f"{self.path.with_suffix('.head')} is damaged: {error}") from None

    def _write_head(self, head: Head) -> None:
        path = self.path.with_suffix(".head")
        part = path.with_suffix(".part")
        with part.open("wb") as out:
            out.write(msgspec.json.encode(head))
            out.flush()
            os.fsync(out.fileno())
        part.replace(path)


def _write(file: int, data: bytes) -> None:
    """Write a line as a whole; a part of one does not count, and the next writer takes it away."""
    if os.write(file, data) < len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    os.fsync(file)


def _last(file: int) -> bytes | None:
    """The last whole line; what a killed writer left behind it is taken away."""
    size = os.fstat(file).st_size
    tail = TAIL
    while True:
        begin = max(0, size - tail)
        data = os.pread(file, size - begin, begin)
        end = data.rfind(b"\n")
        start = data.rfind(b"\n", 0, end) if end > 0 else -1
        if start >= 0 or begin == 0:
            break
        tail *= 2
    if size > begin + end + 1:
        os.ftruncate(file, begin + end + 1)
    return data[start + 1 : end] if end >= 0 else None


def _decoded(line: bytes, number: int) -> Entry:
    try:
        return msgspec.json.decode(line, type=Entry)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _broken(number, f"it is no entry: {error}") from None


def _hash(line: bytes) -> str:
    return hashlib.sha256(line).hexdigest()


def _broken(number: int, cause: str) -> DataError:
    return DataError(
        f"the audit log is not whole: line {number}: {cause}",
        cure="Keep the files as they are, and compare them with a copy and with the other end's log.",
    )
