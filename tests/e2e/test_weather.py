"""The example of the weather: a stream that changes, followed by three nodes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from patience import patient

EXAMPLE = Path(__file__).parents[2] / "examples" / "weather" / "run.py"
OLD = 4000  # rows of each node before the climate changes


def start(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """The example in a folder."""
    environment = {name: value for name, value in os.environ.items() if name != "TALKOOT_WEATHER"}
    return subprocess.run(
        [sys.executable, str(EXAMPLE), *map(str, words)],
        cwd=folder,
        env={**environment, "OMP_NUM_THREADS": "1"},
        text=True,
        capture_output=True,
        timeout=patient(),
    )


def run(folder: Path) -> str:
    """What the example prints."""
    done = start(folder)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_three_nodes_find_what_changed_and_a_second_call_finds_the_same(tmp_path: Path) -> None:
    out = run(tmp_path)
    assert "18,000 rows" in out
    scores = dict(re.findall(r"^(model|last label|majority) +[\d.]+ +([\d.]+)$", out, re.MULTILINE))
    assert float(scores["model"]) > max(float(scores["last label"]), float(scores["majority"])) + 0.1
    rises = re.findall(r"^(node\d) +loss +([\d,]+) +([\d,]+) ", out, re.MULTILINE)
    found = {(node, int(since.replace(",", ""))) for node, since, _ in rises}
    assert {node for node, since in found if abs(since - OLD) < 100} == {"node0", "node1", "node2"}
    page = (tmp_path / "runs" / "weather" / "report.html").read_text()
    assert page.count("<polyline") >= 3
    for node in ("node0", "node1", "node2"):
        assert re.search(rf"<title>{node}: the loss rose from .* since row [34],\d", page)
    again = run(tmp_path)
    assert again.partition("\n")[2] == out.partition("\n")[2]  # the first line has the time that it took
    assert (tmp_path / "runs" / "weather" / "report.html").read_text().count("<title>node0: ") >= 1
    (tmp_path / "other.csv").write_text("x0,x1,x2,rain\n1.0,2.0,3.0,0\n")
    other = start(tmp_path, "--data", "other.csv")
    assert other.returncode == 2
    assert "holds another stream" in other.stderr
