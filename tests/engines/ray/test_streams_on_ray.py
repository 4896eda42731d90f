"""Streams that are followed by actors: the answer is that of one process, whoever is killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from following import Deadly
from tiny import Tiny, table

import talkoot as tk
from talkoot.core.digest import digest
from talkoot.core.engine import Engine
from talkoot.stream.sources.memory import Memory
from talkoot.stream.sources.source import Source

ray = pytest.importorskip("ray", reason="Ray is not installed")
pytestmark = pytest.mark.usefixtures("cluster")
MEMORY = Memory({str(part): table(rows, part) for part, rows in enumerate((300, 400, 200))})


def learned(source: Source, on: Engine | None, store: Path) -> str:
    found = tk.follow(
        Tiny(), source, "y", nodes=3, on=on, sync=tk.every(rows=50), store=store, progress=False
    )
    assert found.rows == 900
    return digest(found.following.data())


def test_actors_that_are_killed_change_nothing(tmp_path: Path) -> None:
    expected = learned(MEMORY, None, tmp_path / "inline")
    assert learned(MEMORY, tk.Ray(2), tmp_path / "calm") == expected
    deadly = Deadly(MEMORY, 400, tmp_path / "once", os.getpid())
    assert learned(deadly, tk.Ray(2), tmp_path / "killed") == expected
    assert (tmp_path / "once").exists(), "an actor was killed"
