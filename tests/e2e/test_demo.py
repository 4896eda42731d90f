"""The demo as a newcomer meets it: one command, real processes, a report at the end."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from patience import patient, soon
from talkoot.watch.events import read

psutil = pytest.importorskip("psutil")

CODE = "import sys; from talkoot.cli import main; sys.exit(main(['demo', *sys.argv[1:]]))"


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run of the demo, and what it printed."""
    folder = tmp_path_factory.mktemp("demo")
    words = ["--out", str(folder / "run"), "--picture", str(folder / "demo.svg")]
    done = subprocess.run(
        [sys.executable, "-c", CODE, *words], capture_output=True, text=True, cwd=folder, timeout=patient()
    )
    assert done.returncode == 0, done.stderr
    assert "warning" not in done.stderr
    return folder, done.stdout


def test_it_reads_well_in_a_narrow_terminal_without_colours(ran: tuple[Path, str]) -> None:
    _, said = ran
    assert "\x1b" not in said
    own = [line for line in said.splitlines() if "/run/report.html" not in line]
    assert max(map(len, own)) <= 110
    steps = ["tk.check", "tk.fit", "tk.compare", "tk.verify", "report.html"]
    assert [said.index(step) for step in steps] == sorted(said.index(step) for step in steps)


def test_it_says_what_it_found_good_or_bad(ran: tuple[Path, str]) -> None:
    _, said = ran
    assert "It is. Largest differences from scikit-learn on all rows" in said
    assert "DIFFERS" not in said
    assert "On its own loans each lender gains" in said
    assert "Away from home" in " ".join(said.split())


def test_the_log_and_the_report_tell_all_of_it(ran: tuple[Path, str]) -> None:
    folder, _ = ran
    told = [event["event"] for event in read(folder / "run")]
    events = [name for name in told if name != "rows"]  # which a slow machine tells of more often
    assert events[:3] == ["log", "start", "schema"]
    assert events[-5:] == ["end", "check", "compare", "transfer", "verify"]
    page = (folder / "run" / "report.html").read_text()
    for heading in (
        "One model from 6 nodes",
        "The rounds",
        "Does working together pay?",
        "Is it the same answer?",
    ):
        assert heading in page


def test_the_picture_stands_alone(ran: tuple[Path, str]) -> None:
    folder, _ = ran
    text = (folder / "demo.svg").read_text()
    root = ET.fromstring(text)
    words = "".join(root.itertext())
    assert all(
        lender in words for lender in ("business", "furniture", "new cars", "radio and TV", "used cars")
    )
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")


def test_nothing_is_left_running(ran: tuple[Path, str]) -> None:
    folder, _ = ran

    def left() -> list[Any]:
        return [p for p in psutil.process_iter(["cwd"]) if p.info["cwd"] == str(folder)]

    assert soon(lambda: not left()), left()
