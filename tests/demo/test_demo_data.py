"""The demo's rows: small, whole, credited, and as the tool that made them says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import talkoot as tk
from talkoot.api.compare.comparison import Interval, Row
from talkoot.demo.data import PATH, TEXTS, lenders
from talkoot.demo.words import at_home, mean_gain

ROOT = Path(__file__).parents[2]
SOURCE = ROOT.parent / "shared" / "data" / "german_credit" / "germancredit.csv"


def test_it_is_small_and_credited() -> None:
    assert PATH.stat().st_size < 40_000
    credit = (PATH.parent / "README.md").read_text()
    assert "Hofmann" in credit
    assert "CC BY 4.0" in credit


def test_lenders_hold_all_loans() -> None:
    found = lenders()
    assert sum(len(loans.y) for loans in found.values()) == pq.read_metadata(PATH).num_rows == 1000
    assert sum(int(loans.y.sum()) for loans in found.values()) == 300
    for X, _ in found.values():
        assert X.shape[1] == 17
        assert all(isinstance(value, str) for value in X[:, :TEXTS].ravel())
        assert np.isfinite(X[:, TEXTS:].astype(float)).all()


def test_columns_that_cannot_be_relied_on_are_not_there() -> None:
    names = pq.read_schema(PATH).names
    assert not [name for name in names if "sex" in name or "status" in name or "foreign" in name]


def test_a_mean_gain_is_narrower_than_its_parts_and_a_loss_is_not_called_a_gain() -> None:
    def found(*gains: Interval) -> tk.Comparison:
        rows = (Row(node=f"n{i}", rows=9, scores={}, gain=gain) for i, gain in enumerate(gains))
        return tk.Comparison(rows=tuple(rows), metric="roc_auc", folds=2)

    same = found(*[Interval(0.05, 0.01, 0.11)] * 4)
    assert mean_gain(same) == pytest.approx((0.05, 0.03, 0.08))
    assert "each lender gains" in at_home(same)
    mixed = at_home(found(Interval(0.05, 0.01, 0.11), Interval(-0.01, -0.03, 0.02)))
    assert "a lender's gain from the others is -0.010 to +0.050" in mixed


@pytest.mark.skipif(not SOURCE.exists(), reason="the source is not here")
def test_the_tool_makes_the_same_rows(tmp_path: Path) -> None:
    tool = [
        sys.executable,
        str(ROOT / "tools" / "demo_data.py"),
        str(SOURCE),
        str(tmp_path / "again.parquet"),
    ]
    subprocess.run(tool, check=True)
    assert pq.read_table(tmp_path / "again.parquet").equals(pq.read_table(PATH))


def test_the_tool_that_makes_it_leaves_it_alone_without_the_source(tmp_path: Path) -> None:
    before = PATH.read_bytes()
    tool = [sys.executable, str(ROOT / "tools" / "demo_data.py"), str(tmp_path / "germancredit.csv")]
    done = subprocess.run(tool, capture_output=True, text=True)
    assert done.returncode == 1
    assert "is not there" in done.stderr
    assert PATH.read_bytes() == before
