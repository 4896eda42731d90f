"""What a site agrees to, and what it does not, whoever proposes it."""

from __future__ import annotations

import sys
from dataclasses import replace as changed
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from parties import make_authority, make_party, renew
from sites import World, plan_of
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.tree import DecisionTreeClassifier

import talkoot as tk
from examples import examples
from talkoot.core.errors import DataError, Refused
from talkoot.core.round import Round
from talkoot.data.inventory import Inventory
from talkoot.engines.federation.consent import proposal as proposals
from talkoot.engines.federation.consent.content import content_of
from talkoot.engines.federation.consent.proposal import Proposal, SignedProposal, run_of
from talkoot.engines.federation.identity import peer as peers
from talkoot.formats.frames import from_bytes, to_bytes
from talkoot.testing.toys import Walk


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def reason(world: World, **changes: object) -> str:
    """Why Oslo refuses a proposal."""
    found = world.desk().decide(world.signed(**changes))
    assert found.state == "refused", found
    return found.reason


def test_a_person_approves_what_the_policy_permits(world: World) -> None:
    desk, signed = world.desk(), world.signed()
    run = run_of(signed.proposal)
    assert desk.decide(signed) == ("pending", "a person has to approve it")
    desk.approve(run[:8], "kari", "REK has permitted it")
    assert desk.decide(signed) == ("approved", "REK has permitted it")
    assert world.desk().decide(signed).state == "approved"  # another process
    assert [(one.state, one.who) for one in desk.journal.decisions(run)] == [
        ("pending", "the policy"),
        ("approved", "kari"),
    ]


def test_the_policy_approves_the_kinds_that_it_names(world: World) -> None:
    world.set_policy('automatic = ["check"]')
    assert world.desk().decide(world.signed(kind="check", plan=b"")).state == "approved"
    assert world.desk().decide(world.signed()).state == "pending"
    world.set_policy()
    assert world.desk().decide(world.signed(kind="check", plan=b"")).state == "pending"


def test_the_policy_can_take_back_what_a_person_has_approved(world: World) -> None:
    desk, signed = world.desk(), world.signed()
    desk.decide(signed)
    desk.approve(run_of(signed.proposal), "kari")
    world.set_policy('researchers = ["bo"]')
    assert desk.decide(signed) == ("refused", "the researcher 'ana' is not permitted")
    with pytest.raises(
        Refused, match=r"the researcher 'ana' is not permitted.*only what policy.toml permits"
    ):
        desk.approve(run_of(signed.proposal), "kari")
    world.set_policy()
    assert desk.decide(signed).state == "approved"


@pytest.mark.parametrize(
    ("policy", "proposal", "why"),
    [
        ("", {"researcher": "bo"}, "the researcher 'bo' is not permitted"),
        ('data_sets = ["lab"]', {}, "the data set 'claims' is not permitted"),
        ('purposes = ["cancer"]', {}, "the purpose 'stroke study' is not permitted"),
        ('kinds = ["check"]', {}, "the kind 'fit' is not permitted"),
        ("minimum_sites = 4", {}, "3 sites take part, and 4 is the least"),
        ("secure_sum = true", {}, "the sums can be read site by site"),
        ("", {"plan": plan_of(Ridge())}, "the learner 'Ridge' is not permitted"),
        (
            'learners = ["LogisticRegression", "Pipeline"]',
            {"plan": plan_of(make_pipeline(StandardScaler(), LogisticRegression()))},
            "the learner 'StandardScaler' is not permitted",
        ),
        (
            'learners = ["*"]',
            {"plan": plan_of(make_pipeline(StandardScaler(), HistGradientBoostingClassifier()))},
            "trees divide columns at values of rows, unless their bins come from sums",
        ),
        (
            'learners = ["*"]',
            {"plan": plan_of(DecisionTreeClassifier())},
            "trees divide columns at values of rows, unless their bins come from sums",
        ),
        (
            'learners = ["*"]',
            {"plan": plan_of(RandomForestClassifier())},
            "tree of a forest is grown of one site",
        ),
        (
            'learners = ["*"]',
            {"plan": plan_of(make_pipeline(StandardScaler(), IsolationForest()))},
            "each tree of a forest is grown of one site",
        ),
    ],
)
def test_what_the_policy_forbids_is_refused_by_name(
    world: World, policy: str, proposal: dict[str, object], why: str
) -> None:
    world.set_policy(policy)
    assert why in reason(world, **proposal)
    run = world.desk().journal.proposals()[0][0].proposal
    with pytest.raises(Refused, match="A person can approve only what"):
        world.desk().approve(run_of(run), "kari")


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('reseachers = ["ana"]', "unknown field `reseachers`. Did you mean 'researchers'"),
        ("privacy_budget = 3.0", "unknown field `privacy_budget`. The keys are"),
        ("minimum_rows = 0", "minimum_rows = 0 is less than 5"),
        ("minimum_rows = 'many'", "Expected `int`, got `str`"),
        ("minimum_sites = 1", "minimum_sites = 1 is less than 2"),
        ('automatic = ["fits"]', "Invalid enum value 'fits'"),
        ('automatic = ["forget"]', "automatic names 'forget', which kinds does not permit"),
        ("secure_sum = 1", "Expected `bool`"),
        ("[", "Invalid"),
    ],
)
def test_a_policy_with_an_error_in_it_refuses_everything(world: World, text: str, why: str) -> None:
    world.set_policy(text)
    assert reason(world) == "the policy of this site cannot be read"
    (signed, _), *_ = world.desk().journal.proposals()
    with pytest.raises(Refused) as caught:
        world.desk().approve(run_of(signed.proposal), "kari")
    assert "policy.toml" in str(caught.value)
    assert why in str(caught.value)


