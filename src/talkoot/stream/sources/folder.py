"""A folder into which files are put, as a stream: Parquet files and lines of JSON, by the order of names."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import final

from talkoot.core.errors import DataError
from talkoot.stream.sources.files import (
    LINES,
    PARQUET,
    LineFile,
    OpenFile,
    ParquetFile,
    Part,
    Unfinished,
    first_lines,
    lines_end,
)
from talkoot.stream.sources.messages import PROBED
from talkoot.stream.sources.source import (
    EARLIEST,
    LATEST,
    Chunk,
    OffsetGone,
    Reader,
    Rejected,
    Source,
    checked_start,
    pauses,
    whole_number,
)
from talkoot.stream.sources.values import RowDecoder, Types, Values, pairs, types_of

HERE = "."  # the partition of a folder without folders
END = "end"  # in offsets: behind the last row of a file
LATE = "Files are read in the order of their names: give it a name behind the others."


@final
@dataclass(frozen=True, slots=True)
class Folder(Source):
    r"""Files that are put into a folder, as a stream, in the order of their names.

    Parquet files (``.parquet``, ``.pq``) are read when they are whole; lines (``.jsonl``, ``.ndjson``)
    while they are appended, until there is a file behind theirs. Folders in it are its partitions. What
    starts with a dot or an underscore, or ends otherwise, is left alone: write under such a name and rename.

    Args:
        folder: where the files are.
        start: ``"earliest"`` (default) or ``"latest"``.
        columns: names and types of the columns of JSON, as in ``{"amount": "float64"}``; None (default) finds
            them from the first lines.
        ends: whether the stream ends behind the files that are there (default False).
        patience: seconds after which a file that stays unfinished is an error (default 60).

    >>> import tempfile, pathlib
    >>> folder = pathlib.Path(tempfile.mkdtemp())
    >>> _ = (folder / "monday.jsonl").write_text('{"x": 1}\n{"x": 2}\n')
    >>> with Folder(str(folder)).open(".") as reader:
    ...     chunk = reader.poll(rows=10, seconds=0)
    >>> chunk.batch.to_pydict(), chunk.offset
    ({'x': [1.0, 2.0]}, 'monday.jsonl:18')
    """

    folder: str
    start: str = EARLIEST
    columns: Mapping[str, str] | Types | None = None
    ends: bool = False
    patience: float = 60.0

    def __post_init__(self) -> None:
        checked_start(self.start)
        object.__setattr__(self, "columns", pairs(self.columns))
        object.__setattr__(self, "folder", str(Path(self.folder).absolute()))
        Values("json", self.columns)  # type: ignore[arg-type]

    def partitions(self) -> tuple[str, ...]:
        """The names of the folders in the folder; ``"."`` where there are none."""
        if not Path(self.folder).is_dir():
            raise DataError(f"{self.folder} is no folder", cure="Make it, or check the path.")
        inside = sorted(entry.name for entry in Path(self.folder).iterdir() if entry.is_dir())
        return tuple(name for name in inside if not name.startswith((".", "_"))) or (HERE,)

    def open(self, partition: str) -> Reader:
        """A reader of one partition."""
        return FolderReader(self, Path(self.folder) / partition)

    def typed(self) -> Folder:
        """The same folder with the types of the columns of JSON written down."""
        for partition in self.partitions() if self.columns is None else ():
            for name in names_in(Path(self.folder) / partition):
                lines = name.endswith(LINES) and first_lines(Path(self.folder) / partition / name, PROBED)
                if lines:
                    return replace(self, columns=types_of(Values(), lines))
        return self


def names_in(folder: Path) -> list[str]:
    """The names of the files of a partition, in order."""
    try:
        names = [path.name for path in folder.iterdir() if path.name.endswith(PARQUET + LINES)]
    except FileNotFoundError:
        raise DataError(f"{folder} is no folder", cure="Was it deleted or renamed?") from None
    return sorted(name for name in names if not name.startswith((".", "_")))


@final
class FolderReader(Reader):
    """The rows of a partition; an offset is a file's name and the rows, or bytes, of it that were read."""

    def __init__(self, source: Folder, folder: Path) -> None:
        self._source, self._folder = source, folder
        self._file: OpenFile | None = None
        self._known: set[str] = set()  # names that were there when the folder was last listed
        self._left: tuple[str, int] | None = None  # the file of lines that was left last, and its size then
        self.seek(None)

    def seek(self, offset: str | None) -> None:
        """Go on at an offset; see `Reader.seek`."""
        at = offset if offset is not None else self._source.start
        names = names_in(self._folder)
        name, place = ("", END) if at == EARLIEST else self._latest(names) if at == LATEST else _parsed(at)
        self._close()
        self._known, self._left = set(names), None
        self._name, self._place = name, place
        if place != END:
            self._checked(names, name, whole_number(place, name))

    def poll(self, rows: int, seconds: float) -> Chunk | None:
        """The next rows; see `Reader.poll`."""
        for _ in pauses(seconds):
            while self._file is not None or self._open():
                assert self._file is not None
                last = self._source.ends or self._next() is not None
                if (part := self._file.read(rows, last=last)) is not None:
                    return self._chunk(part)
                if self._file.grows and not last:
                    break
                self._leave()
        return None

    def ended(self) -> bool:
        """Whether the stream ends behind the files that are there, and all were read."""
        if not self._source.ends:
            return False
        while self._file is not None or self._open():
            assert self._file is not None
            if self._file.at < self._file.size:
                return False
            self._leave()
        return self._next() is None

    def close(self) -> None:
        """Close the open file."""
        self._close()

    def _chunk(self, part: Part) -> Chunk:
        rejected = tuple(Rejected(f"{self._name}:{at}", why, value) for at, why, value in part.rejected)
        self._place = str(part.stop)
        return Chunk(part.batch, f"{self._name}:{part.start}", f"{self._name}:{part.stop}", rejected)

    def _open(self) -> bool:
        """Open the file at the position, or the next one; whether there is one that is whole."""
        name, at = self._name, self._place
        if at == END:
            name, at = self._next() or "", "0"
        if not name:
            return False
        path = self._folder / name
        try:
            self._file = self._opened(path, int(at))
        except FileNotFoundError:
            raise self._gone(f"{path} was deleted", names_in(self._folder), name) from None
        except Unfinished as error:
            self._wait_for(path, error)
            return False
        self.trouble = None
        self._name, self._place = name, at
        return True

    def _opened(self, path: Path, at: int) -> OpenFile:
        if path.name.endswith(PARQUET):
            return ParquetFile(path, at)
        source = self._source.typed()
        if source.columns is None:
            raise Unfinished("it has no whole line yet")
        self._source = source
        return LineFile(path, at, RowDecoder(Values("json", source.columns)))  # type: ignore[arg-type]

    def _wait_for(self, path: Path, error: Unfinished) -> None:
        """Note that a file is waited for, and raise where nobody writes it any more."""
        self.trouble = f"waiting for {path}: {error}"
        stat = path.stat()
        if stat.st_size and time.time() - stat.st_mtime > self._source.patience:
            raise DataError(
                f"{path} is unfinished and has not changed for {self._source.patience:g} s: {error}",
                cure="Write it again, or delete it.",
            )

    def _next(self) -> str | None:
        """The name behind the position.

        Raises:
            DataError: a name in front of the position is new, or a file that was left has grown.
        """
        names = names_in(self._folder)
        late = [name for name in names if name < self._name and name not in self._known]
        if late:
            raise DataError(f"{self._folder / late[0]} came when {self._name} was being read", cure=LATE)
        self._known = set(names)
        if self._left is not None and self._left[0] in self._known:
            path = self._folder / self._left[0]
            if path.stat().st_size > self._left[1]:
                cure = "Append to the last file alone."
                raise DataError(f"{path} has grown after a file behind it was begun", cure=cure)
        return next((name for name in names if name > self._name), None)

    def _leave(self) -> None:
        """Go behind the open file."""
        assert self._file is not None
        if self._file.grows:
            self._left = (self._name, self._file.at)
        self._place = END
        self._close()

    def _close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def _latest(self, names: list[str]) -> tuple[str, str]:
        if not names or names[-1].endswith(PARQUET):
            return (names[-1] if names else ""), END
        return names[-1], str(lines_end(self._folder / names[-1]))

    def _checked(self, names: list[str], name: str, at: int) -> None:
        path = self._folder / name
        if name not in names:
            raise self._gone(f"{path} was deleted", names, name)
        size = path.stat().st_size if name.endswith(LINES) else None
        if size is None and at:
            size = ParquetFile(path, 0).size
        if size is not None and at > size:
            raise self._gone(f"{path} ends at {size}, and not behind {at}", names, name)

    def _gone(self, cause: str, names: list[str], name: str) -> OffsetGone:
        later = next((other for other in names if other > name), None)
        return OffsetGone(cause, resume=f"{later}:0" if later else f"{name}:{END}")


def _parsed(offset: str) -> tuple[str, str]:
    """The name and the place of an offset."""
    name, _, place = offset.rpartition(":")
    if place != END:
        whole_number(place, name)
    return name, place
