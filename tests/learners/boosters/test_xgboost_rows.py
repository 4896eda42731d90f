"""How XGBoost over nodes reads rows: in batches that become bins at once, in files where memory is short."""

from __future__ import annotations

import _thread
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from boosted import dealt, table
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from patience import soon
from talkoot.core.shard import Block
from talkoot.learners.xgboost import matrix, rows
from talkoot.learners.xgboost.files import Files
from talkoot.learners.xgboost.group import Boosters
from talkoot.learners.xgboost.matrix import Matrix
from talkoot.learners.xgboost.rows import Binning, Part

xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed")

X, Y = table(600)
LABELS, W = np.digitize(Y, [-1, 1]), np.random.default_rng(1).uniform(0, 3, len(Y))
SMALL = xgboost.XGBRegressor(n_estimators=3, max_depth=2)


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Memory is short, and batches are small; the folder that files lie in."""
    monkeypatch.setattr(matrix, "free_memory", lambda: 0)
    monkeypatch.setattr(rows, "BATCH", 1000)
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def saved(model: Any) -> bytes:
    return bytes(model.get_booster().save_raw("ubj"))


@pytest.mark.parametrize("nodes", [1, 3])
@pytest.mark.parametrize("filled", [False, True], ids=["missing values", "none missing"])
def test_bins_in_files_give_the_bits_of_bins_in_memory(
    nodes: int, *, filled: bool, request: pytest.FixtureRequest
) -> None:
    estimator = xgboost.XGBClassifier(n_estimators=12, max_depth=3)
    data = dealt(nodes, np.nan_to_num(X, nan=0.5) if filled else X, LABELS, W)
    want = tk.fit(estimator, data, on=tk.Inline()).model
    folder, sizes = request.getfixturevalue("short"), list[int]()

    def noted(size: int) -> Files:
        sizes.append(size)
        return Files(size)

    request.getfixturevalue("monkeypatch").setattr(matrix, "Files", noted)
    assert saved(tk.fit(estimator, data, on=tk.Inline()).model) == saved(want)
    assert len(sizes) == 1
    assert not os.listdir(folder)


@pytest.mark.parametrize("bins", [40, 300])
def test_a_folder_of_files_gives_the_bits_of_its_rows(bins: int, short: Path, tmp_path: Path) -> None:
    names = [f"x{j}" for j in range(X.shape[1])]
    for i, part in enumerate((slice(0, 130), slice(130, None))):
        columns = dict(zip(names, X[part].T, strict=True)) | {"y": Y[part]}
        pq.write_table(pa.table(columns), tmp_path / f"p{i}.parquet", row_group_size=17)
    estimator = xgboost.XGBRegressor(n_estimators=4, max_bin=bins, grow_policy="lossguide", max_leaves=9)
    got = tk.fit(estimator, str(tmp_path / "*.parquet"), target="y", nodes=2, on=tk.Inline()).model
    want = tk.fit(estimator, X, Y, nodes=1, on=tk.Inline()).model
    np.testing.assert_array_equal(got.predict(X), want.predict(X))
    assert not os.listdir(short)


def made(blocks: Callable[[], Iterator[Block]], count: int = 20) -> Matrix:
    cuts = tuple(np.arange(3, dtype=np.float32) for _ in range(2))
    how = Binning(cuts, None, bins=4, outputs=1, weighted=False, threads=1)
    return Matrix([Part(blocks, count, missing=False)], how)


def ten() -> Block:
    return Block(X=np.ones((10, 2), np.float32), y=np.zeros(10))


@pytest.mark.parametrize("later", [1, 3])
def test_rows_that_change_between_passes_are_refused(later: int, short: Path) -> None:
    passes = list[int]()

    def changing() -> Iterator[Block]:
        passes.append(1)
        return iter([ten()] * (2 if len(passes) == 1 else later))

    with pytest.raises(tk.DataError, match="the rows changed"):
        made(changing)
    assert not os.listdir(short)


def test_an_error_while_rows_are_read_is_raised_as_it_is(short: Path) -> None:
    def failing() -> Iterator[Block]:
        yield replace(ten(), y=np.ones(10))
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        made(failing)
    assert not os.listdir(short)


def test_control_c_while_rows_are_read_ends_the_fit(short: Path) -> None:
    def interrupted() -> Iterator[Block]:
        yield ten()
        _thread.interrupt_main()
        yield ten()

    with pytest.raises(KeyboardInterrupt):
        made(interrupted)
    assert not os.listdir(short)


def test_no_room_for_files_says_where_and_what_to_do(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(short)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: usage)
    with pytest.raises(tk.DataError, match=r"neither into memory nor into .*Set TMPDIR") as refused:
        tk.fit(SMALL, dealt(2, X, Y), on=tk.Inline())
    assert str(short) in str(refused.value)


KILLED = """
import sys, numpy as np, xgboost, talkoot as tk
from talkoot.learners.xgboost import matrix
matrix.free_memory = lambda: 0
from talkoot.learners.xgboost.files import Files
from talkoot.learners.xgboost.group import Boosters
def waiting(*args):
    print("growing", flush=True)
    sys.stdin.read()
Boosters.train = waiting
X = np.random.default_rng(0).normal(size=(200, 3))
tk.fit(xgboost.XGBRegressor(), X, X[:, 0], nodes=2, on=tk.Inline())
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there is no kill -9")
def test_nothing_is_left_behind_by_a_process_that_is_killed(tmp_path: Path) -> None:
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED],
        env=environment,
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "growing\n"
        assert [name for name in os.listdir(tmp_path) if name.startswith("talkoot-bins-")]
        process.send_signal(signal.SIGKILL)
    assert soon(lambda: not [name for name in os.listdir(tmp_path) if name.startswith("talkoot-bins-")])


@pytest.mark.parametrize(
    "estimator", [SMALL, make_pipeline(StandardScaler(), SMALL)], ids=["alone", "pipeline"]
)
def test_trees_grow_on_the_thread_of_the_caller(estimator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found, train = [], Boosters.train

    def noting(*args: Any) -> Any:
        found.append(threading.current_thread())
        return train(*args)

    monkeypatch.setattr(Boosters, "train", noting)
    tk.fit(estimator, dealt(3, X, Y), on=tk.Local(2))
    assert found == [threading.current_thread()]
