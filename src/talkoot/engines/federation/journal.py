"""What a process must still know after a kill -9: one transaction a step, and bounded."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import final

LARGE = 1 << 18  # bytes from which an item is a file of its own
AGE = 30 * 86400.0  # seconds until a run that nobody has finished is forgotten
SIZE = 4 << 30  # bytes of all items
_TABLE = """
create table if not exists items(
  run text, key blob, data blob, file text, digest blob, size integer, time real, primary key(run, key)
) without rowid
"""


@final
class Journal:
    """Items by run and key. What stands in a row has been committed; large items lie in files beside it.

    Args:
        folder: where it lives.
        size: bytes of all items; beyond that the oldest are dropped.
        age: seconds until a run is forgotten.
    """

    def __init__(self, folder: Path, *, size: int = SIZE, age: float = AGE) -> None:
        self._files, self._size, self._age = folder / "frames", size, age
        self._files.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._rows = sqlite3.connect(folder / "journal.sqlite", isolation_level=None, check_same_thread=False)
        for line in ("pragma journal_mode=wal", "pragma synchronous=normal", _TABLE):
            self._rows.execute(line)
        self._total = self._sum()
        self._expire()
        known = {name for (name,) in self._rows.execute("select file from items where file is not null")}
        for path in self._files.iterdir():
            if path.name not in known:
                path.unlink()

    def put(
        self,
        run: str,
        items: Mapping[bytes, bytes | memoryview],
        *,
        only: bool = False,
        digests: Mapping[bytes, bytes] | None = None,
    ) -> None:
        """Write items of a run in one transaction.

        Args:
            run: the run.
            items: bytes by key.
            only: drop all other items of the run.
            digests: SHA-256 of items, where it is known.
        """
        known, rows = digests or {}, list[tuple[object, ...]]()
        try:
            for key, data in items.items():
                rows.append((run, key, *self._stored(data, known.get(key)), time.time()))
            self._rows.execute("begin immediate")
            old = self._drop("run = ?", run) if only else []
            for row in rows:
                old += self._drop("run = ? and key = ?", *row[:2])
                self._rows.execute("insert into items values(?,?,?,?,?,?,?)", row)
            self._total += sum(len(data) for data in items.values())
            self._rows.execute("commit")
        except BaseException:  # the disk may be full, so nothing of this stays on it
            if self._rows.in_transaction:
                self._rows.rollback()
            self._remove([str(row[3]) for row in rows if row[3] is not None])
            self._total = self._sum()
            raise
        self._remove(old)
        if self._total > self._size:
            self._shrink()

    def get(self, run: str, key: bytes) -> bytes | None:
        """An item; None if there is none, or if its file is damaged."""
        row = self._rows.execute(
            "select data, file, digest from items where run = ? and key = ?", (run, key)
        ).fetchone()
        if row is None:
            return None
        data, file, digest = row
        if file is None:
            return bytes(data)
        try:
            data = (self._files / file).read_bytes()
        except OSError:
            return None
        return data if hashlib.sha256(data).digest() == digest else None

    def runs(self) -> list[str]:
        """The runs that have items."""
        return [run for (run,) in self._rows.execute("select distinct run from items order by run")]

    def forget(self, run: str) -> None:
        """Drop a run."""
        self._remove(self._drop("run = ?", run))

    def close(self) -> None:
        """Close the files."""
        self._rows.close()

    def _stored(
        self, data: bytes | memoryview, digest: bytes | None
    ) -> tuple[bytes | memoryview | None, str | None, bytes, int]:
        """(data, file, digest, size) of a row; large data are written to a file first."""
        digest = digest or hashlib.sha256(data).digest()
        if len(data) < LARGE:
            return data, None, digest, len(data)
        name = os.urandom(16).hex()
        try:
            (self._files / name).write_bytes(data)
        except OSError:
            self._remove([name])
            raise
        return None, name, digest, len(data)

    def _sum(self) -> int:
        """Bytes of all items."""
        (found,) = self._rows.execute("select coalesce(sum(size), 0) from items").fetchone()
        return int(found)

    def _drop(self, where: str, *values: object) -> list[str]:
        """Delete rows; returns the files that they leave behind."""
        found = self._rows.execute(f"select file, size from items where {where}", values).fetchall()
        self._rows.execute(f"delete from items where {where}", values)
        self._total -= sum(size for _, size in found)
        return [file for file, _ in found if file is not None]

    def _remove(self, names: list[str]) -> None:
        for name in names:
            (self._files / name).unlink(missing_ok=True)

    def _expire(self) -> None:
        query = "select run from items group by run having max(time) < ?"
        for (run,) in self._rows.execute(query, (time.time() - self._age,)).fetchall():
            self.forget(run)

    def _shrink(self) -> None:
        """Drop the oldest items beyond the size."""
        for run, key in self._rows.execute("select run, key from items order by time").fetchall():
            if self._total <= self._size:
                break
            self._remove(self._drop("run = ? and key = ?", run, key))