def test_without_a_policy_nothing_is_permitted(world: World) -> None:
    (world.oslo.folder / "policy.toml").unlink()
    assert reason(world) == "the policy of this site cannot be read"
    world.set_policy("researchers = []")
    assert reason(world) == "the researcher 'ana' is not permitted"
    (world.oslo.folder / "policy.toml").write_text("secure_sum = false")
    assert reason(world) == "the policy of this site cannot be read"


def test_data_sets_and_targets_that_are_missing_are_named_and_no_more(world: World) -> None:
    world.set_policy('data_sets = ["*"]')
    assert reason(world, dataset="lab") == "no data set 'lab' is registered here"
    why = reason(world, target="ill")
    assert why == "the data set 'claims' cannot be read with the target 'ill'"  # no columns, no paths
    note = world.desk().journal.decisions(run_of(world.signed(target="ill").proposal))[-1].why
    assert "The columns are 'age', 'cost', 'fraud'" in note  # those are for Oslo
    (world.oslo.folder / "claims.parquet").unlink()
    assert "cannot be read" in reason(world, purpose="again")


def test_a_proposal_is_believed_for_its_signature_alone(world: World) -> None:
    signed, desk = world.signed(), world.desk()
    by_bo = changed_signature(signed, world.parties["bo"].sign(signed.proposal, proposals.ABOUT))
    assert desk.decide(by_bo) == ("refused", "the proposal is not signed by ana")
    other = world.signed(purpose="marketing").proposal
    assert desk.decide(SignedProposal(other, signed.signature, signed.certificate)).state == "refused"
    for_another = world.parties["ana"].sign(signed.proposal, "survivors")
    assert desk.decide(changed_signature(signed, for_another)).state == "refused"
    bo = world.parties["bo"]
    stolen = SignedProposal(signed.proposal, bo.sign(signed.proposal, proposals.ABOUT), bo.certificate)
    assert desk.decide(stolen) == ("refused", "bo brings a proposal of ana")
    lund = world.parties["lund"]
    data = world.proposal(researcher="lund").to_bytes()
    by_site = SignedProposal(data, lund.sign(data, proposals.ABOUT), lund.certificate)
    assert desk.decide(by_site) == ("refused", "the site lund proposes, and only researchers may")
    assert desk.journal.proposals() == []
    assert desk.decide(signed).state == "pending"


def changed_signature(signed: SignedProposal, signature: bytes) -> SignedProposal:
    return SignedProposal(signed.proposal, signature, signed.certificate)


def test_certificates_that_do_not_count_propose_nothing(world: World, tmp_path: Path) -> None:
    elsewhere = make_authority(tmp_path / "b")
    world.parties["ana"] = make_party(elsewhere, tmp_path / "b" / "ana", "ana", "researcher")
    assert reason(world) == "the certificate of ana was made by another authority"
    world.parties["ana"] = make_party(world.authority, tmp_path / "c", "cleo", "researcher")
    world.set_policy('researchers = ["*"]')
    signed = sign_as(world, "ana", "cleo")
    assert world.desk().decide(signed).reason == "cleo brings a proposal of ana"
    world.authority.revoke("bo", "left the hospital")
    world.oslo.update_revoked((world.authority.folder / "revoked.json").read_bytes())
    assert "the certificate of bo was revoked" in reason(world, researcher="bo")


