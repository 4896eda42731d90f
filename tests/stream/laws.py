"""What holds for every reader, however it is read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from talkoot.stream.sources.source import Chunk, Reader


def chunks_of(reader: Reader, rows: int, seconds: float = 0.0) -> list[Chunk]:
    """All chunks until nothing comes."""
    chunks = []
    while chunk := reader.poll(rows, seconds):
        assert 0 < chunk.batch.num_rows + len(chunk.rejected) <= rows
        chunks.append(chunk)
    return chunks


def rows_of(reader: Reader, rows: int, seconds: float = 0.0) -> list[dict[str, Any]]:
    """All rows until nothing comes."""
    return [row for chunk in chunks_of(reader, rows, seconds) for row in chunk.batch.to_pylist()]


def check_reading(reader: Reader, expected: list[dict[str, Any]], steps: Sequence[tuple[int, int]]) -> None:
    """Read in polls of any sizes with seeks back to any chunk in between: always the same rows.

    Args:
        reader: at its beginning.
        expected: all rows.
        steps: for each poll its rows, and which of the chunks before it to seek to before it (modulo their
            number; 0 for none).
    """
    seen: list[tuple[int, Chunk]] = []  # the index of a chunk's first row, and the chunk
    at = 0
    for rows, back in steps:
        if back and seen:
            at, chunk = seen[back % len(seen)]
            reader.seek(chunk.first)
        again = reader.poll(rows, 0)
        if again is None:
            assert at == len(expected)
            continue
        assert again.batch.to_pylist() == expected[at : at + again.batch.num_rows]
        seen.append((at, again))
        at += again.batch.num_rows
    for start, chunk in seen[-3:]:
        reader.seek(chunk.offset)
        assert rows_of(reader, 3) == expected[start + chunk.batch.num_rows :]
        reader.seek(chunk.first)
        replayed = reader.poll(chunk.batch.num_rows, 0)
        assert replayed is not None
        assert replayed.batch.equals(chunk.batch)
        assert (replayed.first, replayed.offset) == (chunk.first, chunk.offset)


def table(first: int, rows: int) -> pa.Table:
    """Rows that name themselves, with a missing value here and there."""
    numbers = list(range(first, first + rows))
    texts = [None if n % 5 == 0 else f"t{n}" for n in numbers]
    return pa.table({"n": pa.array(numbers, pa.int64()), "t": pa.array(texts, pa.string())})
