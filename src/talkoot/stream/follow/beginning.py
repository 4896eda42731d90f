"""How a stream begins, by which a store notices that it is given another one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from talkoot.core.errors import PlanError
from talkoot.stream.follow.columns import Columns
from talkoot.stream.sources.source import EARLIEST, Chunk, Source

PEEK = 1000  # rows from which the types of columns are found
PATIENCE = 2.0  # seconds that the first rows are waited for


def beginning(partition: str, chunk: Chunk, columns: Columns) -> dict[str, str]:
    """Where a stream begins, and a digest of what is read of its first row."""
    (row,) = chunk.batch.slice(0, 1).to_pylist()
    roles = (name for name in (columns.time, columns.id, columns.target) if name is not None)
    names = sorted({*columns.numbers, *columns.categories, *roles})
    text = json.dumps([[name, _plain(row.get(name))] for name in names])
    return {"partition": partition, "first": chunk.first, "digest": hashlib.sha256(text.encode()).hexdigest()}


def require_same_beginning(source: Source, columns: Columns, before: Mapping[str, str]) -> None:
    """Refuse a stream that begins at the same place with another row than the one that was followed.

    A stream whose first rows were deleted, or do not come now, is taken as it is.

    Raises:
        PlanError: it does.
    """
    partition = before["partition"]
    if partition not in source.partitions():
        return
    with source.open(partition) as reader:
        reader.seek(EARLIEST)
        chunk = reader.poll(PEEK, PATIENCE)
    if chunk is None or not chunk.batch.num_rows or chunk.first != before["first"]:
        return
    if beginning(partition, chunk, columns) != dict(before):
        raise PlanError(
            f"the store is of another stream: partition {partition!r} of {source!r} begins with another row "
            "than the one that was followed",
            cure="Follow this stream with another store=, or give the one that was followed before.",
        )


def _plain(value: Any) -> str:
    """A value as text, the same for a number of any type."""
    return repr(float(value)) if isinstance(value, bool | int | float) else str(value)
