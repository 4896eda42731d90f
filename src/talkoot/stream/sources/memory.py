"""Tables in memory as a stream that ends: for tests, replays and first steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import pyarrow as pa

from talkoot.core.errors import DataError
from talkoot.data.tables.tables import as_arrow, is_table
from talkoot.stream.sources.source import (
    EARLIEST,
    LATEST,
    Chunk,
    OffsetGone,
    Reader,
    Source,
    checked_start,
    whole_number,
)

TABLES = "Give a table of pandas, polars or pyarrow, a list of record batches, or a dict of these."
NUMBERS = "Make the column alike everywhere, such as with pandas.to_numeric(column, errors='coerce')."


@final
@dataclass(frozen=True, eq=False, repr=False)
class Memory(Source):
    """Tables as a stream.

    Args:
        tables: a table of pandas, polars or pyarrow, a list of batches, or a dict of these by partition.
        start: ``"earliest"`` (default) or ``"latest"``.

    >>> import pyarrow as pa
    >>> source = Memory(pa.table({"x": [1, 2, 3]}))
    >>> with source.open("0") as reader:
    ...     chunk = reader.poll(rows=2, seconds=0)
    >>> chunk.batch.to_pydict(), chunk.offset
    ({'x': [1, 2]}, '2')
    """

    tables: Any
    start: str = EARLIEST

    def __post_init__(self) -> None:
        checked_start(self.start)
        for name in self.partitions():
            batches_of(self._table(name))

    def __repr__(self) -> str:
        return f"Memory(partitions={list(self.partitions())})"

    def partitions(self) -> tuple[str, ...]:
        """The names of a dict of tables, else ``"0"``."""
        return tuple(map(str, self.tables)) if isinstance(self.tables, Mapping) else ("0",)

    def open(self, partition: str) -> Reader:
        """A reader of one of the tables."""
        return _MemoryReader(partition, batches_of(self._table(partition)), self.start)

    def _table(self, partition: str) -> Any:
        tables = {str(k): v for k, v in self.tables.items()} if isinstance(self.tables, Mapping) else {}
        return tables[partition] if tables else self.tables


def batches_of(table: Any) -> list[Any]:
    """The record batches of a table or of a list of batches, without those that have no rows.

    Raises:
        DataError: it is no table.
    """
    if isinstance(table, list | tuple):
        return [batch for part in table for batch in batches_of(part)]
    if isinstance(table, pa.RecordBatch):
        return [table] if table.num_rows else []
    if not is_table(table):
        raise DataError(f"{type(table).__name__} is no table", cure=TABLES)
    try:
        arrow, _ = as_arrow(table)
    except DataError as error:
        if "among numbers" not in error.cause:
            raise
        raise DataError(error.cause, column=error.column, cure=NUMBERS) from None
    return [batch for batch in arrow.to_batches() if batch.num_rows]


@final
class _MemoryReader(Reader):
    def __init__(self, partition: str, batches: list[Any], start: str) -> None:
        self._partition, self._batches, self._start = partition, batches, start
        self._rows = int(sum(batch.num_rows for batch in batches))
        self.seek(None)

    def seek(self, offset: str | None) -> None:
        at = offset if offset is not None else self._start
        row: int | None = {EARLIEST: 0, LATEST: self._rows}.get(at)
        row = whole_number(at, self._partition) if row is None else row
        if row > self._rows:
            cause = f"partition {self._partition!r} has {self._rows} rows, and not row {row}"
            raise OffsetGone(cause, resume=str(self._rows))
        self._row: int = row
        self._index, self._inside = 0, row
        while self._index < len(self._batches) and self._inside >= self._batches[self._index].num_rows:
            self._inside -= self._batches[self._index].num_rows
            self._index += 1

    def poll(self, rows: int, seconds: float) -> Chunk | None:
        if self.ended():
            return None
        batch = self._batches[self._index].slice(self._inside, rows)
        first, self._row = self._row, self._row + batch.num_rows
        self._inside += batch.num_rows
        if self._inside == self._batches[self._index].num_rows:
            self._index, self._inside = self._index + 1, 0
        return Chunk(batch, first=str(first), offset=str(self._row))

    def ended(self) -> bool:
        return self._row == self._rows

    def lag(self) -> int | None:
        return self._rows - self._row
