"""Every row counts exactly once, whatever is killed, at any line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import following
import numpy as np
import pyarrow.parquet as pq
import pytest
from brokers import Broker
from tiny import table

from laws import rows_of
from patience import patient
from talkoot.core.digest import digest
from talkoot.stream.follow.recorded import MODEL, model_path
from talkoot.stream.sources.log.log import SegmentLog
from talkoot.stream.store import read

THREE = {"rows": [300, 400, 200], "nodes": 3}
SMALL_ONE = {"rows": [200], "every": 20}
SMALL_THREE = {"rows": [80, 110, 60], "nodes": 3, "every": 20}
HERE = Path(following.__file__).parent


def start(store: Path, settings: dict[str, Any]) -> subprocess.Popen[bytes]:
    """Follow in a process of its own."""
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    arguments = [sys.executable, str(HERE / "following.py"), json.dumps({**settings, "store": str(store)})]
    return subprocess.Popen(arguments, env={**os.environ, "PYTHONPATH": path})


def run(store: Path, settings: dict[str, Any]) -> int:
    """Follow in a process of its own; returns how it ended."""
    return start(store, settings).wait(patient())


def counted(store: Path, settings: dict[str, Any]) -> int:
    """Follow undisturbed; returns after how many lines it ended."""
    count = store.with_name("count")
    assert run(store, {**settings, "count": str(count)}) == 0
    return int(count.read_text())


def stored(store: Path) -> str:
    """The model with all counts, offsets, scores and versions, to the last bit."""
    return digest(read(model_path(store), MODEL)[MODEL])


def kill(
    store: Path, settings: dict[str, Any], lines: int, times: int, more: Iterator[Any] | None = None
) -> None:
    """Follow while the process is killed so often, then to the end.

    Args:
        store: its store.
        settings: what it follows.
        lines: what an undisturbed run needs, so that no run ends before it is killed.
        times: how often.
        more: writes more of the stream before each run.
    """
    rng, more = np.random.default_rng(times), more or iter(())
    for _ in range(times):
        grows = {"until": None} if next(more, None) else {}
        at = [[int(rng.integers(1, lines // (times + 1))), None]]
        assert run(store, {**settings, **grows, "kills": at}) == -signal.SIGKILL
    for _ in more:
        pass
    assert run(store, settings) == 0


@pytest.mark.parametrize(
    "settings",
    [SMALL_ONE, SMALL_THREE, pytest.param({**SMALL_THREE, "apart": True}, marks=pytest.mark.slow)],
    ids=["one", "three", "apart"],
)
def test_a_killed_run_ends_as_if_undisturbed(tmp_path: Path, settings: dict[str, Any]) -> None:
    lines = counted(tmp_path / "calm", settings)
    kill(tmp_path / "killed", settings, lines, 2)
    assert stored(tmp_path / "killed") == stored(tmp_path / "calm")


def written(kind: str, at: Path, rows: list[int], pieces: int) -> Iterator[Path]:
    """Write a stream piece by piece: a log, or a folder of growing lines and of more and more files."""
    for piece in range(pieces):
        for part, count in enumerate(rows):
            data = table(count, part).slice(
                piece * count // pieces, (piece + 1) * count // pieces - piece * count // pieces
            )
            folder = at / str(part)
            if kind == "log":
                with SegmentLog(str(at)).writer(str(part)) as writer:
                    writer.append(data)
                continue
            folder.mkdir(parents=True, exist_ok=True)
            if part % 2:
                pq.write_table(data, folder / "_writing")
                (folder / "_writing").rename(folder / f"{piece:03d}.parquet")
                continue
            with (folder / "all.jsonl").open("a") as file:
                file.writelines(json.dumps(row) + "\n" for row in data.to_pylist())
        yield at


GROWING = pytest.mark.parametrize("kind", ["log", "folder"])


def predictions(outputs: Path) -> dict[str, list[dict[str, Any]]]:
    """What was written to a sink, by partition."""
    log, found = SegmentLog(str(outputs)), {}
    for name in log.partitions():
        with log.open(name) as reader:
            found[name.rpartition("-")[2]] = rows_of(reader, 1000)
    return found


def check_growing(folder: Path, kind: str, settings: dict[str, Any], times: int) -> None:
    """A stream that grows between the kills gives what one gives that is whole."""
    pieces = times + 1
    *_, calm = written(kind, folder / "whole", settings["rows"], pieces)
    outputs = [folder / name for name in ("calm outputs", "outputs")]
    whole, growing = (
        {**settings, "source": kind, "at": str(at), "sink": str(output)}
        for at, output in zip((calm, folder / "growing"), outputs, strict=True)
    )
    lines = counted(folder / "calm", whole)
    kill(
        folder / "killed", growing, lines, times, written(kind, folder / "growing", settings["rows"], pieces)
    )
    assert stored(folder / "killed") == stored(folder / "calm")
    expected, found = map(predictions, outputs)
    assert found == expected
    for part, rows in enumerate(settings["rows"]):
        assert [row["row"] for row in found[str(part)]] == [*range(rows)]


@pytest.mark.parametrize(
    ("kind", "settings"),
    [("log", SMALL_THREE), pytest.param("folder", SMALL_ONE, marks=pytest.mark.slow)],
    ids=["three, log", "one, folder"],
)
def test_a_killed_run_over_a_growing_stream_ends_as_if_undisturbed(
    tmp_path: Path, kind: str, settings: dict[str, Any]
) -> None:
    check_growing(tmp_path, kind, settings, 2)


@pytest.mark.parametrize(
    "settings", [SMALL_ONE, pytest.param(SMALL_THREE, marks=pytest.mark.slow)], ids=["one", "three"]
)
def test_a_killed_server_and_killed_runs_change_nothing(
    tmp_path: Path, redis_server: Broker, settings: dict[str, Any]
) -> None:
    import redis

    url, streams = f"redis://{redis_server.address}/0", []
    with redis.Redis.from_url(url) as client:
        for part, rows in enumerate(settings["rows"]):
            streams.append(f"{tmp_path.name}-{part}")
            for row in table(rows, part).to_pylist():
                client.xadd(streams[-1], {"value": json.dumps(row)})
    columns = {"a": "float64", "b": "float64", "y": "int64"}
    settings = {**settings, "source": "redis", "at": streams, "url": url, "columns": columns}
    lines = counted(tmp_path / "calm", settings)
    for server, itself in ((lines // 4, lines // 2), (lines // 4, lines // 3), (lines // 8, lines * 9)):
        at = [[server, redis_server.pid], [itself, None]]
        process = start(tmp_path / "killed", {**settings, "kills": at})
        redis_server.wait()
        redis_server.start()
        ended = process.wait(patient())
    assert ended == 0
    assert stored(tmp_path / "killed") == stored(tmp_path / "calm")


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"rows": [3000]}, {"rows": [1500, 1800, 1200], "nodes": 3}], ids=["one", "three"]
)
def test_twenty_kills_change_nothing(tmp_path: Path, settings: dict[str, Any]) -> None:
    lines = counted(tmp_path / "calm", settings)
    kill(tmp_path / "killed", settings, lines, 20)
    assert stored(tmp_path / "killed") == stored(tmp_path / "calm")


@pytest.mark.slow
@GROWING
@pytest.mark.parametrize(
    "settings", [{"rows": [3000]}, {"rows": [1500, 1800, 1200], "nodes": 3}], ids=["one", "three"]
)
def test_twenty_kills_over_a_growing_stream(tmp_path: Path, kind: str, settings: dict[str, Any]) -> None:
    check_growing(tmp_path, kind, settings, 20)


@pytest.mark.parametrize("line", [300, pytest.param(1500, marks=pytest.mark.slow)])
def test_a_killed_worker_changes_nothing(tmp_path: Path, line: int) -> None:
    settings = {**THREE, "workers": 3}
    assert run(tmp_path / "calm", settings) == 0
    assert run(tmp_path / "killed", {**settings, "worker": line, "once": str(tmp_path / "once")}) == 0
    assert (tmp_path / "once").exists()
    assert stored(tmp_path / "killed") == stored(tmp_path / "calm")


def test_without_barriers_every_row_counts_once(tmp_path: Path) -> None:
    settings = {**THREE, "workers": 3, "sync": {"quorum": 1, "grace": 0.0}}
    kill = {"worker": 900, "once": str(tmp_path / "once"), "kills": [[2500, None]]}
    code = run(tmp_path / "store", {**settings, **kill})
    if code:
        assert code == -signal.SIGKILL
        assert run(tmp_path / "store", settings) == 0
    model = read(model_path(tmp_path / "store"), MODEL)[MODEL]
    assert model["states"][""]["seen"].tolist() == [900.0]
    assert {part: rows for report in model["reports"].values() for part, rows in report["rows"].items()} == {
        "0": 300,
        "1": 400,
        "2": 200,
    }
