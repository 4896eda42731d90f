"""The event log: what is written can be read, whatever happened to the writer."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkoot.core.errors import DataError
from talkoot.watch.events import EventLog, plain, read, tee


def test_events_come_back_in_order_with_their_time(tmp_path: Path) -> None:
    with EventLog(tmp_path / "deep" / "er" / "events.jsonl") as log:
        log("start", {"nodes": ("a", "b"), "rows": {"a": np.int64(3), "b": None}})
        log("end", {"ok": np.True_, "seconds": np.float32(0.5)})
    head, start, end = read(tmp_path / "deep" / "er")
    assert head["event"] == "log"
    assert head["versions"].keys() >= {"talkoot", "numpy", "python", "scikit-learn"}
    assert start["nodes"] == ["a", "b"]
    assert start["rows"] == {"a": 3, "b": None}
    assert end["ok"] is True
    assert end["t"] >= start["t"] > 1.6e9


def test_a_log_is_continued_without_a_second_head(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    for name in ("one", "two"):
        with EventLog(path) as log:
            log(name, {})
    assert [e["event"] for e in read(path)] == ["log", "one", "two"]


@pytest.mark.parametrize("cut", range(1, 12))
def test_a_line_that_a_crash_cut_short_is_left_out_and_the_log_goes_on(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "events.jsonl"
    with EventLog(path) as log:
        log("one", {"text": "\u00e4\u00e4\u00e4"})
        log("two", {"text": "x" * 20})
    path.write_bytes(path.read_bytes()[:-cut])
    assert [e["event"] for e in read(path)] == ["log", "one"]
    with EventLog(path) as log:
        log("three", {})
    assert [e["event"] for e in read(path)] == ["log", "one", "three"]


def test_a_killed_writer_loses_no_event_that_it_was_told(tmp_path: Path) -> None:
    script = (
        "import sys; from talkoot.watch.events import EventLog; log = EventLog(sys.argv[1])\n"
        "for i in range(100): log('round', {'round': i})\n"
        "print('told', flush=True); sys.stdin.read()"
    )
    path = tmp_path / "events.jsonl"
    command = [sys.executable, "-c", script, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "told\n"
        os.kill(writer.pid, signal.SIGKILL)
    assert [e["round"] for e in read(path)[1:]] == list(range(100))


def test_threads_do_not_mix_their_lines(tmp_path: Path) -> None:
    def tell() -> None:
        for i in range(200):
            log("rows", {"rows": i, "pad": "x" * 500})

    with EventLog(tmp_path / "events.jsonl") as log:
        threads = [threading.Thread(target=tell) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(read(tmp_path)) == 801


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a,b\n1,2\n", 1),
        (b'{"t": 1, "event": "start"}\nnonsense\n', 2),
        (b'{"t": 1, "event": "start"}\n[1]\n', 2),
        (b'{"event": "start"}\n', 1),
        (b"no newline at all", 1),
        (b"PAR1\xff\xfe\x00", 1),
    ],
)
def test_a_file_that_is_no_log_is_refused_and_never_changed(
    tmp_path: Path, content: bytes, line: int
) -> None:
    path = tmp_path / "other"
    path.write_bytes(content)
    with pytest.raises(DataError, match=f"is not an event log: line {line} is no event"):
        read(path)
    with pytest.raises(DataError):
        EventLog(path)
    assert path.read_bytes() == content


def test_a_missing_log_says_what_to_name(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read .* No such file .* Name a run's folder"):
        read(tmp_path / "nowhere")


def test_tee_tells_all_in_order() -> None:
    heard: list[Any] = []
    emit = tee(lambda e, f: heard.append((1, e, f)), lambda e, f: heard.append((2, e, f)))
    emit("end", {"ok": True})
    assert heard == [(1, "end", {"ok": True}), (2, "end", {"ok": True})]


scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
values = st.recursive(
    scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner)
)


@given(values)
def test_all_plain_values_survive_json(value: Any) -> None:
    assert json.loads(json.dumps(plain(value), allow_nan=False)) == plain(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.array([[1, 2], [3, 4]], dtype=np.int8), [[1, 2], [3, 4]]),
        (np.array(["a", None], dtype=object), ["a", None]),
        (np.array([1.0, math.nan]), [1.0, None]),
        (np.float64(math.inf), None),
        (np.datetime64("2026-01-02"), "2026-01-02"),
        ({1: {"x"}, None: frozenset([2, 1])}, {"1": ["x"], "None": [1, 2]}),
        (Path("a/b"), "a/b"),
        (b"ab", "b'ab'"),
        (ValueError("why"), "why"),
    ],
)
def test_what_json_does_not_know_is_converted(value: Any, expected: Any) -> None:
    assert plain(value) == expected
