"""The commands of the page on organisations, as they stand there: to a secure fit of three sites."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
from programs import COMMAND, ENVIRONMENT
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from patience import patient
from ports import port
from talkoot.demo.sites import tumours

ROOT = Path(__file__).parents[3]
INSTALL = ("python3 -m venv", "pip install")


def commands() -> list[str]:
    """The first block of commands of the page; what is between two marks belongs to its command."""
    text = (ROOT / "docs" / "federation.md").read_text()
    block = re.search(r"```sh\n(.*?)```", text, flags=re.DOTALL)
    assert block is not None
    return re.findall(r"^(.*<<'END'\n(?:.*\n)*?END|.+)$", block[1], flags=re.MULTILINE)


def test_they_are_fewer_than_ten() -> None:
    assert len(commands()) < 10
    assert [command.startswith(INSTALL) for command in commands()[:3]] == [True, True, False]


def test_they_lead_to_a_secure_fit_of_three_sites(tmp_path: Path) -> None:
    """All but those that install, typed into one shell; only the port is another, as tests run beside it."""
    typed = "\n".join(command for command in commands() if not command.startswith(INSTALL))
    script = f"""
talkoot() {{ {shlex.quote(sys.executable)} -c {shlex.quote(COMMAND)} "$@"; }}
python() {{ {shlex.quote(sys.executable)} "$@"; }}
set -e
{typed.replace("8443", str(port()))}
"""
    out = tmp_path / "printed.txt"
    with out.open("wb") as printed:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={**ENVIRONMENT, "PYTHONWARNINGS": "ignore"},
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=printed,
            start_new_session=True,
        )
        try:
            status = shell.wait(patient(180))
        finally:
            os.killpg(shell.pid, signal.SIGKILL)  # the coordinator and the sites
            shell.wait()
    text = out.read_text()
    assert status == 0, text
    tables = tumours(["oslo", "lund", "bergen"])
    here = tk.fit(make_pipeline(StandardScaler(), LogisticRegression()), tables, "benign", on=tk.Inline())
    found = re.search(r"\[\[(.*?)\]\]", text, flags=re.DOTALL)
    assert found is not None, text
    coefficients = np.array(found[1].split(), dtype=float)
    np.testing.assert_allclose(coefficients, here.model[-1].coef_[0].round(2), atol=0.011)
    assert text.count("approved") >= 3, "each site has decided"
