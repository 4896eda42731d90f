"""Files of a folder's stream, open for reading at a position: Parquet by rows, lines of JSON by bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, final

import pyarrow as pa
import pyarrow.parquet as pq

from talkoot.core.errors import DataError
from talkoot.stream.sources.values import RowDecoder

BATCH = 1 << 16  # rows of Parquet that are decoded together
PARQUET, LINES = (".parquet", ".pq"), (".jsonl", ".ndjson")


class Unfinished(Exception):
    """A file that is not whole yet, so that it is waited for."""


@final
@dataclass(frozen=True, slots=True)
class Part:
    """Rows of a file between two positions, and what could not be decoded: position, cause and bytes."""

    batch: Any
    start: int
    stop: int
    rejected: tuple[tuple[int, str, bytes], ...] = ()


class OpenFile(ABC):
    """A file at a position."""

    def __init__(self, path: Path, at: int) -> None:
        self.path, self.at = path, at

    @abstractmethod
    def read(self, rows: int, *, last: bool) -> Part | None:
        """The next rows; None where there are none now. `last`: nothing will be appended any more."""

    @property
    @abstractmethod
    def size(self) -> int:
        """The position behind the last row that is there now."""

    @property
    @abstractmethod
    def grows(self) -> bool:
        """Whether rows may be appended."""

    def close(self) -> None:  # noqa: B027
        """Close the file."""


@final
class ParquetFile(OpenFile):
    """A Parquet file; its footer is written last, so it is whole or unfinished."""

    grows = False

    def __init__(self, path: Path, at: int) -> None:
        super().__init__(path, at)
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - 4))
            if file.read() != b"PAR1":
                raise Unfinished("it has no footer of Parquet")
        try:
            self._file = pq.ParquetFile(path)
        except (pa.ArrowException, OSError) as error:
            raise Unfinished(f"its footer cannot be read: {error}") from None
        self._batches: Iterator[tuple[int, Any]] = self._from(at)
        self._batch: tuple[int, Any] | None = None

    @property
    def size(self) -> int:
        """The number of rows."""
        return int(self._file.metadata.num_rows)

    def read(self, rows: int, *, last: bool) -> Part | None:
        """The next rows."""
        while self._batch is None or self._batch[0] + self._batch[1].num_rows <= self.at:
            try:
                self._batch = next(self._batches, None)
            except (pa.ArrowException, OSError) as error:
                cure = "Restore the file from a copy, or delete it."
                raise DataError(
                    f"{self.path}, row {self.at} and on, is damaged: {error}", cure=cure
                ) from None
            if self._batch is None:
                return None
        first, batch = self._batch
        part = batch.slice(self.at - first, rows)
        start, self.at = self.at, self.at + part.num_rows
        return Part(part, start, self.at)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _from(self, at: int) -> Iterator[tuple[int, Any]]:
        """The batches with their first rows, from the row group on that holds row `at`."""
        metadata, first = self._file.metadata, 0
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            if first + rows > at:
                inside = first
                for batch in self._file.iter_batches(BATCH, row_groups=[group]):
                    yield inside, batch
                    inside += batch.num_rows
            first += rows


@final
class LineFile(OpenFile):
    """A file of lines, each a JSON object, to which lines may be appended."""

    grows = True

    def __init__(self, path: Path, at: int, decoder: RowDecoder) -> None:
        super().__init__(path, at)
        self._file: BinaryIO = path.open("rb")
        self._decoder = decoder

    @property
    def size(self) -> int:
        """The number of bytes."""
        return self.path.stat().st_size

    def read(self, rows: int, *, last: bool) -> Part | None:
        """The next lines; one without its end is not read before the file is the last one's predecessor."""
        lines: list[bytes] = []
        starts: list[int] = []
        at = self.at
        self._file.seek(at)
        while len(lines) < rows and (line := self._file.readline()):
            if not line.endswith(b"\n") and not last:
                break
            if line.strip():
                lines.append(line)
                starts.append(at)
            at += len(line)
        start, self.at = self.at, at
        if not lines:
            return None
        batch, wrong = self._decoder.decode(lines)
        return Part(batch, start, at, tuple((starts[i], cause, lines[i]) for i, cause in wrong))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def lines_end(path: Path) -> int:
    """The position behind the last whole line of a file."""
    with path.open("rb") as file:
        end = file.seek(0, 2)
        while end:
            start = max(0, end - BATCH)
            file.seek(start)
            if (at := file.read(end - start).rfind(b"\n")) >= 0:
                return start + at + 1
            end = start
    return 0


def first_lines(path: Path, lines: int) -> list[bytes]:
    """The first whole lines of a file that hold something."""
    with path.open("rb") as file:
        whole = (line for line in file if line.endswith(b"\n") and line.strip())
        return [line for line, _ in zip(whole, range(lines), strict=False)]
