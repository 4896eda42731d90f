"""Outputs in folders: each row once, whatever is written again."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from laws import rows_of, table
from talkoot.core.errors import DataError
from talkoot.stream.sinks.folder import LogSink, ParquetSink
from talkoot.stream.sinks.sink import Sink
from talkoot.stream.sources.folder import Folder
from talkoot.stream.sources.log.log import SegmentLog
from talkoot.stream.sources.source import Source


def pair(kind: str, folder: str) -> tuple[Sink, Source]:
    """A sink, and the source that reads what it wrote."""
    if kind == "log":
        return LogSink(SegmentLog(folder)), SegmentLog(folder)
    return ParquetSink(folder), Folder(folder, ends=True)


@pytest.mark.parametrize("kind", ["log", "parquet"])
@examples(50)
@given(writes=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 5), st.booleans()), max_size=8))
def test_each_row_appears_once(kind: str, writes: list[tuple[int, int, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sink, source = pair(kind, folder)
        output, rows = sink.open("run"), 0
        for size, back, again in writes:
            row = max(0, rows - back)
            assert output.write(row, table(row, size + 1).to_batches()[0]) == max(0, row + size + 1 - rows)
            rows = max(rows, row + size + 1)
            if again:
                output.close()
                output = sink.open("run")
            assert output.rows == rows
        output.close()
        with source.open("run") as reader:
            assert rows_of(reader, 4) == table(0, rows).to_pylist()


@pytest.mark.parametrize("kind", ["log", "parquet"])
def test_a_gap_is_named(kind: str, tmp_path: Path) -> None:
    sink, _ = pair(kind, str(tmp_path))
    with (
        sink.open("run") as output,
        pytest.raises(DataError, match="'run' has 0 rows, and row 3 is to follow"),
    ):
        output.write(3, table(3, 1).to_batches()[0])
    with pytest.raises(DataError, match="is no name of a folder"):
        sink.open("../run")
