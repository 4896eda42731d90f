"""The example of four hospitals: real programs, from nothing to the evidence page."""

from __future__ import annotations

import os
import re
import runpy
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import talkoot as tk
from patience import patient

psutil = pytest.importorskip("psutil")
pytest.importorskip("grpc")
pytest.importorskip("cryptography")
ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "hospital"
HEART = ROOT.parent / "shared" / "data" / "heart4"
XRAYS = ROOT.parent / "shared" / "data" / "pneumonia_28" / "pneumonia_balanced.npz"
NAMELESS = "ignore:X does not have valid feature names"
with_heart = pytest.mark.skipif(not HEART.exists(), reason="the four hospitals' data are not here")


def start(folder: Path, *words: object) -> subprocess.Popen[str]:
    """The example as a process; its temporary files, and what it writes by default, are in the folder."""
    (folder / "temporary").mkdir()
    given = ("TALKOOT_HOSPITALS", "TALKOOT_XRAYS")
    environment = {name: value for name, value in os.environ.items() if name not in given}
    return subprocess.Popen(
        [sys.executable, str(EXAMPLE / "train.py"), *map(str, words)],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder / "temporary")},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(folder: Path, *words: object) -> str:
    """What the example prints."""
    process = start(folder, *words)
    try:
        out, err = process.communicate(timeout=patient(600))
    finally:
        process.terminate()  # if it hangs; it ends its programs
        process.wait()
    assert process.returncode == 0, out + err
    assert list((folder / "temporary").iterdir()) == []
    return out


@pytest.mark.slow
def test_four_hospitals_from_nothing_to_the_evidence(tmp_path: Path) -> None:
    out = run(tmp_path)
    before, after = out.split("Checked again:")
    assert re.search(r"warning: turku, mean radius: the unit looks different from .*factor of 10", before)
    assert after.startswith("\n  nothing found in 374 rows\n")
    words = after.partition("$ talkoot site approve")[0]
    assert "Permit: ethics vote 2027/12" in words
    assert "The sums are sent under masks" in words
    assert out.count("$ talkoot site approve") == 2
    rows = re.findall(r"^(\w+) +(\d+) +(\d+) +(1\.000|0\.\d{3}) +(1\.000|0\.\d{3})$", out, re.MULTILINE)
    assert [(name, int(learned), int(held_out)) for name, learned, held_out, *_ in rows] == [
        *[("bergen", 31, 17), ("lund", 47, 25), ("oslo", 79, 41), ("turku", 217, 112)],
        *[("bergen", 72, 36), ("lund", 143, 72), ("oslo", 324, 162), ("turku", 658, 330)],  # images
    ]
    assert "Together 192 of 195 are right: 0.985." in out
    (right,) = re.findall(r"Together (\d+) of 600 are right", out)
    alone, together = ([float(row[at]) * int(row[2]) for row in rows[4:]] for at in (3, 4))
    assert sum(together) == pytest.approx(int(right), abs=1)
    assert sum(together[:2]) > sum(alone[:2]), "the small hospitals gain"
    page = (tmp_path / "runs" / "evidence-bergen.html").read_text()
    assert "What left bergen" in page
    assert "ethics vote 2027/12" in page
    assert "What went through coordinator" in (tmp_path / "runs" / "evidence-coordinator.html").read_text()


@pytest.mark.slow
def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    process = start(tmp_path)
    programs: list[Any] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            if "can call none of them" in line:
                programs = psutil.Process(process.pid).children(recursive=True)
                process.send_signal(signal.SIGINT)
                break
        _, err = process.communicate(timeout=patient())
        left = psutil.wait_procs(programs, patient(5))[1]
    finally:
        for one in (process, *programs):
            if one.poll() is None if isinstance(one, subprocess.Popen) else one.is_running():
                one.kill()
    assert len(programs) == 5
    assert left == []
    assert process.returncode == 1
    assert err == "stopped; all programs have ended\n"
    assert [path.name for path in tmp_path.iterdir()] == ["temporary"]
    assert list((tmp_path / "temporary").iterdir()) == []


@with_heart
@pytest.mark.slow
@pytest.mark.filterwarnings(NAMELESS)
def test_heart_disease_is_predicted_as_from_pooled_rows(tmp_path: Path) -> None:
    xrays = ["--images", XRAYS] if XRAYS.exists() else []
    out = run(tmp_path, "--data", HEART, *xrays, "--out", tmp_path / "kept")
    assert ("X-rays of lungs" in out) == XRAYS.exists()
    assert "error: hungarian" in out
    assert "Together 202 of 254 are right: 0.795." in out
    assert "switzerland can learn nothing alone" in out
    learned, held_out, together = heart()
    model = tk.load(tmp_path / "kept" / "ana" / "model.talkoot")
    X, _ = pooled(held_out)
    np.testing.assert_array_equal(model.predict(X), together.predict(X))
    here = tk.fit(together, {name: pa.table(table) for name, table in learned.items()}, "target").model
    np.testing.assert_allclose(model[-1].coef_, here[-1].coef_, rtol=1e-9)
    assert (tmp_path / "kept" / "evidence-cleveland.html").exists()


def heart() -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Each hospital's columns to learn from, those held out, and the model of all rows in one place."""
    example = runpy.run_path(str(EXAMPLE / "hospitals.py"))
    parts = {
        name: example["divided"](example["agreed"](name, text)[0])
        for name, text in example["load"](HEART).items()
    }
    learned, held_out = ({name: part[at] for name, part in parts.items()} for at in (0, 1))
    X, y = pooled(learned)
    return learned, held_out, example["model"]().fit(X, y)


def pooled(tables: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """The rows of all hospitals."""
    columns = [name for name in tables["va"] if name != "target"]
    X = np.concatenate([np.column_stack([table[name] for name in columns]) for table in tables.values()])
    return X, np.concatenate([table["target"] for table in tables.values()]).astype(int)


@with_heart
@pytest.mark.filterwarnings(NAMELESS)
def test_pooled_and_federated_and_masked_models_of_heart_disease_predict_the_same() -> None:
    learned, held_out, model = heart()
    X, y = pooled(held_out)
    expected = model.predict(X)
    assert len(pooled(learned)[1]) + len(y) == 740
    assert (int((expected == y).sum()), len(y)) == (202, 254)
    tables = {name: pa.table(table) for name, table in learned.items()}
    for chain in ([tk.fixed()], [tk.fixed(), tk.mask()]):
        fit = tk.fit(model, tables, "target", chain=chain, on=tk.Inline())
        np.testing.assert_array_equal(fit.model.predict(X), expected, err_msg=str(chain))