def sign_as(world: World, author: str, signer: str) -> SignedProposal:
    party, data = world.parties[author], world.proposal(researcher=author).to_bytes()
    assert party.name == signer
    return SignedProposal(data, party.sign(data, proposals.ABOUT), party.certificate)


def test_the_roster_binds_names_and_certificates(world: World, tmp_path: Path) -> None:
    roster = world.proposal().roster
    without = {name: print_ for name, print_ in roster.items() if name != "oslo"}
    assert reason(world, roster=without) == "oslo is not among the sites of the proposal"
    renewed = renew(world.authority, world.oslo.folder)
    assert "names another certificate of oslo" in reason(
        world, roster=roster | {"oslo": renewed.certificate.decode()}
    )
    invented = make_party(make_authority(tmp_path / "b"), tmp_path / "b" / "malmo", "malmo")
    why = reason(world, roster=roster | {"malmo": invented.certificate.decode()})
    assert why == "the site 'malmo' of the proposal: the certificate of malmo was made by another authority"
    assert "this is no certificate" in reason(world, roster=roster | {"malmo": ""})
    twice = reason(world, roster=roster | {"malmo": roster["lund"]})
    assert twice == "the site 'malmo' of the proposal has the certificate of lund"
    ana = world.parties["ana"].certificate.decode()
    assert "has the certificate of ana" in reason(world, roster=roster | {"ana": ana})
    world.authority.revoke("lund", "stolen")
    world.oslo.update_revoked((world.authority.folder / "revoked.json").read_bytes())
    assert "the certificate of lund was revoked" in reason(world)


def test_a_withdrawn_proposal_stays_withdrawn_however_often_it_comes(world: World) -> None:
    world.set_policy('automatic = ["fit"]')
    desk, signed = world.desk(), world.signed()
    assert desk.decide(signed).state == "approved"
    run = desk.withdraw(run_of(signed.proposal), "kari", "a patient objects")
    for _ in range(2):
        assert world.desk().decide(signed) == ("withdrawn", "a patient objects")
    for act in (desk.approve, desk.refuse, desk.withdraw):
        with pytest.raises(
            Refused, match="is withdrawn: a patient objects. The researcher can propose again"
        ):
            act(run, "kari")
    assert desk.decide(world.signed(purpose="another")).state == "approved"


def test_what_a_person_refused_he_can_approve_later(world: World) -> None:
    world.set_policy('automatic = ["fit"]')
    desk, signed = world.desk(), world.signed()
    desk.decide(signed)
    run = desk.refuse(run_of(signed.proposal), "kari", "no ethics vote")
    assert desk.decide(signed) == ("refused", "no ethics vote")
    desk.approve(run, "kari")
    assert desk.decide(signed).state == "approved"


def test_a_proposal_expires(world: World) -> None:
    desk, signed = world.desk(), world.signed()
    desk.decide(signed)
    desk.approve(run_of(signed.proposal), "kari")
    world.clock += 30 * 86400
    assert desk.decide(signed) == ("expired", "its time is over")
    world.clock -= 86400
    assert desk.decide(signed).state == "expired"  # it does not live again when the clock is set back
    until = world.signed(until="2027-01-15")
    world.clock = 1_800_000_000.0  # 2027-01-15, 08:00 UTC
    assert desk.decide(until).state == "pending"
    world.clock += 86400
    assert desk.decide(until).state == "expired"
    with pytest.raises(DataError, match="until = 'soon' is no day"):
        proposals.from_bytes(world.proposal(until="soon").to_bytes())


def test_runs_are_named_by_enough_digits(world: World) -> None:
    with pytest.raises(DataError, match="is too short"):
        world.desk().approve("ab", "kari")
    with pytest.raises(DataError, match="no proposal begins with 'abcdabcd'. See talkoot site list"):
        world.desk().approve("abcdabcd", "kari")
    with pytest.raises(DataError, match="no proposal begins"):
        world.desk().approve("%%%%%%%%", "kari")


