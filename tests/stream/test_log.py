"""The segment log: what is written is read, whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from laws import check_reading, rows_of, table
from patience import patient
from talkoot.core.errors import DataError, PlanError
from talkoot.stream.sources.log import writer as writing
from talkoot.stream.sources.log.log import SegmentLog
from talkoot.stream.sources.log.segments import Segment, first_rows
from talkoot.stream.sources.source import OffsetGone

few = examples(80)


def log_of(folder: Path, *sizes: int, **limits: Any) -> SegmentLog:
    """A log whose one partition got a table of each size."""
    log = SegmentLog(str(folder), **limits)
    with log.writer() as writer:
        for size in sizes:
            writer.append(table(writer.row, size))
    return log


def segments(log: SegmentLog) -> list[Path]:
    return sorted(Path(log.folder, "0").glob("*.arrows"))


def read(log: SegmentLog) -> list[Any]:
    with log.open("0") as reader:
        return [row["n"] for row in rows_of(reader, 7)]


@few
@given(
    st.lists(st.integers(1, 9), max_size=6),
    st.sampled_from([1, 400, 1 << 20]),
    st.lists(st.tuples(st.integers(1, 12), st.integers(0, 5)), max_size=12),
)
def test_any_polls_and_seeks_read_the_same_rows(
    sizes: list[int], segment_bytes: int, steps: list[tuple[int, int]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = log_of(Path(folder), *sizes, segment_bytes=segment_bytes)
        with log.open("0") as reader:
            check_reading(reader, table(0, sum(sizes)).to_pylist(), steps)


@few
@given(st.integers(0, 2000), st.sampled_from([1, 1 << 20]))
def test_whatever_a_kill_leaves_of_the_last_file_the_rest_is_cut_off_and_written_again(
    left: int, segment_bytes: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        log = log_of(Path(folder), 4, 3, segment_bytes=segment_bytes)
        last = segments(log)[-1]
        os.truncate(last, min(left, last.stat().st_size))
        before = read(log)
        assert before in ([], [*range(4)], [*range(7)])
        with log.writer() as writer:
            assert writer.row == len(before)
            writer.append(table(writer.row, 5))
        assert read(log) == [*range(len(before) + 5)]


@pytest.mark.parametrize("change", [1, 128])
def test_every_changed_byte_is_named_by_readers_and_the_next_writer(tmp_path: Path, change: int) -> None:
    log = log_of(tmp_path, 4, 3)
    path = segments(log)[0]
    whole = path.read_bytes()
    for at in range(0, len(whole), 3):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ change]) + whole[at + 1 :])
        for use in (read, SegmentLog.writer):
            with pytest.raises(DataError, match=f"{path} is damaged at byte .*truncate -s"):
                use(log)


def test_a_file_is_read_by_arrow_itself(tmp_path: Path) -> None:
    path = segments(log_of(tmp_path, 4, 3))[0]
    assert pa.ipc.open_stream(path.read_bytes()).read_all()["n"].to_pylist() == [*range(7)]


def test_another_schema_begins_a_file_and_ends_a_chunk(tmp_path: Path) -> None:
    log = log_of(tmp_path, 3)
    with log.writer() as writer:
        writer.append(pd.DataFrame({"z": pd.Categorical(["a", "b", "a"])}))
        writer.append(pd.DataFrame({"z": ["c"]}))
    with log.open("0") as reader:
        chunks = [reader.poll(100, 0) for _ in range(3)]
        assert [c and c.batch.schema.names for c in chunks] == [["n", "t"], ["z"], ["z"]]
        assert reader.poll(1, 0) is None
    assert len(segments(log)) == 2


def test_old_files_are_deleted_and_what_was_in_them_is_gone_by_name(tmp_path: Path) -> None:
    log = log_of(tmp_path, *[10] * 9, segment_bytes=1, retention_bytes=3000)
    firsts = first_rows(tmp_path / "0")
    assert 0 < firsts[0] < firsts[-1] == 80
    with log.open("0") as reader:
        assert rows_of(reader, 8)[0]["n"] == firsts[0]
        with pytest.raises(OffsetGone, match=rf"has rows {firsts[0]} to 90, and not row 5") as gone:
            reader.seek("5")
        assert gone.value.resume == str(firsts[0])
        with pytest.raises(OffsetGone, match="and not row 91"):
            reader.seek("91")


def test_files_are_deleted_by_age(tmp_path: Path) -> None:
    log = log_of(tmp_path, 10, 10, segment_bytes=1, retention_seconds=3600)
    os.utime(segments(log)[0], (0, 0))
    with log.writer() as writer:
        writer.append(table(20, 10))
    assert first_rows(tmp_path / "0") == [10, 20]


def test_a_reader_that_is_overtaken_by_deletion_is_stopped_by_name(tmp_path: Path) -> None:
    log = log_of(tmp_path, 10, segment_bytes=1)
    with log.open("0") as reader:
        reader.poll(4, 0)
        log_of(tmp_path, *[10] * 5, segment_bytes=1, retention_bytes=2000)
        with pytest.raises(OffsetGone, match="and not row 10") as gone:
            rows_of(reader, 10)
        reader.seek(gone.value.resume)
        assert rows_of(reader, 10)[-1]["n"] == 59


def test_a_file_that_is_lost_in_the_middle_is_named(tmp_path: Path) -> None:
    log = log_of(tmp_path, 10, 10, 10, segment_bytes=1)
    segments(log)[1].unlink()
    with log.open("0") as reader, pytest.raises(OffsetGone, match="has rows 20 to 30, and not row 10"):
        rows_of(reader, 100)


def test_a_partition_has_one_writer(tmp_path: Path) -> None:
    log = SegmentLog(str(tmp_path))
    refused = pytest.raises(DataError, match=f"is being written by process {os.getpid()}")
    with log.writer("0"), log.writer("1"), refused:
        log.writer("0")
    assert log.partitions() == ("0", "1")
    log.writer("0").close()


def test_an_ended_partition_ends_its_readers_and_is_not_written_again(tmp_path: Path) -> None:
    log = log_of(tmp_path, 4)
    reader = log.open("0")
    assert rows_of(reader, 9)
    assert not reader.ended()
    with log.writer() as writer:
        writer.append(table(4, 1))
        writer.end()
    assert not reader.ended()
    assert len(rows_of(reader, 9)) == 1
    assert reader.ended()
    with pytest.raises(DataError, match="was ended"):
        log.writer()


def test_a_full_disk_is_named_and_leaves_the_log_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = SegmentLog(str(tmp_path))
    with log.writer() as writer:
        writer.append(table(0, 4))
        write = os.write

        def full(file: int, data: Any) -> int:
            if len(data) > 10:
                return write(file, data[:10])
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(os, "write", full)
            with pytest.raises(DataError, match=r"row 4 was not written: .*No space left"):
                writer.append(table(4, 4))
            with pytest.raises(DataError, match="row 4 was not written"):
                writer.append(pa.table({"z": [1]}))
        assert read(log) == [0, 1, 2, 3]
        writer.append(table(4, 4))
    assert read(log) == [*range(8)]


def test_a_reader_waits_for_rows_that_are_written_meanwhile(tmp_path: Path) -> None:
    log = SegmentLog(str(tmp_path))
    with log.writer() as writer, log.open("0") as reader:
        assert reader.poll(5, 0) is None
        later = threading.Timer(0.05, writer.append, [table(0, 3)])
        later.start()
        chunk = reader.poll(5, patient())
        later.join()
    assert chunk is not None
    assert chunk.batch.num_rows == 3


def test_large_tables_are_written_as_several_messages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "MESSAGE_BYTES", 256)
    assert read(log_of(tmp_path, 100)) == [*range(100)]
    with SegmentLog(str(tmp_path)).open("0") as reader:
        chunk = reader.poll(100, 0)
    assert chunk is not None
    assert chunk.batch.num_rows < 30


def test_latest_begins_behind_what_is_there(tmp_path: Path) -> None:
    log_of(tmp_path, 4, segment_bytes=1)
    with SegmentLog(str(tmp_path), start="latest").open("0") as reader:
        assert reader.poll(9, 0) is None
        log_of(tmp_path, 3)
        assert reader.lag() == 3


def test_what_cannot_be_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="above 0"):
        SegmentLog(str(tmp_path), segment_bytes=0)
    with pytest.raises(DataError, match="has no partition yet"):
        SegmentLog(str(tmp_path)).partitions()
    with pytest.raises(DataError, match="is no name of a folder"):
        SegmentLog(str(tmp_path)).open("../0")


def test_a_message_that_is_finished_while_we_look_is_not_damaged(tmp_path: Path) -> None:
    """A reader finds the beginning of a message; before it looks for damage, the rest is there."""
    log = log_of(tmp_path, 3, 5)
    (path,) = segments(log)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    segment = Segment.open(path.parent, 0)
    try:
        assert segment.read() is not None
        assert segment.read() is None
        path.write_bytes(whole)
        assert segment.torn()
        assert segment.read() is not None
    finally:
        segment.close()


WRITE = """
import sys, pyarrow as pa
from talkoot.stream.sources.log.log import SegmentLog
with SegmentLog(sys.argv[1], segment_bytes=4000).writer() as writer:
    while True:
        rows = range(writer.row, writer.row + 7)
        writer.append(pa.table({"n": list(rows), "t": [f"t{n}" for n in rows]}))
        print(writer.row, flush=True)
"""


def test_a_killed_writer_loses_nothing_that_it_had_written(tmp_path: Path) -> None:
    log = SegmentLog(str(tmp_path))
    stored, seen = 0, []
    reader = None
    for lines in (3, 11, 29):
        command = [sys.executable, "-c", WRITE, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(lines):
                stored = int(process.stdout.readline())
            reader = reader or log.open("0")
            seen += [row["n"] for row in rows_of(reader, 5)]
            process.send_signal(signal.SIGKILL)
        seen += [row["n"] for row in rows_of(reader, 5)]
        assert seen == [*range(len(seen))]
        assert len(seen) >= stored
