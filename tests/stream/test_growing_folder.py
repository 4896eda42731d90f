"""A folder into which files are put."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from laws import check_reading, rows_of, table
from talkoot.core.errors import DataError
from talkoot.stream.sources.folder import Folder
from talkoot.stream.sources.source import OffsetGone, Reader

COLUMNS = {"n": "int64", "t": "string"}


def parquet(path: Path, first: int, rows: int, group: int = 3) -> None:
    pq.write_table(table(first, rows), path, row_group_size=group)


def lines(path: Path, first: int, rows: int, *, cut: int = 0) -> None:
    text = "".join(json.dumps(row) + "\n" for row in table(first, rows).to_pylist())
    with path.open("a") as file:
        file.write(text[: len(text) - cut])


def numbers(reader: Reader, rows: int = 7) -> list[Any]:
    return [row["n"] for row in rows_of(reader, rows)]


@examples(80)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=5),
    st.lists(st.tuples(st.integers(1, 12), st.integers(0, 5)), max_size=12),
)
def test_any_polls_and_seeks_read_the_same_rows(
    files: list[tuple[int, bool]], steps: list[tuple[int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        first = 0
        for at, (rows, by_lines) in enumerate(files):
            (lines if by_lines else parquet)(
                Path(folder, f"{at}.{'jsonl' if by_lines else 'parquet'}"), first, rows
            )
            first += rows
        with Folder(folder, columns=COLUMNS, ends=True).open(".") as reader:
            check_reading(reader, table(0, first).to_pylist(), steps)
            reader.seek("earliest")
            assert numbers(reader) == [*range(first)]
            assert reader.ended()


def test_folders_are_partitions(tmp_path: Path) -> None:
    assert Folder(str(tmp_path)).partitions() == (".",)
    for name in ("b", "a", "_tmp"):
        (tmp_path / name).mkdir()
    parquet(tmp_path / "b" / "1.parquet", 5, 2)
    source = Folder(str(tmp_path))
    assert source.partitions() == ("a", "b")
    assert numbers(source.open("b")) == [5, 6]
    with pytest.raises(DataError, match="is no folder"):
        Folder(str(tmp_path / "c")).partitions()


def test_files_that_come_later_are_read_when_they_are_whole(tmp_path: Path) -> None:
    with Folder(str(tmp_path)).open(".") as reader:
        assert reader.poll(9, 0) is None
        parquet(tmp_path / "1.parquet", 0, 4)
        assert numbers(reader) == [0, 1, 2, 3]
        whole = (tmp_path / "1.parquet").read_bytes()
        (tmp_path / "2.parquet").write_bytes(whole[:-9])
        parquet(tmp_path / "3.parquet", 8, 2)
        (tmp_path / "_4.parquet").write_bytes(b"half")
        assert reader.poll(9, 0) is None
        assert reader.trouble == f"waiting for {tmp_path}/2.parquet: it has no footer of Parquet"
        parquet(tmp_path / "2.parquet", 4, 4)
        assert numbers(reader) == [4, 5, 6, 7, 8, 9]
        assert reader.trouble is None
        assert not reader.ended()


def test_a_file_that_stays_unfinished_is_named(tmp_path: Path) -> None:
    (tmp_path / "1.parquet").write_bytes(b"PAR1 and no more")
    os.utime(tmp_path / "1.parquet", (0, 0))
    with (
        Folder(str(tmp_path)).open(".") as reader,
        pytest.raises(DataError, match=r"1.parquet is unfinished and has not changed for 60 s.*delete it"),
    ):
        reader.poll(9, 0)


def test_lines_are_read_while_they_are_appended(tmp_path: Path) -> None:
    path = tmp_path / "1.jsonl"
    path.touch()
    with Folder(str(tmp_path)).open(".") as reader:
        assert reader.poll(9, 0) is None
        lines(path, 0, 3, cut=4)
        assert numbers(reader) == [0, 1]
        with path.open("a") as file:
            file.write('t2"}\n'[-4:])
        assert numbers(reader) == [2]
        with path.open("a") as file:
            file.write('\n{"n": 3}\nnonsense\n{"n": "x"}\n{"n": 4, "t": "last"}')
        chunk = reader.poll(9, 0)
        assert chunk is not None
        assert chunk.batch["n"].to_pylist() == [3]
        assert [rejected.value for rejected in chunk.rejected] == [b"nonsense\n", b'{"n": "x"}\n']
        reader.seek(chunk.rejected[1].offset)
        assert (again := reader.poll(9, 0)) is not None
        assert again.rejected == chunk.rejected[1:]
        lines(tmp_path / "2.jsonl", 5, 1)
        assert numbers(reader) == [4, 5]


def test_what_could_be_lost_is_named(tmp_path: Path) -> None:
    lines(tmp_path / "2.jsonl", 0, 3)
    with Folder(str(tmp_path)).open(".") as reader:
        assert len(numbers(reader)) == 3
        parquet(tmp_path / "1.parquet", 0, 1)
        with pytest.raises(DataError, match="1.parquet came when 2.jsonl was being read"):
            reader.poll(9, 0)
        (tmp_path / "1.parquet").rename(tmp_path / "3.parquet")
        assert numbers(reader) == [0]
        lines(tmp_path / "2.jsonl", 3, 1)
        with pytest.raises(DataError, match="2.jsonl has grown after a file behind it was begun"):
            reader.poll(9, 0)


def test_deleted_and_cut_files_are_gone_by_name(tmp_path: Path) -> None:
    for at in range(3):
        parquet(tmp_path / f"{at}.parquet", at * 10, 10)
    with Folder(str(tmp_path)).open(".") as reader:
        chunk = reader.poll(4, 0)
        assert chunk is not None
        (tmp_path / "0.parquet").unlink()
        with pytest.raises(OffsetGone, match="0.parquet was deleted") as gone:
            reader.seek(chunk.offset)
        assert gone.value.resume == "1.parquet:0"
        reader.seek(gone.value.resume)
        assert numbers(reader) == [*range(10, 30)]
        with pytest.raises(OffsetGone, match="ends at 10, and not behind 11"):
            reader.seek("1.parquet:11")
        reader.seek("latest")
        assert reader.poll(1, 0) is None


def test_latest_of_lines_is_behind_the_last_whole_one(tmp_path: Path) -> None:
    lines(tmp_path / "1.jsonl", 0, 3, cut=1)
    with Folder(str(tmp_path), start="latest").open(".") as reader:
        assert reader.poll(9, 0) is None
        with (tmp_path / "1.jsonl").open("a") as file:
            file.write("\n")
        assert numbers(reader) == [2]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    parquet(tmp_path / "1.parquet", 0, 1000, group=1000)
    data = bytearray((tmp_path / "1.parquet").read_bytes())
    data[4:400] = b"\xff" * 396
    (tmp_path / "1.parquet").write_bytes(data)
    with Folder(str(tmp_path)).open(".") as reader, pytest.raises(DataError, match="1.parquet, row 0 and on"):
        reader.poll(9, 0)