def test_a_placement_belongs_to_what_was_approved(world: World) -> None:
    desk, proposal = world.desk(), world.proposal()
    plan = tk.Plan(tk.learner_for(LogisticRegression()))
    desk.require_placement(proposal, plan)
    desk.require_placement(proposal, tk.Plan(Inventory(labels=True, target="fraud")))
    for other in (
        tk.Plan(tk.learner_for(LogisticRegression(C=2.0))),
        tk.Plan(tk.learner_for(LogisticRegression()), seed=1),
        tk.Plan(tk.learner_for(LogisticRegression()), sync=tk.rounds(9)),
        tk.Plan(tk.learner_for(Ridge())),
    ):
        with pytest.raises(Refused, match="is not part of what was approved"):
            desk.require_placement(proposal, other)
    with pytest.raises(Refused, match="asks for the target 'age', which was not approved"):
        desk.require_placement(proposal, tk.Plan(Inventory(labels=True, target="age")))


def test_rounds_are_let_in_for_the_roster_and_counted(world: World) -> None:
    world.set_policy("rounds_a_day = 2")
    desk, proposal = world.desk(), world.proposal()
    rnd = Round(index=0, cohort=("bergen", "lund", "oslo"))
    with pytest.raises(Refused, match="'malmo' is not among the sites that were approved"):
        desk.require_round(proposal, changed(rnd, cohort=(*rnd.cohort, "malmo")), b"0")
    with pytest.raises(Refused, match="2 sites take part, and 3 is the least"):
        desk.require_round(proposal, changed(rnd, cohort=("oslo", "lund")), b"0")
    with pytest.raises(Refused, match="2 sites take part"):
        desk.require_round(proposal, changed(rnd, cohort=("oslo", "lund", "oslo", "lund")), b"0")
    with pytest.raises(Refused, match="oslo takes no part in round 0"):
        desk.require_round(proposal, changed(rnd, cohort=("bergen", "lund")), b"0")
    for key in (b"0", b"0", b"1", b"0"):
        desk.require_round(proposal, rnd, key)
    desk.require_round(proposal, changed(rnd, phase="keys"), b"2")
    with pytest.raises(Refused, match="rounds of 2027-01-15 are used up. The same call goes on tomorrow"):
        desk.require_round(proposal, rnd, b"3")
    world.clock += 86400
    desk.require_round(proposal, rnd, b"3")


def test_few_rows_take_no_part(world: World) -> None:
    assert world.desk().open(world.proposal()).name == "oslo"
    world.set_policy("minimum_rows = 61")
    with pytest.raises(Refused, match="fewer than 61 rows are here"):
        world.desk().open(world.proposal())


def test_a_registered_learner_travels_by_its_name(world: World) -> None:
    walk = Walk()
    plan = tk.Plan(walk, chain=[tk.weigh("rows")], sync=tk.rounds(3))
    frame = proposals_plan(plan, {"net": walk})
    world.set_policy('learners = ["net"]')
    assert world.desk(net=walk).decide(world.signed(plan=frame)).state == "pending"
    assert "'net' is not registered here" in reason(world, plan=frame)
    world.set_policy()
    found = world.desk(net=walk).decide(world.signed(plan=frame, purpose="b"))
    assert found == ("refused", "the learner 'net' is not permitted")


def proposals_plan(plan: tk.Plan, registered: dict[str, object]) -> bytes:
    from talkoot.formats.plans import plan_to_bytes

    return plan_to_bytes(plan, registered=registered)


