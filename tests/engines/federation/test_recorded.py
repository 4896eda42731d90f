"""Real sites: what they decide by hand, and that every answer that leaves stands in their audit logs."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from programs import Federated, federated
from sklearn.linear_model import Ridge

import talkoot as tk
from patience import soon
from talkoot.cli import main
from talkoot.engines.federation.audit import AuditLog
from talkoot.engines.federation.consent.journal import Journal
from talkoot.engines.federation.consent.proposal import run_of

rng = np.random.default_rng(3)
X = rng.normal(size=(90, 4))
ROWS = {
    name: (X[part], X[part] @ np.arange(4.0))
    for name, part in zip(("lund", "oslo"), (slice(40), slice(40, 90)), strict=True)
}


def fitted(made: Federated, purpose: str) -> tk.Fit:
    return tk.fit(Ridge(), tk.dataset("toy"), "y", on=tk.Federation(made.researcher, purpose=purpose))


def test_a_person_approves_and_every_answer_is_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with federated(tmp_path, ROWS) as made:
        oslo = tmp_path / "oslo"
        policy = oslo / "policy.toml"
        policy.write_text(policy.read_text().replace('automatic = ["fit", ', "automatic = ["))
        done: list[tk.Fit] = []
        waiting = threading.Thread(target=lambda: done.append(fitted(made, "by hand")))
        waiting.start()
        assert soon(lambda: bool(Journal(oslo).proposals()))
        ((signed, _),) = Journal(oslo).proposals()
        run = run_of(signed.proposal)
        assert soon(lambda: bool(Journal(oslo).decisions(run))), "the site has looked at it"
        assert done == []
        assert main(["site", "approve", run[:8], "--folder", str(oslo)]) == 0
        waiting.join()
        assert len(done) == 1
        for name in ROWS:
            log = AuditLog(tmp_path / name)
            log.verify()
            entries = list(log.entries(run))
            assert [entry.event for entry in entries[:2]] == ["proposed", "decided"]
            sent = [entry.facts for entry in entries if entry.event == "sent"]
            answers = [each for each in sent if "error" not in each]  # one may be sent again
            assert {(each["query"], each["round"]) for each in answers} == {("Inventory", 0), ("", 0)}
            received = [
                entry.facts["sites"][name]
                for entry in AuditLog(tmp_path / "hub").entries(run)
                if entry.event == "received"
            ]
            assert len(received) == 2
            assert set(received) == {each["digest"] for each in answers}  # both ends say the same
        states = [entry.facts["state"] for entry in AuditLog(oslo).entries(run) if entry.event == "decided"]
        assert states == ["pending", "approved"]
        page = tmp_path / "evidence.html"
        assert main(["evidence", run[:8], "--folder", str(oslo), "--out", str(page)]) == 0
        assert "the answer to Inventory" in page.read_text()
        assert "sums of each of lund, oslo" in page.read_text()
        assert main(["site", "ledger", "--folder", str(oslo)]) == 0
        (line,) = [line for line in capsys.readouterr().out.splitlines() if "sums of each" in line]
        assert line.split()[1:] == [run[:8], "toy", "50", "sums", "of", "each", "of", "lund,", "oslo"]


def test_what_cannot_be_recorded_does_not_leave(tmp_path: Path) -> None:
    with federated(tmp_path, ROWS) as made:
        fitted(made, "before")
        log = AuditLog(tmp_path / "oslo").path
        log.write_bytes(log.read_bytes().split(b"\n")[0] + b"\n")
        unrecorded = "oslo.*the records of this site cannot be written"
        with pytest.raises(tk.TalkootError, match=unrecorded):
            fitted(made, "after")
