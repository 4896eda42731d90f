"""Units of systemd and Containerfiles: rendered for the party that a folder holds."""

from __future__ import annotations

import configparser
import json
import shutil
import subprocess
from pathlib import Path

import pytest
from parties import make_authority, make_party

import talkoot
from talkoot.cli import main
from talkoot.engines.federation.identity.names import Role
from talkoot.engines.federation.service import containerfile, unit


@pytest.mark.parametrize(("role", "command"), [("site", ["site", "run"]), ("coordinator", ["coordinator"])])
def test_both_ends_have_a_unit_and_a_container(
    tmp_path: Path, role: Role, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "ward 7 at 100%"
    make_party(make_authority(tmp_path), folder, "oslo", role)
    assert main(["provision", "service", str(folder)]) == 0
    assert "systemctl enable --now talkoot-oslo.service" in capsys.readouterr().out
    text = (folder / "talkoot-oslo.service").read_text()
    found = configparser.RawConfigParser()
    found.optionxform = str  # type: ignore[assignment,method-assign]
    found.read_string(text)
    escaped = str(folder).replace("%", "%%")
    words = " ".join(f'"{word}"' for word in (*command, escaped))
    assert found["Service"]["ExecStart"].endswith(f" {words}")
    assert found["Service"]["ReadWritePaths"] == f'"{escaped}"'
    assert found["Service"]["NoNewPrivileges"] == "true"
    lines = dict(line.split(" ", 1) for line in (folder / "Containerfile").read_text().splitlines() if line)
    assert json.loads(lines["ENTRYPOINT"]) == ["talkoot", *command, "/party"]
    assert ("EXPOSE" in lines) == (role == "coordinator")
    assert main(["provision", "service", str(folder)]) == 2  # nothing is overwritten
    assert "exists" in capsys.readouterr().err


def test_a_researcher_is_no_service(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_party(make_authority(tmp_path), tmp_path / "ana", "ana", "researcher")
    assert main(["provision", "service", str(tmp_path / "ana")]) == 2
    assert "only coordinators and sites are services" in capsys.readouterr().err


def test_no_key_becomes_part_of_an_image() -> None:
    text = containerfile("site", "oslo", version=talkoot.__version__, python="3.11")
    assert "COPY" not in text
    assert "ADD" not in text
    assert f"=={talkoot.__version__}'" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_reads_the_unit(tmp_path: Path) -> None:
    path = tmp_path / "talkoot-oslo.service"
    path.write_text(unit("site", "oslo", tmp_path, user="root", program=shutil.which("true") or "/bin/true"))
    done = subprocess.run(["systemd-analyze", "verify", path], capture_output=True, text=True, check=False)
    assert path.name not in done.stderr, done.stderr
