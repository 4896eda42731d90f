"""The commands of a federation, as people type them."""

from __future__ import annotations

import base64
import shlex
from pathlib import Path

import pytest
from parties import make_party
from sites import World

from talkoot.cli import main
from talkoot.engines.federation.audit import AuditLog
from talkoot.engines.federation.consent.proposal import run_of
from talkoot.engines.federation.identity.identity import Identity


@pytest.fixture
def talk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Talk:
    monkeypatch.chdir(tmp_path)
    return Talk(capsys)


class Talk:
    """Runs command lines; returns exit code, output and errors."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.capsys = capsys

    def __call__(self, command: str) -> tuple[int, str, str]:
        try:
            code = main(shlex.split(command))
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = self.capsys.readouterr()
        return code, out, err

    def well(self, command: str) -> str:
        code, out, err = self(command)
        assert code == 0, err
        return out


def test_from_nothing_to_certificates(talk: Talk, tmp_path: Path) -> None:
    out = talk.well("provision init")
    assert "talkoot coordinator federation/coordinator" in out
    out = talk.well("site request oslo --data claims=claims.parquet --researchers ana")
    assert "send oslo/oslo.request to the operator" in out
    fingerprint = next(line.split()[1] for line in out.splitlines() if line.startswith("fingerprint"))
    talk.well("provision request ana")
    code, out, _ = talk("provision approve oslo/oslo.request ana/ana.request")
    assert code == 1
    assert f"{fingerprint}  site oslo" in out
    assert "Nothing was approved." in out
    assert not (tmp_path / "oslo" / "oslo.approved").exists()
    out = talk.well("provision approve oslo/oslo.request ana/ana.request --compared")
    assert "send each .approved file back" in out
    parties = [Identity.load(folder) for folder in ("federation/coordinator", "oslo", "ana")]
    assert [(one.name, one.role) for one in parties] == [
        ("coordinator", "coordinator"),
        ("oslo", "site"),
        ("ana", "researcher"),
    ]
    assert 'researchers = ["ana"]' in Path("oslo/policy.toml").read_text()
    assert talk.well("site list --folder oslo") == "Nothing was proposed to this site.\n"
    assert talk.well("site ledger --folder oslo") == "Nothing was disclosed by this site.\n"
    talk.well("site request --renew --folder oslo")
    out = talk.well("provision approve oslo/oslo.request")  # the old certificate vouches for it
    assert "renews its certificate" in out
    assert Identity.load("oslo").me.fingerprint != parties[1].me.fingerprint
    known = Path("federation/coordinator/sites/oslo.crt").read_bytes()
    assert known == parties[1].certificate, "what it calls with until it is started again"
    assert "sites get it from the coordinator" in talk.well("provision revoke oslo --reason stolen")
    assert Identity.load("federation/coordinator").revoked.number == 2


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("site request Oslo", "Take small letters, digits and hyphens, such as 'oslo'"),
        ("site request", "the request needs a name"),
        ("site request oslo --data claims.parquet", "--data claims.parquet has no name"),
        ("site list", "Make a request: talkoot site request NAME"),
        ("site aprove 12345678", "did you mean approve?"),
        ("provision approve oslo.request", "there is no authority in federation/authority"),
        ("provision", "required: COMMAND"),
        ("site approve --folder", "expected one argument"),
        ("site approve 12345678 --foldr x", "did you mean --folder?"),
    ],
)
def test_wrong_usage_says_what_to_do(talk: Talk, tmp_path: Path, command: str, why: str) -> None:
    code, _, err = talk(command)
    assert code == 2
    assert why in err
    assert list(tmp_path.iterdir()) == []


def test_a_second_authority_is_not_made_over_the_first(talk: Talk) -> None:
    talk.well("provision init")
    assert "federation/authority has an authority already" in talk("provision init")[2]


def test_a_person_reads_and_decides(talk: Talk, tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    signed = world.signed()
    world.desk().decide(signed)
    world.set_policy("days = 36500")  # the commands take the real time
    run, folder = run_of(signed.proposal)[:8], f"--folder {world.oslo.folder}"
    out = talk.well(f"site list {folder}")
    assert f"{run}  2027-01-15  pending" in out
    assert f"talkoot site approve {run}" in out
    out = talk.well(f"plan show {run} {folder}")
    assert "one vector of 3 sums (gradient)" in out  # of Oslo's own columns
    assert "Here it is pending" in out
    assert "withdraw" in talk.well(f"site approve {run} {folder} --why 'REK 2027/12'")
    assert "  approved  " in talk.well(f"site list {folder}")
    assert "answers no more round" in talk.well(f"site withdraw {run} {folder} --why 'a patient objects'")
    code, _, err = talk(f"site approve {run} {folder}")
    assert (code, "is withdrawn: a patient objects" in err) == (2, True)


def test_a_plan_that_does_not_fit_the_rows_says_what_is_in_the_way(talk: Talk, tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    signed = world.signed(target="ill")
    world.desk().decide(signed)
    out = talk.well(f"plan show {run_of(signed.proposal)[:8]} --folder {world.oslo.folder}")
    assert "What is in the way" in out
    assert "The columns are 'age', 'cost', 'fraud'" in out  # the site's own people may read that


def test_evidence_is_one_page_that_holds_all(talk: Talk, tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    desk, signed = world.desk(), world.signed(purpose="<script>alert(1)</script>")
    run, folder = run_of(signed.proposal), world.oslo.folder
    desk.decide(signed)
    desk.approve(run, "kari", "the ward agrees")
    log = AuditLog(folder, lambda: world.clock)
    log.append("start", {"versions": {"talkoot": "0.1.0", "numpy": "2.4.6"}})
    sent = {"run": run, "phase": "update"}
    log.append("sent", {**sent, "query": "Inventory", "bytes": 1012, "digest": "ab" * 32})
    for number in range(3):
        log.append("sent", {**sent, "round": number, "bytes": 432, "digest": "cd" * 32})
    log.append("sent", {"run": "another", "phase": "update", "bytes": 9, "digest": "ef" * 32})
    page = Path("evidence.html")
    assert talk.well(f"evidence {run[:8]} --folder {folder} --out {page}") == "evidence.html\n"
    text = page.read_text()
    for part in (
        "What left oslo",
        "4 answers with 2,308 bytes altogether",
        "&lt;script&gt;",
        "kari",
        "the ward agrees",
        "the answer to Inventory",
        "abababababab",
        "Each of the 9 lines of audit.jsonl follows",
        log.verify().hash,
        "numpy 2.4.6",
    ):
        assert part in text
    assert "<script" not in text
    assert "efefef" not in text
    log.path.write_bytes(log.path.read_bytes().replace(b'"bytes":432', b'"bytes":431', 1))
    code, out, _ = talk(f"evidence {run[:8]} --folder {folder} --out {page}")
    assert code == 1
    assert "the audit log is not whole: line 7" in out
    assert "This record cannot be relied on." in page.read_text()
    assert "4 answers" not in page.read_text()


def test_evidence_of_a_coordinator_is_made_of_its_own_log(talk: Talk, tmp_path: Path) -> None:
    world = World(tmp_path / "world")
    hub = make_party(world.authority, tmp_path / "hub", "hub", "coordinator")
    signed = world.signed(purpose="<script>alert(1)</script>")
    run, log = run_of(signed.proposal), AuditLog(hub.folder, lambda: world.clock)
    log.append("start", {"versions": {"talkoot": "0.1.0"}})
    encoded = base64.b64encode(signed.proposal).decode()
    log.append("proposed", {"run": run, "researcher": "ana", "proposal": encoded})
    log.append("decided", {"run": run, "site": "oslo", "state": "approved", "why": "the ward agrees"})
    for index in range(3):
        world.clock += 2
        came = {"bergen": 400, "lund": 400, "oslo": 400}
        facts = {
            "run": run,
            "round": index,
            "phase": "update",
            "sites": dict.fromkeys(came, "ab"),
            "in": came,
        }
        log.append(
            "received", {**facts, "out": dict.fromkeys(came, 100), "seconds": {"lund": 1.5}, "failed": {}}
        )
    log.append("lost", {"run": run, "site": "bergen", "round": 3, "phase": "update"})
    gone = {
        "run": run,
        "round": 3,
        "phase": "update",
        "sites": {"lund": "ab"},
        "in": {"lund": 400},
        "out": {},
    }
    log.append("received", {**gone, "seconds": {}, "failed": {"bergen": "no sign of life"}})
    log.append("received", {"run": "another", "round": 0, "phase": "update", "sites": {"lund": "efefef"}})
    log.append("finished", {"run": run, "researcher": "ana"})
    page = Path("evidence.html")
    assert talk.well(f"evidence {run[:8]} --folder {hub.folder} --out {page}") == "evidence.html\n"
    text = page.read_text()
    for part in (
        "What went through hub",
        "10 answers with 4,000 bytes came from sites, and 900 bytes went to them",
        "The run is over.",
        "&lt;script&gt;",
        "the ward agrees",
        "LogisticRegression",
        '<td>oslo</td><td class="n">3</td><td class="n">1,200</td><td class="n">300</td>',
        "lund, 1.50 s",
        "was lost while it was waited for",
        "no answer in round 3: no sign of life",
        log.verify().hash,
    ):
        assert part in text, part
    assert "<script" not in text
    assert "efefef" not in text
    code, _, err = talk(f"evidence 12345678 --folder {hub.folder}")
    assert (code, f"There are: {run[:8]}." in err) == (2, True)
    log.path.write_bytes(log.path.read_bytes().replace(b'"lund":400', b'"lund":401', 1))
    code, out, _ = talk(f"evidence {run[:8]} --folder {hub.folder} --out {page}")
    assert code == 1
    assert "the audit log is not whole: line 5" in out
    assert "10 answers" not in page.read_text()
