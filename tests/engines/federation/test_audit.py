"""The audit log: what was done to it shows, and where."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from examples import examples
from talkoot.core.errors import DataError
from talkoot.engines.federation.audit import AuditLog


def written(folder: Path, lines: int = 5) -> AuditLog:
    log = AuditLog(folder, now=lambda: 1_800_000_000.0)
    for number in range(lines):
        log.append("sent", {"run": "ab" if number % 2 else "cd", "bytes": 100 * number})
    return log


def test_lines_follow_from_each_other(tmp_path: Path) -> None:
    log = written(tmp_path)
    assert log.verify().lines == 5
    assert [entry.facts["bytes"] for entry in AuditLog(tmp_path).entries("ab")] == [100, 300]
    assert AuditLog(tmp_path / "new").verify().lines == 0


CHANGES: dict[str, tuple[Callable[[list[bytes]], list[bytes]], str]] = {
    "a changed fact": (lambda x: [x[0], x[1].replace(b"100", b"101"), *x[2:]], "line 3: it does not follow"),
    "a changed last line": (lambda x: [*x[:4], x[4].replace(b"400", b"4")], "line 5: it is not the line"),
    "a missing line": (lambda x: [*x[:2], *x[3:]], "line 3: it says that it is line 4"),
    "a missing first line": (lambda x: x[1:], "line 1: it says that it is line 2"),
    "a missing end": (lambda x: x[:3], "line 4: it is missing; 5 lines were written"),
    "nothing left": (lambda x: [], "line 1: it is missing; 5 lines were written"),
    "a line twice": (lambda x: [*x[:2], x[1], *x[2:]], "line 3: it says that it is line 2"),
    "two that changed places": (lambda x: [x[0], x[2], x[1], *x[3:]], "line 2: it says that it is line 3"),
    "a torn line": (lambda x: [*x[:4], x[4][:-9]], "line 5: it is cut off"),
    "no entry": (lambda x: [x[0], b"{}\n", *x[2:]], "line 2: it is no entry"),
    "a blank line": (lambda x: [x[0], b"\n", *x[1:]], "line 2: it is no entry"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_log_that_was_changed_is_found_by_its_line(tmp_path: Path, change: str) -> None:
    log = written(tmp_path)
    edit, why = CHANGES[change]
    log.path.write_bytes(b"".join(edit(log.path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(DataError, match=f"the audit log is not whole: {why}"):
        log.verify()


@examples(120, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_bit_can_change(tmp_path: Path, data: st.DataObject) -> None:
    log = AuditLog(tmp_path)
    if not log.path.exists():
        written(tmp_path)
    whole = log.path.read_bytes()
    at = data.draw(st.integers(0, len(whole) - 1))
    log.path.write_bytes(
        whole[:at] + bytes([whole[at] ^ 1 << data.draw(st.integers(0, 7))]) + whole[at + 1 :]
    )
    try:
        with pytest.raises(DataError, match=r"not whole: line \d"):
            log.verify()
    finally:
        log.path.write_bytes(whole)
    log.verify()


def test_nobody_appends_to_a_log_that_was_cut(tmp_path: Path) -> None:
    log = written(tmp_path)
    log.path.write_bytes(b"".join(log.path.read_bytes().splitlines(keepends=True)[:3]))
    with pytest.raises(DataError, match="line 4: the log does not end where it ended"):
        log.append("sent", {})
    log.path.with_suffix(".head").unlink()
    with pytest.raises(DataError, match=r"audit\.head, which says where the log ends, is missing"):
        log.verify()


def test_what_a_killed_writer_left_does_not_count(tmp_path: Path) -> None:
    log = written(tmp_path)
    with log.path.open("ab") as file:
        file.write(b'{"number":6,"at":')
    assert log.verify().lines == 5
    log.append("sent", {})
    assert log.verify().lines == 6
    head = log.path.with_suffix(".head").read_bytes()
    log.append("sent", {})
    log.path.with_suffix(".head").write_bytes(head)  # killed between the line and the head
    assert log.verify().lines == 7
    log.append("sent", {})
    assert log.verify().lines == 8


def test_long_lines_are_found_from_the_end(tmp_path: Path) -> None:
    log = written(tmp_path, 1)
    for size in (10, 70_000, 300_000, 10):
        log.append("proposed", {"proposal": "x" * size})
    assert log.verify().lines == 5


def test_processes_take_turns(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from talkoot.engines.federation.audit import AuditLog\n"
        "for number in range(20): AuditLog(Path(sys.argv[1])).append('sent', {'who': sys.argv[2]})"
    )
    writers = [subprocess.Popen([sys.executable, "-c", script, tmp_path, who]) for who in "ab"]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert AuditLog(tmp_path).verify().lines == 40