@pytest.mark.parametrize("name", ["os.system", "subprocess.run", "antigravity.geohash", "builtins.eval"])
def test_no_code_crosses(world: World, name: str) -> None:
    data, buffers = from_bytes(plan_of(StandardScaler()))
    data["learner"]["params"]["copy"] = {"$": "function", "name": name}
    sys.modules.pop("antigravity", None)
    assert f"it names '{name}', which would be imported and run" in reason(
        world, plan=to_bytes(data, buffers)
    )
    assert "antigravity" not in sys.modules
    data["learner"] = {"$": "registered", "name": name}
    assert "is not registered here" in reason(world, plan=to_bytes(data, buffers))
    data["learner"] = {"$": "estimator", "class": name, "params": {}}
    assert "catalogue" in reason(world, plan=to_bytes(data, buffers))


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats()
    | st.text()
    | st.binary(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=8) | st.sampled_from(["$", "class", "params", "name"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)
TAGS = st.sampled_from(
    ["estimator", "function", "registered", "type", "columns", "tuple", "array", "numpy", "int"]
)
NAMES = st.sampled_from(
    ["Pipeline", "LogisticRegression", "os.system", "Inventory", "Weigh", "StandardScaler"]
)
TAGGED = st.fixed_dictionaries(
    {"$": TAGS},
    optional={"class": NAMES, "name": NAMES, "params": JUNK, "fields": JUNK, "items": JUNK, "buffer": JUNK},
)
PLANS = st.fixed_dictionaries(
    {"version": st.just(1), "learner": TAGGED | JUNK},
    optional={
        "chain": st.lists(TAGGED) | JUNK,
        "sync": TAGGED | JUNK,
        "seed": st.just(0) | JUNK,
        "merge": TAGGED,
    },
)


@examples(300)
@given(PLANS)
def test_plans_of_anything_are_read_or_refused(data: object) -> None:
    proposal = Proposal(
        dataset="",
        target=None,
        plan=to_bytes(data),
        kind="fit",
        purpose="",
        permit="",
        roster={},
        researcher="",
    )
    try:
        content_of(proposal, {})
    except Refused as error:
        assert str(error)  # noqa: PT017 - any refusal will do, and nothing else


@examples(300)
@given(st.binary(max_size=200) | JUNK.map(msgspec.msgpack.encode))
def test_proposals_of_anything_are_refused(data: bytes) -> None:
    with pytest.raises(DataError):
        proposals.from_bytes(data)


def test_a_proposal_has_one_form(world: World) -> None:
    proposal = world.proposal()
    data = proposal.to_bytes()
    assert proposals.from_bytes(data) == proposal
    assert world.proposal(roster=dict(reversed(proposal.roster.items()))).to_bytes() == data
    loose = msgspec.msgpack.encode(proposal)
    if loose != data:
        with pytest.raises(DataError, match="not written as Talkoot writes them"):
            proposals.from_bytes(loose)
    with pytest.raises(DataError, match="larger than"):
        proposals.from_bytes(bytes(np.zeros(proposals.LIMIT + 1, np.uint8)))


def test_where_nothing_can_be_recorded_nothing_is_approved(world: World) -> None:
    world.set_policy('automatic = ["fit"]')
    desk, signed = world.desk(), world.signed()
    assert desk.decide(signed).state == "approved"
    log = desk.audit.path.read_bytes()
    desk.audit.path.write_bytes(log[: log.index(b"\n") + 1])
    unrecorded = ("refused", "the records of this site cannot be written")
    assert desk.decide(world.signed(purpose="next")) == unrecorded
    with pytest.raises(DataError, match="not whole"):
        desk.audit.append("sent", {})
    desk.audit.path.write_bytes(log)
    (world.oslo.folder / "consent.sqlite").write_bytes(b"this is no database" * 100)
    assert world.desk().decide(signed) == unrecorded


def test_a_proposal_is_genuine_by_its_newest_signature(world: World) -> None:
    desk, old = world.desk(), world.signed()
    desk.decide(old)
    folder = world.parties["ana"].folder
    world.parties["ana"] = renew(world.authority, folder)
    world.authority.revoke("ana", "keys changed", fingerprint_of(old))
    world.oslo.update_revoked((world.authority.folder / "revoked.json").read_bytes())
    assert "was revoked" in desk.decide(old).reason
    with pytest.raises(Refused, match="was revoked"):
        desk.approve(run_of(old.proposal), "kari")
    new = world.signed()
    assert run_of(new.proposal) == run_of(old.proposal)
    assert desk.decide(new).state == "pending"
    desk.approve(run_of(new.proposal), "kari")
    assert desk.decide(new).state == "approved"


def fingerprint_of(signed: SignedProposal) -> str:
    return peers.read(peers.to_certificate(signed.certificate)).fingerprint


@pytest.mark.parametrize("text", ["two\nlines", "\x1b[31mred", "x" * 1001, "\u202eneb", "a\x00b"])
@pytest.mark.parametrize("field", ["purpose", "permit", "dataset", "target"])
def test_texts_show_as_what_they_are(world: World, field: str, text: str) -> None:
    assert "texts are one line of at most 1000 signs" in reason(world, **{field: text})
    assert world.desk().journal.proposals() == []


def test_a_policy_of_an_editor_on_windows_is_read(world: World) -> None:
    path = world.oslo.folder / "policy.toml"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert world.desk().decide(world.signed()).state == "pending"
