"""The journal: what is in it after a kill, and that it does not grow."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from talkoot.engines.federation.journal import LARGE, Journal

KILLED = """
import os, signal, sys
from pathlib import Path
from talkoot.engines.federation import journal
found = journal.Journal(Path(sys.argv[1]))
found.put("run", {b"before": b"b" * journal.LARGE})
write = found._rows
class Killing:
    def execute(self, text, *values):
        if text == "commit":
            os.kill(os.getpid(), signal.SIGKILL)
        return write.execute(text, *values)
found._rows = Killing()
found.put("run", {b"after": b"a" * journal.LARGE}, only=True)
"""


@pytest.mark.parametrize("size", [1, LARGE, 3 * LARGE])
def test_what_is_put_is_there_for_the_next_process(tmp_path: Path, size: int) -> None:
    journal = Journal(tmp_path)
    journal.put("run", {b"a": b"1" * size, b"b": b"2" * size})
    journal.close()
    journal = Journal(tmp_path)
    assert journal.get("run", b"a") == b"1" * size
    assert journal.get("run", b"c") is None
    assert journal.get("other", b"a") is None
    journal.put("run", {b"a": b"3" * size})
    assert journal.get("run", b"a") == b"3" * size
    assert journal.get("run", b"b") == b"2" * size
    journal.close()


def test_a_kill_before_the_commit_leaves_all_as_it_was(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(os.listdir(tmp_path / "frames")) == 2
    journal = Journal(tmp_path)
    assert journal.get("run", b"before") == b"b" * LARGE
    assert journal.get("run", b"after") is None
    assert len(os.listdir(tmp_path / "frames")) == 1  # no file without its row
    journal.close()


def test_a_damaged_file_counts_as_none(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.put("run", {b"a": b"1" * LARGE, b"b": b"2" * LARGE})
    for path, text in zip(sorted((tmp_path / "frames").iterdir()), (b"short", None), strict=True):
        path.write_bytes(text) if text else path.unlink()
    assert (journal.get("run", b"a"), journal.get("run", b"b")) == (None, None)
    journal.close()


def test_only_the_last_items_of_a_run_are_left_where_no_others_are_wanted(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for number in range(5):
        journal.put("run", {b"%d" % number: b"x" * LARGE, b"state": b"s"}, only=True)
    assert [journal.get("run", b"%d" % n) is not None for n in range(5)] == [False] * 4 + [True]
    assert len(os.listdir(tmp_path / "frames")) == 1
    journal.forget("run")
    assert (journal.runs(), os.listdir(tmp_path / "frames")) == ([], [])
    journal.close()


def test_beyond_its_size_the_oldest_go_and_runs_that_nobody_finishes_go_with_age(tmp_path: Path) -> None:
    journal = Journal(tmp_path, size=3 * LARGE)
    for number in range(10):
        journal.put(f"run{number}", {b"k": b"x" * LARGE})
    assert journal.runs() == ["run7", "run8", "run9"]
    assert len(os.listdir(tmp_path / "frames")) == 3
    journal.close()
    journal = Journal(tmp_path, age=-1.0)
    assert journal.runs() == []
    journal.close()


def test_what_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    journal = Journal(tmp_path, size=5 * LARGE)
    journal.put("run", {b"a": b"1" * LARGE})
    (tmp_path / "frames").rename(tmp_path / "away")
    with pytest.raises(OSError, match="No such file"):
        journal.put("run", {b"a": b"2", b"b": b"3" * LARGE}, only=True)
    (tmp_path / "away").rename(tmp_path / "frames")
    assert journal.get("run", b"a") == b"1" * LARGE
    journal.put("run", {bytes([key]): b"4" * LARGE for key in range(4)})
    assert journal.get("run", b"a") == b"1" * LARGE, "nothing is counted that is not there"
    assert len(os.listdir(tmp_path / "frames")) == 5
    journal.close()


def test_a_disk_that_is_full_is_named_and_the_journal_goes_on(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.put("run", {b"a": b"1"})
    journal._rows.execute("pragma max_page_count = 10")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        journal.put("run", {b"b": b"2" * (LARGE - 1)}, only=True)
    assert (journal.get("run", b"a"), journal.get("run", b"b")) == (b"1", None)
    journal.put("run", {b"b": b"2"}, only=True)
    assert (journal.get("run", b"a"), journal.get("run", b"b")) == (None, b"2")
    journal.close()
