"""Every row counts exactly once, whatever is killed, at any line."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from killing import SMALL_ONE, SMALL_THREE, THREE, counted, kill, run, stored
from tiny import table

from laws import rows_of
from talkoot.stream.follow.recorded import MODEL, model_path
from talkoot.stream.sources.log.log import SegmentLog
from talkoot.stream.store import read


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param(SMALL_ONE, marks=pytest.mark.slow),
        SMALL_THREE,
        pytest.param({**SMALL_THREE, "apart": True}, marks=pytest.mark.slow),
    ],
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


def check_counted(store: Path, rows: list[int]) -> None:
    """Each row was learned once, and is counted once for its partition."""
    model = read(model_path(store), MODEL)[MODEL]
    assert model["states"][""]["seen"].tolist() == [sum(rows)]
    counts = {part: number for report in model["reports"].values() for part, number in report["rows"].items()}
    assert counts == {str(part): number for part, number in enumerate(rows)}


def test_without_barriers_every_row_counts_once(tmp_path: Path) -> None:
    settings: dict[str, Any] = {**THREE, "workers": 3, "sync": {"quorum": 1, "grace": 0.0}}
    kill = {"worker": 900, "once": str(tmp_path / "once"), "kills": [[2500, None]]}
    code = run(tmp_path / "store", {**settings, **kill})
    if code:
        assert code == -signal.SIGKILL
        assert run(tmp_path / "store", settings) == 0
    check_counted(tmp_path / "store", settings["rows"])


@pytest.mark.slow
def test_without_barriers_twenty_kills_count_every_row_once(tmp_path: Path) -> None:
    sync = {"quorum": 1, "grace": 0.0}
    settings: dict[str, Any] = {"rows": [600, 800, 400], "nodes": 3, "workers": 3, "sync": sync}
    lines, rng = counted(tmp_path / "calm", settings), np.random.default_rng(0)
    for number in range(20):
        worker = {"worker": int(rng.integers(100, 900)), "once": str(tmp_path / f"once{number}")}
        itself = [[int(rng.integers(1, lines // 10)), None]]
        assert run(tmp_path / "store", {**settings, **worker, "kills": itself}) in (0, -signal.SIGKILL)
    assert run(tmp_path / "store", settings) == 0
    check_counted(tmp_path / "store", settings["rows"])
