"""What was proposed and decided is known after the coordinator was killed, to whoever comes back."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import ENVIRONMENT, Federated, federated
from sklearn.linear_model import Ridge

import talkoot as tk
from patience import patient, soon
from talkoot.cli import main
from talkoot.core.errors import Refused
from talkoot.engines.federation.audit import AuditLog

X = np.random.default_rng(3).normal(size=(120, 4))
ROWS = {name: (X[at::3], X[at::3] @ np.arange(4.0)) for at, name in enumerate(("bergen", "lund", "oslo"))}
SCRIPT = """
import sys, talkoot as tk
from sklearn.linear_model import Ridge
tk.fit(Ridge(), tk.dataset("toy"), "y", on=tk.Federation(sys.argv[1], purpose="study"))
"""


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Federated]:
    """Bergen and Lund approve by policy, and at Oslo a person has to."""
    with federated(tmp_path, ROWS) as made:
        policy = tmp_path / "oslo" / "policy.toml"
        policy.write_text(policy.read_text().replace('automatic = ["fit", ', "automatic = ["))
        yield made


def propose(made: Federated) -> str:
    """Propose a fit, wait until all sites have decided, and be killed; the run's name."""
    gone = subprocess.Popen([sys.executable, "-c", SCRIPT, str(made.researcher)], env=ENVIRONMENT)
    log = AuditLog(made.folder / "hub")

    def decided() -> dict[str, Any]:
        return {e.facts["site"]: e.facts["state"] for e in log.entries() if e.event == "decided"}

    assert soon(lambda: len(decided()) == 3 and decided()["oslo"] == "pending")
    gone.kill()
    gone.wait()
    assert decided() == {"bergen": "approved", "lund": "approved", "oslo": "pending"}
    return next(str(entry.facts["run"]) for entry in log.entries() if entry.event == "proposed")


def seen(log: Path) -> list[dict[str, Any]]:
    """What a researcher was shown of the sites, in order."""
    if not log.exists():
        return []
    events = [json.loads(line) for line in log.read_text().splitlines()]
    return [event["sites"] for event in events if event["event"] == "sites"]


@pytest.mark.slow
def test_a_pending_run_outlives_a_kill_of_the_coordinator(three: Federated, tmp_path: Path) -> None:
    run = propose(three)
    three.sites["lund"].kill()
    three.coordinator.kill()
    three.coordinator.start()
    assert three.coordinator.shows(f"run {run[:12]} of ada goes on")
    assert three.sites["oslo"].shows("connected to", times=2)
    assert main(["site", "approve", run[:8], "--folder", str(tmp_path / "oslo")]) == 0
    log = AuditLog(tmp_path / "hub")
    assert soon(
        lambda: (
            [e.facts["state"] for e in log.entries(run) if e.facts.get("site") == "oslo"][-1:] == ["approved"]
        )
    ), "decided while no researcher is there"
    three.coordinator.kill()
    three.coordinator.start()
    events = tmp_path / "events.jsonl"
    waiting = subprocess.Popen(
        [
            sys.executable,
            "-c",
            SCRIPT.replace('purpose="study")', f'purpose="study"), log={str(events)!r}'),
            str(three.researcher),
        ],
        env=ENVIRONMENT,
    )
    assert soon(lambda: bool(seen(events)))
    first = seen(events)[0]
    assert {name: site["state"] for name, site in first.items()} == dict.fromkeys(ROWS, "approved")
    assert first["lund"]["connected"] is False, "it is approved although it is not there"
    three.sites["lund"].start()
    assert waiting.wait(patient()) == 0
    assert [entry.event for entry in log.entries(run)][-1] == "finished"
    assert log.verify().lines > 0
    assert [entry.facts["run"] for entry in log.entries() if entry.event == "proposed"] == [run], "once"


@pytest.mark.slow
def test_a_refusal_while_the_researcher_is_away_is_known_after_a_kill(
    three: Federated, tmp_path: Path
) -> None:
    run = propose(three)
    folder = str(tmp_path / "oslo")
    assert main(["site", "refuse", run[:8], "--folder", folder, "--why", "no vote"]) == 0
    log = AuditLog(tmp_path / "hub")
    assert soon(lambda: any(e.facts.get("why") == "no vote" for e in log.entries(run)))
    three.coordinator.kill()
    for site in three.sites.values():
        site.kill()
    three.coordinator.start()
    with pytest.raises(Refused, match="node 'oslo': the plan is refused there: no vote"):
        tk.fit(Ridge(), tk.dataset("toy"), "y", on=tk.Federation(three.researcher, purpose="study"))


def test_sites_that_were_there_once_are_asked_although_the_coordinator_is_new(three: Federated) -> None:
    """A run of those that are connected by chance would be another run."""
    three.sites["lund"].kill()
    three.coordinator.kill()
    three.coordinator.start()
    shards = tk.Federation(three.researcher).shards(tk.dataset("toy"), "y")
    assert list(shards) == ["bergen", "lund", "oslo"]
    (three.folder / "hub" / "sites" / "lund.crt").unlink()
    assert list(tk.Federation(three.researcher).shards(tk.dataset("toy"), "y")) == ["bergen", "oslo"]
