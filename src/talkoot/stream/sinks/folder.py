"""Outputs in a folder: as a segment log, which others can follow, or as Parquet files."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import pyarrow as pa
import pyarrow.parquet as pq

from talkoot.core.errors import DataError
from talkoot.stream.sinks.sink import Output, Sink
from talkoot.stream.sources.log.log import SegmentLog
from talkoot.stream.sources.log.writer import LogWriter


@final
@dataclass(frozen=True, slots=True)
class LogSink(Sink):
    """A segment log with a partition for each output.

    Args:
        log: where to write.

    >>> import tempfile, pyarrow as pa
    >>> log, rows = SegmentLog(tempfile.mkdtemp()), pa.record_batch({"score": [0.5, 0.25]})
    >>> with LogSink(log).open("0") as output:
    ...     output.write(0, rows), output.write(0, rows), output.rows
    (2, 0, 2)
    """

    log: SegmentLog

    def open(self, name: str) -> Output:
        """The output as a partition of the log."""
        return _LogOutput(name, self.log.writer(name))


@final
class _LogOutput(Output):
    def __init__(self, name: str, writer: LogWriter) -> None:
        super().__init__(name, writer.row)
        self._writer = writer

    def _put(self, batch: Any) -> None:
        before = self._writer.row
        try:
            self._writer.append(batch)
        finally:
            self._rows += self._writer.row - before - batch.num_rows  # less where the disk is full

    def close(self) -> None:
        self._writer.close()


@final
@dataclass(frozen=True, slots=True)
class ParquetSink(Sink):
    """Parquet files named by their first row, in a folder for each output.

    Each write is one file, which appears whole.

    Args:
        folder: where to write.
    """

    folder: str

    def open(self, name: str) -> Output:
        """The output as files of a folder."""
        if Path(name).name != name:
            raise DataError(f"{name!r} is no name of a folder", cure="Name the output such as 'fraud-0'.")
        folder = Path(self.folder) / name
        folder.mkdir(parents=True, exist_ok=True)
        return _ParquetOutput(name, folder)


@final
class _ParquetOutput(Output):
    def __init__(self, name: str, folder: Path) -> None:
        files = sorted(folder.glob("[0-9]*.parquet"))
        rows = int(files[-1].stem) + pq.read_metadata(files[-1]).num_rows if files else 0
        super().__init__(name, rows)
        self._folder = folder

    def _put(self, batch: Any) -> None:
        path, hidden = self._folder / f"{self.rows:020d}.parquet", self._folder / "_writing"
        try:
            pq.write_table(pa.Table.from_batches([batch]), hidden)
            with hidden.open("rb") as file:
                os.fsync(file.fileno())
            hidden.rename(path)
        except OSError as error:
            raise DataError(
                f"{path} cannot be written: {error}", cure="Make room, or check rights."
            ) from error

    def close(self) -> None:
        """Nothing is open."""
