"""The demo's rows: small, whole, credited, and as the tool that made them says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from talkoot.demo.data import PATH, areas

ROOT = Path(__file__).parents[2]


def test_it_is_small_and_credited() -> None:
    assert PATH.stat().st_size < 400_000
    credit = (PATH.parent / "README.md").read_text()
    assert "Blackard" in credit
    assert "CC BY 4.0" in credit


def test_areas_hold_all_rows_and_lack_kinds_of_forest() -> None:
    found = areas()
    assert sum(len(area.y) for area in found.values()) == pq.read_metadata(PATH).num_rows
    assert all(np.isfinite(area.X).all() and area.X.shape == (len(area.y), 10) for area in found.values())
    kinds = {name: set(area.y) for name, area in found.items()}
    assert len(set.union(*kinds.values())) == 7
    assert all(len(seen) < 7 for seen in kinds.values())


def test_the_tool_that_makes_it_leaves_it_alone_without_the_source(tmp_path: Path) -> None:
    before = PATH.read_bytes()
    tool = [sys.executable, str(ROOT / "tools" / "demo_data.py"), str(tmp_path / "covtype.csv.xz")]
    done = subprocess.run(tool, capture_output=True, text=True)
    assert done.returncode == 1
    assert "is not there" in done.stderr
    assert PATH.read_bytes() == before
