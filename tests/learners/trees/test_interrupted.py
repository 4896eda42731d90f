"""Boosting that is killed goes on from its folder, to the same trees."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boosted import dealt, table
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from talkoot.testing.compare import assert_same

X, Y = table(400)
LABELS = np.array(["low", "mid", "high"])[np.digitize(Y, [-1, 1])]
BOOSTED = HistGradientBoostingRegressor(max_iter=8, min_samples_leaf=5)
FITS: dict[str, tuple[Any, Any]] = {
    "numbers": (HistGradientBoostingRegressor(max_iter=12, min_samples_leaf=5), Y),
    "classes": (HistGradientBoostingClassifier(max_iter=6, min_samples_leaf=5), LABELS),
    "goes on": (
        HistGradientBoostingRegressor(warm_start=True, max_iter=4, min_samples_leaf=5)
        .fit(X, Y)
        .set_params(max_iter=12),
        Y,
    ),
    "pipeline": (make_pipeline(SimpleImputer(), StandardScaler(), BOOSTED), Y),
    "medians": (HistGradientBoostingRegressor(loss="absolute_error", max_iter=8, min_samples_leaf=5), Y),
    "stops": (HistGradientBoostingRegressor(max_iter=30, early_stopping=True, tol=0.02, random_state=2), Y),
}


ENGINES: dict[str, Any] = {"Inline": tk.Inline, "Local": partial(tk.Local, 2)}


def fit(estimator: Any, y: Any, folder: Path | None = None, nodes: int = 2, engine: str = "Inline") -> Any:
    """The fit, with an interim result after every tree."""
    checkpoint = None if folder is None else tk.Checkpoint(folder, every=0)
    on = ENGINES[engine](checkpoint=checkpoint)
    return tk.fit(estimator, dealt(nodes, X, y), on=on, progress=False)


def assert_same_bits(one: Any, other: Any) -> None:
    if isinstance(one, Pipeline):
        for ours, theirs in zip(one[:-1], other[:-1], strict=True):
            assert_same(ours, theirs, rtol=0)
        one, other = one[-1], other[-1]
    assert one.n_iter_ == other.n_iter_
    for ours, theirs in zip(one._predictors, other._predictors, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.nodes.tobytes() == b.nodes.tobytes()
    np.testing.assert_array_equal(one.train_score_, other.train_score_)
    np.testing.assert_array_equal(one.validation_score_, other.validation_score_)


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
import test_interrupted as test
from talkoot.api import resuming
write, count = resuming._write, [0]
def killed(path, owner, found):
    write(path, owner, found)
    count[0] += len(found) > 0 and len(found["nodes lengths"]) >= 4
    if count[0] > 2:
        os.kill(os.getpid(), signal.SIGKILL)
resuming._write = killed
test.fit(*test.FITS["numbers"])  # so that kernels are loaded
for line in sys.stdin:
    name, engine, folder = line.rstrip().split(",")
    if not os.fork():
        try:
            test.fit(*test.FITS[name], Path(folder), engine=engine)
        finally:
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


@pytest.fixture(scope="module")
def killing() -> Iterator[subprocess.Popen[str]]:
    """A program that has imported all; for each line of a fit, an engine and a folder it has one killed."""
    words = [sys.executable, "-c", KILLED, str(Path(__file__).parent)]
    found = {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}  # threads do not outlive a fork
    pipe = subprocess.PIPE
    with subprocess.Popen(words, env=os.environ | found, text=True, stdin=pipe, stdout=pipe) as program:
        yield program
        assert program.stdin is not None
        program.stdin.close()


WIDE = [pytest.param(name, "Local", marks=pytest.mark.wide) for name in ("classes", "pipeline")]
KILLS = [*(pytest.param(name, "Inline") for name in FITS), *WIDE]


@pytest.mark.parametrize(("name", "engine"), KILLS)
def test_a_killed_fit_goes_on_from_its_folder(
    name: str, engine: str, killing: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert killing.stdin is not None
    assert killing.stdout is not None
    print(name, engine, tmp_path, sep=",", file=killing.stdin, flush=True)
    assert killing.stdout.readline() == "-9\n"
    estimator, y = FITS[name]
    want = fit(estimator, y, engine=engine)
    # which node has which rows matters for rows that are held out, and for floats that a pipeline adds, alone
    got = fit(estimator, y, tmp_path, nodes=2 if name in ("stops", "pipeline") else 5, engine=engine)
    assert_same_bits(got.model, want.model)
    assert len(got.run.history) < len(want.run.history)
    again = fit(estimator, y, tmp_path, engine=engine)
    assert_same_bits(again.model, want.model)
    assert len(again.run.history) < len(got.run.history)


def test_a_folder_of_another_training_is_refused(tmp_path: Path) -> None:
    estimator, y = FITS["numbers"]
    fit(estimator, y, tmp_path)
    with pytest.raises(tk.PlanError, match="belongs to another training"):
        fit(HistGradientBoostingRegressor(max_iter=13, min_samples_leaf=5), y, tmp_path)
    for other in (np.roll(y, 1), np.roll(y, 1) * 2, y + 1e-3):
        with pytest.raises(tk.DataError, match="learned from other rows"):
            fit(estimator, other, tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(tk.PlanError, match=r"is damaged.*Delete it"):
        fit(estimator, y, tmp_path)


def test_a_folder_of_trees_that_go_on_from_others_is_refused(tmp_path: Path) -> None:
    estimator, y = FITS["goes on"]
    fit(estimator, y, tmp_path)
    other = clone(estimator).set_params(learning_rate=0.2, max_iter=4).fit(X, y)
    for each in (other.set_params(learning_rate=0.1, max_iter=12), clone(estimator)):
        with pytest.raises(tk.DataError, match="or go on from others"):
            fit(each, y, tmp_path)


def test_a_folder_that_cannot_be_written_is_refused_before_the_first_round(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(tk.PlanError, match="cannot take what the run has learned"):
        fit(*FITS["numbers"], tmp_path / "file")


def test_workers_write_the_same_folder(tmp_path: Path) -> None:
    estimator, y = FITS["numbers"]
    on = tk.Local(2, checkpoint=tk.Checkpoint(tmp_path, every=0))
    data = dealt(2, X, y)
    first, again = (tk.fit(estimator, data, on=on, progress=False) for _ in range(2))
    assert_same_bits(first.model, fit(estimator, y).model)
    assert_same_bits(again.model, first.model)
    assert len(again.run.history) < len(first.run.history)


def test_a_fit_that_cannot_go_on_from_a_folder_is_refused(tmp_path: Path) -> None:
    for estimator in (LinearRegression(), make_pipeline(StandardScaler(), LinearRegression())):
        with pytest.raises(
            tk.PlanError, match=r"cannot go on from the folder of checkpoint=.*from the beginning"
        ):
            fit(estimator, FITS["numbers"][1], tmp_path)
    assert not list(tmp_path.iterdir())
