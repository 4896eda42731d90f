"""Secure sums as a site sees them: what its policy permits, what may be placed, and what it reads of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sites import World, plan_of
from sklearn.linear_model import LogisticRegression, Ridge

import talkoot as tk
from talkoot.cli.parties import site
from talkoot.core.errors import Refused
from talkoot.data.contract.profile import Profile
from talkoot.data.inventory import Inventory
from talkoot.data.schema import Bind
from talkoot.data.totals import Totals
from talkoot.engines.federation.audit import AuditLog
from talkoot.engines.federation.consent.content import content_of
from talkoot.engines.federation.consent.desk import Desk
from talkoot.engines.federation.consent.proposal import Proposal, run_of
from talkoot.engines.federation.consent.rehearsal import numbers_only, rehearse
from talkoot.engines.federation.consent.secure_sum import with_keys
from talkoot.engines.federation.consent.trial import explain_at
from talkoot.engines.federation.consent.words import explain, to_text
from talkoot.guards.fixed import fixed
from talkoot.guards.mask.mask import Mask, mask
from talkoot.learners.held_out.folds import Folds, TrainingRows

CHAIN = (fixed(), mask())
ALL = ("bergen", "lund", "oslo")


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.set_policy("secure_sum = true", 'automatic = ["fit"]')
    return world


def test_a_policy_of_secure_sums_permits_masked_plans_alone(world: World) -> None:
    masked = plan_of(LogisticRegression(), chain=CHAIN)
    assert world.desk().decide(world.signed(plan=masked)).state == "approved"
    for chain in ((), (fixed(),)):
        found = world.desk().decide(world.signed(plan=plan_of(LogisticRegression(), chain=chain)))
        assert (found.state, "read site by site" in found.reason) == ("refused", True)


def test_a_policy_as_it_is_written_first_permits_checks_and_masked_fits(world: World) -> None:
    """Both kinds that it names can be approved, and nothing that shows sums site by site."""
    text = site.POLICY.format(data_sets='["claims"]', researchers='["ana"]', automatic="[]")
    (world.oslo.folder / "policy.toml").write_text(text)
    desk, masked = world.desk(), plan_of(LogisticRegression(), chain=CHAIN)
    for proposal in ({"kind": "check", "plan": b""}, {"plan": masked}):
        signed = world.signed(**proposal)
        assert desk.decide(signed).state == "pending"
        desk.approve(run_of(signed.proposal), "kari")
        assert desk.decide(signed).state == "approved"
    assert "read site by site" in desk.decide(world.signed()).reason


def test_a_site_puts_its_own_threshold_on_what_it_reports(world: World) -> None:
    world.set_policy("minimum_rows = 17")
    check, fit = world.proposal(kind="check", plan=b""), world.proposal()
    for least in (1, 16, 18, 10_000):
        for proposal, learner in ((check, Profile(least=least)), (fit, Inventory(least=least))):
            placed = world.desk().require_placement(proposal, tk.Plan(learner)).learner
            assert isinstance(placed, Profile | Inventory)
            assert placed.least == 17
    with pytest.raises(Refused, match="Inventory is not part of what was approved"):
        world.desk().require_placement(check, tk.Plan(Inventory()))
    text = to_text(explain_at(world.desk(), check))
    for part in ("means of 17 or more rows", "without the 17 smallest", "fewer than 17 rows of this site"):
        assert part in text


def test_queries_for_a_masked_plan_show_no_more_than_it_does(world: World) -> None:
    proposal, desk = world.proposal(plan=plan_of(LogisticRegression(), chain=CHAIN)), world.desk()
    names = ("age", "cost")
    desk.require_placement(proposal, tk.Plan(tk.learner_for(LogisticRegression()), chain=CHAIN))
    desk.require_placement(proposal, tk.Plan(Inventory(labels=True, target="fraud", hidden=True)))
    desk.require_placement(proposal, tk.Plan(Totals(names, "fraud"), chain=CHAIN))
    for learner, chain in (
        (Inventory(labels=True, target="fraud"), ()),
        (Totals(names, "fraud"), ()),
        (Totals(names, "fraud"), (fixed(),)),
        (Totals(names, "fraud"), (fixed(), mask(cheats=1))),
    ):
        with pytest.raises(Refused, match="the plan is masked, and the query"):
            desk.require_placement(proposal, tk.Plan(learner, chain=chain))
    with pytest.raises(Refused, match="LogisticRegression is not part of what was approved"):
        desk.require_placement(proposal, tk.Plan(tk.learner_for(LogisticRegression())))
    with pytest.raises(Refused, match="asks for the target 'age'"):
        desk.require_placement(proposal, tk.Plan(Totals(("cost",), "age"), chain=CHAIN))


def test_masks_in_words(world: World) -> None:
    proposal = world.proposal(plan=plan_of(Ridge(), chain=CHAIN))
    content = content_of(proposal, {})
    assert content.plan is not None
    sent = rehearse(content.plan, numbers_only(13, target="cost"), sites=3)
    text = to_text(explain(proposal, content, sent, rows=120))
    for part in (
        "the classes of the target that enough rows have",
        "Round 1: one table of 15 x 15 = 225 sums (gram)",
        "Around each masked sum, nothing of the rows: keys, shares, survivors, unmask",
        "can read the total of all sites, and nothing of one site",
        "can be subtracted from each other",
        "In one round.",
    ):
        assert part in text
    assert "the number of rows, the classes" not in text
    pair = world.proposal(plan=proposal.plan, roster={"oslo": "", "lund": ""})
    text = to_text(explain(pair, content, None))
    assert "With two sites nothing is secure" in text
    assert "nothing of one site" not in text


def test_masks_know_the_keys_of_the_roster_and_what_was_released(world: World) -> None:
    proposal, desk = world.proposal(plan=plan_of(Ridge(), chain=CHAIN)), world.desk()
    placed = tk.Plan(tk.learner_for(Ridge()), chain=CHAIN)
    plan = desk.require_placement(proposal, placed)
    (link,) = (link for link in plan.chain if isinstance(link, Mask))
    assert link.identity is not None
    assert link.identity.roster == {name: world.parties[name].me.signing_key for name in proposal.roster}
    assert link.identity.released.setdefault("question", ("lund", "oslo")) == ("lund", "oslo")
    again = world.desk().require_placement(proposal, placed)  # another process
    (link,) = (link for link in again.chain if isinstance(link, Mask))
    assert link.identity is not None
    assert link.identity.released.setdefault("question", ("bergen", "oslo")) == ("lund", "oslo")
    other = world.proposal(plan=proposal.plan, purpose="another")
    (link,) = (link for link in world.desk().require_placement(other, placed).chain if isinstance(link, Mask))
    assert link.identity is not None
    assert dict(link.identity.released) == {}
    open_plan = tk.Plan(tk.learner_for(LogisticRegression()))
    assert desk.require_placement(world.proposal(), open_plan) is open_plan


def _released(desk: Desk, proposal: Proposal, view: Any) -> Any:
    """What a site has released under the masks of a run, for some of its rows."""
    placed = tk.Plan(tk.learner_for(LogisticRegression()), chain=CHAIN)
    made = with_keys(placed, view, proposal, desk.identity, desk.ledger)
    (link,) = (link for link in made.chain if isinstance(link, Mask))
    assert link.identity is not None
    return link.identity.released


@pytest.mark.parametrize("end", ["withdrawn", "expired"])
def test_what_was_released_is_forgotten_once_the_run_is_over_for_good(world: World, end: str) -> None:
    masked, desk = plan_of(LogisticRegression(), chain=CHAIN), world.desk()
    proposal, signed = world.proposal(plan=masked), world.signed(plan=masked)
    run = run_of(signed.proposal)
    desk.decide(signed)
    rows = Bind(schema=desk.open(proposal).layout().schema(), rows=None)
    part = TrainingRows(view=rows, folds=Folds(count=2), fold=0)
    releases = [_released(desk, proposal, view) for view in (None, rows, part)]
    for nodes, release in zip((ALL, ALL[:2], ALL[1:]), releases, strict=True):
        assert release.setdefault("question", nodes) == nodes
        assert release.setdefault("question", ("bergen", "oslo")) == nodes
        assert dict(release) == {"question": nodes}
    assert desk.decide(world.signed(plan=masked, purpose="another")).state == "approved"
    assert all(len(release) == 1 for release in releases)
    if end == "withdrawn":
        desk.withdraw(run, "olav")
    else:
        world.clock += 31 * 86400
        desk.decide(world.signed(plan=masked, purpose="a third"))
    assert desk.ledger.released(run) == {}
    for release in releases:
        with pytest.raises(Refused, match=f"the run is {end} here"):
            release.setdefault("question", ("bergen", "oslo"))
    assert desk.decide(signed).state == end
    AuditLog(world.oslo.folder).verify()
