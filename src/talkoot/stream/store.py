"""What a follower must still know after a kill -9: named values that change together, and who owns them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, final

import numpy as np

from talkoot.core.errors import DataError, LeaseLost
from talkoot.formats.frames import from_bytes, to_bytes
from talkoot.formats.values import Decoder, Encoder

WAIT = 30.0  # seconds that a transaction waits for another process
PAGE = 4000  # bytes of an array that are written together, if one of them has changed
_TABLES = """
create table if not exists items(name text primary key, data blob) without rowid;
create table if not exists pages(
  name text, buffer integer, page integer, data blob, primary key(name, buffer, page)
) without rowid;
create table if not exists lease(one integer primary key check (one = 1), epoch integer not null);
insert or ignore into lease values(1, 0);
"""
T = TypeVar("T")


@final
class Store:
    """Values by name in one SQLite file. Whoever opens it owns it from then on: its epoch is one higher.

    What is committed survives the loss of power too. Values are plain data and numeric arrays, of which only
    the pages are written that have changed since the last commit.

    Args:
        path: the file; folders are made.

    Raises:
        DataError: it cannot be opened or is damaged.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "node0.sqlite"
    >>> first = Store(path)
    >>> first.commit({"offsets": {"0": "17"}})
    >>> second = Store(path)
    >>> second.get("offsets")
    {'0': '17'}
    >>> first.commit({"offsets": {"0": "18"}})
    Traceback (most recent call last):
        ...
    talkoot.core.errors.LeaseLost: ...
    >>> first.close(), second.close()
    (None, None)
    """

    __slots__ = ("_file", "_written", "epoch", "path")

    def __init__(self, path: Path) -> None:
        self.path = path
        self._written: dict[str, list[bytes]] = {}  # the buffers of each value, as they are in the file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise DataError(f"{str(path.parent)!r} cannot be made: {error.strerror}") from error
        self._file = _named(path, lambda: _connect(path))
        try:
            self.epoch = _named(path, self._take)
        except BaseException:
            self._file.close()
            raise

    def get(self, name: str, default: Any = None) -> Any:
        """A value; `default` if there is none."""
        return _named(self.path, lambda: _found(self._file, [name])).get(name, default)

    def commit(self, items: Mapping[str, Any]) -> None:
        """Replace values, all of them or none.

        Raises:
            LeaseLost: the store was opened by somebody else since then.
            DataError: it cannot be written, such as on a full disk.
        """
        values = {name: _split(value) for name, value in items.items()}
        before = {name: self._written.pop(name, None) for name in items}  # not known while it is written
        _named(self.path, lambda: self._write(values, before))
        self._written |= {name: buffers for name, (_, buffers) in values.items()}

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _take(self) -> int:
        self._file.executescript(_TABLES)
        with _transaction(self._file) as file:
            file.execute("update lease set epoch = epoch + 1")
            (epoch,) = file.execute("select epoch from lease").fetchone()
        return int(epoch)

    def _write(
        self, values: Mapping[str, tuple[bytes, list[bytes]]], before: Mapping[str, list[bytes] | None]
    ) -> None:
        with _transaction(self._file) as file:
            (epoch,) = file.execute("select epoch from lease").fetchone()
            if epoch != self.epoch:
                raise LeaseLost(
                    f"{str(self.path)!r} was taken over by another process (lease {epoch}, this one has "
                    f"{self.epoch}), so nothing of this round was written",
                    cure="Let only one follow with a store; to follow twice, give each its own store=.",
                )
            for name, (data, buffers) in values.items():
                file.execute("insert or replace into items values(?, ?)", (name, data))
                old = before[name]
                if old is None or [*map(len, old)] != [*map(len, buffers)]:
                    file.execute("delete from pages where name = ?", (name,))
                    old = [b""] * len(buffers)
                for number, (new, was) in enumerate(zip(buffers, old, strict=True)):
                    parts = ((at, new[at * PAGE : (at + 1) * PAGE]) for at in _changed(new, was))
                    pages = ((name, number, *part) for part in parts)
                    file.executemany("insert or replace into pages values(?, ?, ?, ?)", pages)


def read(path: Path, *names: str) -> dict[str, Any]:
    """Values of a store that somebody else owns, as of one moment; those that are there.

    Raises:
        DataError: there is no such store, or it is damaged.
    """
    if not path.is_file():
        raise DataError(f"there is no store {str(path)!r}", cure="Name the store= of a tk.follow(...).")

    def found() -> dict[str, Any]:
        file = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=WAIT)
        try:
            file.execute("begin")  # all of it as of one moment
            return _found(file, names)
        finally:
            file.close()

    return _named(path, found)


def _found(file: sqlite3.Connection, names: Iterable[str]) -> dict[str, Any]:
    values = {}
    for name in names:
        row = file.execute("select data from items where name = ?", (name,)).fetchone()
        if row is None:
            continue
        plain, _ = from_bytes(row[0])
        pages: dict[int, list[bytes]] = {}
        query = "select buffer, data from pages where name = ? order by buffer, page"
        for buffer, data in file.execute(query, (name,)):
            pages.setdefault(buffer, []).append(data)
        sizes = plain["sizes"]
        buffers = [memoryview(bytearray(b"".join(pages.get(at, ())))) for at in range(len(sizes))]
        if [buffer.nbytes for buffer in buffers] != sizes:
            raise DataError(f"the value {name!r} is not whole", cure="Put back a copy of the whole folder.")
        values[name] = Decoder(buffers).decode(plain["value"])
    return values


def _split(value: Any) -> tuple[bytes, list[bytes]]:
    """A value as the bytes that tell what it is, and the bytes of its arrays."""
    encoder = Encoder()
    plain = encoder.encode(value)
    buffers = [bytes(buffer) for buffer in encoder.buffers]
    return to_bytes({"value": plain, "sizes": [len(buffer) for buffer in buffers]}), buffers


def _changed(new: bytes, old: bytes) -> Iterable[int]:
    """The numbers of the pages of `new` that `old`, of the same length or empty, does not have."""
    count = -(-len(new) // PAGE)
    if not old:
        return range(count)
    differ = np.frombuffer(new, np.uint8) != np.frombuffer(old, np.uint8)
    whole = np.zeros(count * PAGE, bool)
    whole[: len(differ)] = differ
    pages: list[int] = np.flatnonzero(whole.reshape(count, PAGE).any(axis=1)).tolist()
    return pages


def _connect(path: Path) -> sqlite3.Connection:
    file = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=WAIT)
    try:
        file.execute("pragma journal_mode=wal")
        file.execute("pragma synchronous=full")
    except BaseException:
        file.close()
        raise
    return file


@contextmanager
def _transaction(file: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """A transaction that nothing of stays if its block or its end raises."""
    file.execute("begin immediate")
    try:
        yield file
        file.execute("commit")
    except BaseException:
        if file.in_transaction:
            file.rollback()
        raise


def _named(path: Path, do: Callable[[], T]) -> T:
    """What `do` returns; errors of SQLite name the file, the cause and the cure."""
    try:
        return do()
    except sqlite3.Error as error:
        text = str(error)
        full = "full" in text or "I/O" in text
        cure = (
            "Make room on its disk and call again: it goes on where it was."
            if full
            else "Look who else has the file open."
            if "locked" in text
            else "Look at its permissions, or name another store=."
        )
        raise DataError(f"the store {str(path)!r} cannot be used: {text}", cure=cure) from error
