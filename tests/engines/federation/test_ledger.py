"""What a site remembers of what it has disclosed, and what it discloses no more because of that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace as changed
from sites import World, plan_of
from sklearn.linear_model import LogisticRegression

import talkoot as tk
from talkoot.api.evidence.site import site_evidence
from talkoot.core.engine import View
from talkoot.core.errors import DataError, Refused
from talkoot.core.plan import Plan
from talkoot.core.round import Round
from talkoot.data.contract.profile import Profile
from talkoot.data.inventory import Inventory
from talkoot.data.schema import Bind
from talkoot.data.totals import Totals
from talkoot.engines.federation.audit import AuditLog
from talkoot.engines.federation.consent.proposal import Proposal, run_of
from talkoot.engines.federation.consent.trial import explain_at
from talkoot.engines.federation.consent.words import to_text
from talkoot.engines.federation.identity import consents
from talkoot.engines.federation.ledger.ledger import Sum
from talkoot.engines.federation.ledger.rows import RowSet, row_hashes, row_set_of
from talkoot.guards.fixed import fixed
from talkoot.guards.mask.mask import mask
from talkoot.learners.held_out.folds import Folds, TrainingRows

CHAIN = (fixed(), mask())
MASKED = plan_of(LogisticRegression(), chain=CHAIN)
TOTALS = Totals(("age", "cost"), "fraud")
ALL = ("bergen", "lund", "oslo")


def rows(hashes: Any, columns: str = "") -> RowSet:
    return RowSet.of(np.array(hashes, np.uint64), columns)


hashes = st.lists(st.integers(0, 30), max_size=60)


@given(hashes, hashes)
def test_as_many_rows_differ_as_were_added_or_taken_away_whichever_are_more(
    one: list[int], two: list[int]
) -> None:
    values, counts = np.unique(np.array([*one, *two]), return_counts=True)
    more = [one.count(value) - two.count(value) for value in values]
    del counts
    want = max(sum(d for d in more if d > 0), -sum(d for d in more if d < 0))
    found = rows(one).differing(rows(two))
    assert found <= want  # buckets can hide a few, never show more
    assert (found == 0) == (want == 0)
    assert rows(one).differing(rows(two)) == rows(two).differing(rows(one))
    packed = rows(one)
    assert RowSet.unpacked(packed.count, packed.columns, packed.packed).digest == packed.digest


def test_many_rows_are_far_whatever_buckets_they_share() -> None:
    rng = np.random.default_rng(0)
    every = rng.integers(0, 1 << 63, 200_000).astype(np.uint64)
    assert rows(every).differing(rows(every[:-1000])) == 1000
    assert rows(every[:100_000]).differing(rows(every[100_000:])) > 8000
    assert rows(every[::-1]).digest == rows(every).digest


def test_where_columns_are_others_the_number_of_rows_decides() -> None:
    few, many = rows(range(100), "a"), rows(range(1000, 1103), "b")
    assert few.is_near(many, 5)
    assert not few.is_near(rows(range(1000, 1103), "a"), 5)
    assert not few.is_near(rows(range(1000, 1100), "b"), 5)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def here(world: World, proposal: Proposal, view: View | None = None) -> RowSet:
    source = world.desk().open(proposal)
    return row_set_of(row_hashes(source, proposal.target), source, view, proposal.fixes)


def answer(world: World, proposal: Proposal, learner: Any, chain: Any = (), view: View | None = None) -> None:
    """All that Oslo looks at in one round."""
    desk, plan, found = world.desk(), Plan(learner, chain=chain), here(world, proposal, view)
    for phase in plan.chain.phases:
        rnd = Round(index=0, phase=phase, cohort=tuple(proposal.roster))
        desk.require_disclosure(proposal, plan, rnd, found)
        desk.disclose(proposal, plan, rnd, found)


def withheld(world: World) -> list[Any]:
    """What Oslo has logged of answers that it did not give."""
    return [entry for entry in AuditLog(world.oslo.folder).entries() if entry.event == "withheld"]


def change(world: World, edit: Any) -> None:
    path = world.oslo.folder / "claims.parquet"
    table = pq.read_table(path).to_pandas()
    pq.write_table(pa.Table.from_pandas(edit(table), preserve_index=False), path)


def without(world: World, *names: str) -> dict[str, str]:
    return {name: pem for name, pem in world.proposal().roster.items() if name not in names}


@pytest.mark.parametrize(
    "edit",
    [
        lambda t: t.iloc[:-1],
        lambda t: t.iloc[5:],
        lambda t: t.assign(age=np.where(np.arange(len(t)) == 7, 99.0, t.age)),
        lambda t: t.assign(fraud=np.where(np.arange(len(t)) < 3, 1 - t.fraud, t.fraud)),
        lambda t: t.iloc[[*range(60), 0]],
        lambda t: t.assign(more=1.0).iloc[:-2],
    ],
    ids=["one less", "five less", "a cell", "labels", "twice", "a column more"],
)
def test_rows_that_differ_in_few_from_those_of_an_answer_are_not_used(world: World, edit: Any) -> None:
    first = world.proposal(purpose="on monday")
    answer(world, first, TOTALS)
    change(world, edit)
    for kind, learner in (("fit", TOTALS), ("fit", Inventory()), ("check", Profile())):
        later = world.proposal(purpose="on tuesday", kind=kind, plan=plan_of() if kind == "fit" else b"")
        with pytest.raises(Refused, match="fewer than 20 of the rows here are others") as caught:
            answer(world, later, learner)
        assert run_of(first.to_bytes())[:8] in caught.value.cause
        assert "wait until 20 or more are others" in (caught.value.cure or "")
    assert len(withheld(world)) == 3
    assert withheld(world)[-1].facts["run"] == run_of(later.to_bytes())


@pytest.mark.parametrize(
    "edit",
    [lambda t: t, lambda t: t.iloc[::-1], lambda t: t.iloc[20:], lambda t: t.assign(age=t.age * 2)],
    ids=["the same", "another order", "twenty less", "all others"],
)
def test_the_same_rows_and_many_others_are_used(world: World, edit: Any) -> None:
    answer(world, world.proposal(purpose="on monday"), TOTALS)
    change(world, edit)
    answer(world, world.proposal(purpose="on tuesday"), TOTALS)
    answer(world, world.proposal(purpose="another target", target="cost"), Totals(("age",), "cost"))
    assert withheld(world) == []


def test_fixes_of_few_values_are_seen(world: World) -> None:
    answer(world, world.proposal(), TOTALS)
    few = world.proposal(fixes=[tk.fix("age", at="oslo", times=2.0)])
    answer(world, few, TOTALS)
    table = pq.read_table(world.oslo.folder / "claims.parquet").to_pandas()
    rare = float(table.cost.iloc[3])
    odd = world.proposal(fixes=[tk.fix("cost", at="oslo", missing=[rare])])
    with pytest.raises(Refused, match="about these few"):
        answer(world, odd, TOTALS)


def test_folds_that_are_too_small_are_not_left_out(world: World) -> None:
    proposal = world.proposal()
    source = world.desk().open(proposal)
    view = Bind(schema=source.layout().schema(), rows=None, target=False)
    answer(world, proposal, TOTALS)
    for fold in range(3):
        answer(world, proposal, TOTALS, view=TrainingRows(view=view, folds=Folds(count=3), fold=fold))
    with pytest.raises(Refused, match="about these few.*where folds are left out, take fewer"):
        answer(world, proposal, TOTALS, view=TrainingRows(view=view, folds=Folds(count=4), fold=0))


def test_a_secure_sum_over_one_site_more_or_less_is_refused_before_anybody_works(world: World) -> None:
    world.set_policy("minimum_sites = 2")
    four = {**world.proposal().roster, "turku": world.proposal().roster["lund"]}
    three = world.proposal(plan=MASKED)
    before = world.proposal(plan=MASKED, roster=four)
    answer(world, before, TOTALS, CHAIN)
    found = world.desk().decide(world.signed(plan=MASKED))
    assert found.state == "refused"
    assert "would show what turku alone has" in found.reason
    assert "for sites of which two or more are others" in found.reason
    with pytest.raises(Refused, match="what turku alone has"):
        answer(world, three, TOTALS, CHAIN)
    with pytest.raises(Refused, match="what turku alone has"):  # open sums are read site by site
        answer(world, world.proposal(), TOTALS)
    answer(world, world.proposal(kind="check", plan=b""), Profile())
    answer(world, world.proposal(plan=MASKED, purpose="again", roster=four), TOTALS, CHAIN)


def test_what_was_never_read_counts_nothing(world: World) -> None:
    """A secure sum is read once its last phase is over; before, a site that fails can be left out."""
    desk, proposal = world.desk(), world.proposal(plan=MASKED)
    plan, found = Plan(TOTALS, chain=CHAIN), here(world, proposal)
    for phase in plan.chain.phases[:-1]:
        rnd = Round(index=0, phase=phase, cohort=ALL)
        desk.require_disclosure(proposal, plan, rnd, found)
        desk.disclose(proposal, plan, rnd, found)
    assert desk.ledger.entries() == []
    change(world, lambda t: t.iloc[1:])
    answer(world, world.proposal(plan=MASKED, purpose="again"), TOTALS, CHAIN)
    (entry,) = desk.ledger.entries()
    assert (entry.sum.sites, entry.sum.masked, entry.rows) == (ALL, True, 59)


def test_exact_sums_under_masks_are_of_all_that_were_approved(world: World) -> None:
    proposal, plan = world.proposal(plan=MASKED), Plan(TOTALS, chain=CHAIN)
    rnd = Round(index=1, phase=plan.chain.phases[0], cohort=("lund", "oslo"))
    with pytest.raises(Refused, match="2 sites take part in round 1, and 3 were approved"):
        world.desk().require_disclosure(proposal, plan, rnd, here(world, proposal))


@pytest.mark.parametrize(
    ("one", "two", "left"),
    [
        (Sum(run="", dataset="", sites=("a", "b", "c"), masked=True), ("a", "b"), {"c"}),
        (Sum(run="", dataset="", sites=("a", "b", "c"), masked=True), ("d", "a", "b"), {"c"}),
        (Sum(run="", dataset="", sites=("a", "b", "c"), masked=True), ("c",), {"a", "b"}),
        (Sum(run="", dataset="", sites=("a", "b", "c")), ("a", "b"), set()),
    ],
)
def test_what_follows_from_a_sum_and_open_ones(one: Sum, two: tuple[str, ...], left: set[str]) -> None:
    other = Sum(run="", dataset="", sites=two)
    assert one.less(other) == other.less(one) == left


def test_a_consent_counts_for_its_run_its_plan_and_its_site(world: World) -> None:
    world.set_policy("learners = ['*']")
    fit = world.signed(plan=MASKED)
    run, desk = run_of(fit.proposal), world.desk()
    desk.decide(fit)
    for party in ("lund", "oslo"):
        given = consents.consent(run, MASKED, world.parties[party])
        for forged in (
            changed(given, site="bergen"),
            changed(given, plan=given.plan[::-1]),
            changed(given, signature=given.signature[::-1]),
            changed(given, signature=b""),
            consents.consent(run, plan_of(), world.parties[party]),
        ):
            with pytest.raises(Refused, match="has not signed that its part of the run"):
                desk.require_consents([given, forged])
        with pytest.raises(DataError, match="no proposal begins with"):
            desk.require_consents([given, changed(given, run="ab" * 32)])
        assert party not in desk.ledger.consented(run), "none counts where one is wrong"
        desk.require_consents([given])
        assert party in desk.ledger.consented(run)
        desk.require_consents([given])
    consented = [entry.facts for entry in desk.audit.entries(run) if entry.event == "consented"]
    assert [each["site"] for each in consented] == ["lund", "oslo"]
    page = site_evidence("oslo", run, desk.audit, [])
    assert "its part may become known; signed" in page


def test_with_a_consent_the_others_answer_without_that_site(world: World) -> None:
    world.set_policy("minimum_sites = 2", 'automatic = ["fit"]')
    before, roster = world.signed(plan=MASKED), without(world, "lund")
    world.desk().decide(before)
    answer(world, world.proposal(plan=MASKED), TOTALS, CHAIN)
    later = {"plan": plan_of(), "roster": roster, "purpose": "without lund"}
    assert "what lund alone has" in world.desk().decide(world.signed(**later)).reason
    given = consents.consent(run_of(before.proposal), MASKED, world.parties["lund"])
    assert world.desk().decide(world.signed(**later, consents=[given])).state == "approved"
    text = to_text(explain_at(world.desk(), world.proposal(**later, consents=[given])))
    assert "With the consent of lund: its part of the run" in text
    forged = changed(given, site="bergen")
    refused = world.desk().decide(world.signed(**later, permit="another", consents=[forged]))
    assert "has not signed" in refused.reason
