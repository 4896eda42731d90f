"""Boosting of files: row groups become bins one by one, which lie in a file where memory is short."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from boosted import assert_same_trees, dealt, table, together
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

import talkoot as tk
from patience import patient
from talkoot.data import free_memory as memory
from talkoot.learners.sums import counting
from talkoot.learners.trees.boosting import binned

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are read on Linux")
SLOW = HistGradientBoostingRegressor(max_iter=4, min_samples_leaf=3, max_bins=40, early_stopping=False)


def frame(X: np.ndarray) -> pd.DataFrame:
    """The columns as files name them."""
    return pd.DataFrame(X, columns=[f"x{j}" for j in range(X.shape[1])])


def written(folder: Path, X: np.ndarray, y: np.ndarray) -> Path:
    """The rows as two Parquet files of small row groups."""
    for i, part in enumerate((slice(0, 130), slice(130, None))):
        columns = {f"x{j}": X[part, j] for j in range(X.shape[1])} | {"y": y[part]}
        pq.write_table(pa.table(columns), folder / f"p{i}.parquet", row_group_size=17)
    return folder


@pytest.mark.parametrize("stops", [False, True], ids=["all rows", "held out"])
def test_bins_in_files_and_keys_by_blocks_change_nothing(
    stops: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    X, y = table(300)
    estimator = HistGradientBoostingClassifier(max_iter=4, early_stopping=stops, random_state=3)
    data = str(written(tmp_path, X, (y > 0).astype(int)))
    want = tk.fit(estimator, data, target="y", nodes=3).model
    files, real = list[Any](), tempfile.TemporaryFile

    def temporary(*args: Any, **options: Any) -> Any:
        made = real(*args, **options)
        files.extend([] if options else [made])  # Numba tries a folder with `dir`
        return made

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)
    monkeypatch.setattr(binned, "free_memory", lambda: 0)
    monkeypatch.setattr(binned, "PIECE", 100)
    monkeypatch.setattr(counting, "free_memory", lambda: 0)
    monkeypatch.setattr(counting, "BATCH_BYTES", 1)
    got = tk.fit(estimator, data, target="y", nodes=3).model
    assert_same_trees(got, want, frame(X), close=0.0)
    assert files
    assert all(file.closed for file in files)
    assert sorted(os.listdir(tmp_path)) == ["p0.parquet", "p1.parquet"]


def test_a_folder_gives_the_trees_of_the_pooled_rows(tmp_path: Path) -> None:
    X, y = table(300)
    got = tk.fit(SLOW, str(written(tmp_path, X, y)), target="y", nodes=2).model
    assert_same_trees(got, clone(SLOW).fit(frame(X), y), frame(X))


def test_no_room_for_bins_says_where_and_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(binned, "free_memory", lambda: 0)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(tk.TalkootError, match=r"neither into memory nor into .*No space.*Set TMPDIR"):
        together(SLOW, dealt(2, *table(60)))


def test_limits_of_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "GROUP", tmp_path)
    free = memory.free_memory()
    assert free > 0
    (tmp_path / "memory.stat").write_text("anon 4096\nfile 1000000\n")
    (tmp_path / "memory.max").write_text("5000\n")
    assert memory.free_memory() == 904
    (tmp_path / "memory.max").write_text("4000\n")
    assert memory.free_memory() == 0
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory() > 904


LIMITED = """
import resource, sys, threading
import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
import talkoot as tk
from talkoot.data import free_memory as memory
folder, allowed = sys.argv[1], int(sys.argv[2])
fit = lambda data: tk.fit(HistGradientBoostingRegressor(max_iter=3, early_stopping=False), data, target="y",
                          nodes=2, on=tk.Inline(threads=2), progress=False).model
data = lambda: memory._numbers("/proc/self/status")["VmData:"] << 10
over, peak = threading.Event(), [0]
def watch():
    while not over.wait(0.01):
        peak[0] = max(peak[0], data())
watcher = threading.Thread(target=watch)
watcher.start()
for _ in range(2):  # what is imported, compiled and reserved, whatever the rows
    fit(folder + "/small")
over.set()
watcher.join()
resource.setrlimit(resource.RLIMIT_DATA, (peak[0] + allowed, resource.RLIM_INFINITY))
model = fit(folder + "/rows")
np.save(folder + "/predicted.npy", model.predict(np.load(folder + "/some.npy")))
"""


@pytest.mark.slow
def test_a_folder_larger_than_the_memory_that_is_allowed(tmp_path: Path) -> None:
    rng, features = np.random.default_rng(0), 100
    names, every = [f"x{j}" for j in range(features)], list[np.ndarray]()
    for folder, files in (("small", 1), ("rows", 8)):
        (tmp_path / folder).mkdir()
        for i in range(files):
            X = rng.standard_normal((50_000, features), dtype=np.float32)
            columns = dict(zip(names, X.T, strict=True)) | {"y": X[:, 0] * X[:, 1] + X[:, 2]}
            pq.write_table(pa.table(columns), tmp_path / folder / f"{i}.parquet", row_group_size=10_000)
            every += [X] if folder == "rows" else []
    X = np.concatenate(every)
    np.save(tmp_path / "some.npy", X[:1000])
    allowed = X.size * 8 // 4
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path), str(allowed)],
        capture_output=True,
        text=True,
        timeout=patient(300),
        env=os.environ
        | {"ARROW_DEFAULT_MEMORY_POOL": "system", "MALLOC_ARENA_MAX": "1"},  # nothing is reserved ahead
        check=False,
    )
    assert done.returncode == 0, done.stderr
    target = X[:, 0] * X[:, 1] + X[:, 2]
    want = tk.fit(HistGradientBoostingRegressor(max_iter=3, early_stopping=False), X, target, nodes=2).model
    np.testing.assert_array_equal(np.load(tmp_path / "predicted.npy"), want.predict(X[:1000]))
