"""Every row counts exactly once, whatever is killed, at any line."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import following
import numpy as np
import pytest

from talkoot.core.digest import digest
from talkoot.stream.follow.recorded import MODEL, model_path
from talkoot.stream.store import read

ONE = {"rows": [600]}
THREE = {"rows": [300, 400, 200], "nodes": 3}
HERE = Path(following.__file__).parent


def run(store: Path, settings: dict[str, Any]) -> int:
    """Follow in a process of its own; returns how it ended."""
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    arguments = [sys.executable, str(HERE / "following.py"), json.dumps({**settings, "store": str(store)})]
    return subprocess.run(arguments, env={**os.environ, "PYTHONPATH": path}, timeout=200).returncode


def stored(store: Path) -> str:
    """The model with all counts and versions, to the last bit."""
    return digest(read(model_path(store), MODEL)[MODEL])


def kills(store: Path, settings: dict[str, Any], seed: int, count: int, most: int) -> int:
    """Follow while the process is killed, then to the end; returns how often it was killed."""
    rng, killed = np.random.default_rng(seed), 0
    for _ in range(count):
        code = run(store, {**settings, "line": int(rng.integers(1, most))})
        assert code in (0, -signal.SIGKILL)
        killed += code != 0
    assert run(store, settings) == 0
    return killed


@pytest.mark.parametrize("settings", [ONE, THREE, {**THREE, "apart": True}], ids=["one", "three", "apart"])
def test_a_killed_run_ends_as_if_undisturbed(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert run(tmp_path / "calm", settings) == 0
    assert kills(tmp_path / "killed", settings, seed=1, count=2, most=6000) == 2
    assert stored(tmp_path / "killed") == stored(tmp_path / "calm")


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings", [{"rows": [3000]}, {"rows": [1500, 1800, 1200], "nodes": 3}], ids=["one", "three"]
)
def test_twenty_kills_change_nothing(tmp_path: Path, settings: dict[str, Any]) -> None:
    assert run(tmp_path / "calm", settings) == 0
    assert kills(tmp_path / "killed", settings, seed=2, count=20, most=3000) == 20
    assert stored(tmp_path / "killed") == stored(tmp_path / "calm")


@pytest.mark.parametrize("line", [300, 1500])
def test_a_killed_worker_changes_nothing(tmp_path: Path, line: int) -> None:
    settings = {**THREE, "workers": 3}
    assert run(tmp_path / "calm", settings) == 0
    assert run(tmp_path / "killed", {**settings, "worker": line, "once": str(tmp_path / "once")}) == 0
    assert (tmp_path / "once").exists()
    assert stored(tmp_path / "killed") == stored(tmp_path / "calm")


def test_without_barriers_every_row_counts_once(tmp_path: Path) -> None:
    settings = {**THREE, "workers": 3, "sync": {"quorum": 1, "grace": 0.0}}
    kill = {"worker": 900, "once": str(tmp_path / "once"), "line": 2500}
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
