"""What a site permits of a comparison, and of a model that forgets it, and how both read in words."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sites import World, plan_of
from sklearn.linear_model import LogisticRegression, Ridge

import talkoot as tk
from talkoot.core.errors import DataError, Refused
from talkoot.core.round import Round
from talkoot.core.shard import Schema
from talkoot.data.inventory import Inventory
from talkoot.data.schema import Bind, agree
from talkoot.engines.federation.consent.content import content_of
from talkoot.engines.federation.consent.proposal import run_of
from talkoot.engines.federation.consent.rehearsal import numbers_only, rehearse
from talkoot.engines.federation.consent.trial import explain_at
from talkoot.engines.federation.consent.words import explain, to_text
from talkoot.formats.plans import placement_from_bytes, placement_to_bytes
from talkoot.guards.mask.mask import Mask
from talkoot.learners import learner_for
from talkoot.learners.held_out.folds import Folds, TrainingRows, splits_of
from talkoot.learners.held_out.scores import FoldCounts, HeldOutScores
from talkoot.learners.held_out.site_scores import SiteScores

CHAIN = (tk.fixed(), tk.mask())
COMPARED: dict[str, Any] = {
    "kind": "compare",
    "terms": {"folds": 3, "repeats": 2, "seed": 7, "scoring": "accuracy"},
}
SPLITS = splits_of(3, 2, 7)
PLAN = tk.Plan(learner_for(LogisticRegression()))
BOUND = Bind(schema=numbers_only(2, 2, "fraud"), rows={})
HELD_OUT = HeldOutScores(folds=SPLITS[0], fold=0, scoring="r2", schema=BOUND.schema)
SCORES = SiteScores(unfitted=LogisticRegression(), splits=SPLITS, scoring="accuracy")


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    kinds = '["fit", "compare", "forget"]'
    world.set_policy(f"kinds = {kinds}", f"automatic = {kinds}", 'learners = ["*"]')
    return world


def fold(number: int = 0, folds: Folds = SPLITS[0], **more: Any) -> TrainingRows:
    return TrainingRows(view=BOUND, folds=folds, fold=number, **more)


def test_what_belongs_to_a_comparison(world: World) -> None:
    desk, proposal = world.desk(), world.proposal(**COMPARED)
    assert desk.decide(world.signed(**COMPARED)).state == "approved"
    desk.require_placement(proposal, tk.Plan(Inventory(labels=True, target="fraud")))
    for view in (fold(), fold(2), fold(1, SPLITS[1]), fold(index=(0, -1))):
        desk.require_placement(proposal, PLAN, view)
    desk.require_placement(proposal, tk.Plan(FoldCounts(splits=SPLITS, classes=2, total=True)), BOUND)
    placed = desk.require_placement(proposal, tk.Plan(replace(SCORES, least=1)), BOUND)
    assert getattr(placed.learner, "least", 0) == 20  # what the policy says, not what is asked for


@pytest.mark.parametrize(
    ("plan", "view", "why"),
    [
        (PLAN, BOUND, "learns without one fold at a time, and nothing else does"),
        (PLAN, None, "learns without one fold at a time"),
        (PLAN, fold(3), "fold 3 of .* is not one of those that were approved"),
        (PLAN, fold(0, Folds(count=3, seed=9)), "is not one of those that were approved"),
        (PLAN, fold(0, Folds(count=3, seed=7, stratify=False)), "is not one of those"),
        (tk.Plan(learner_for(Ridge())), fold(), "learns without one fold"),
        (tk.Plan(SCORES), fold(), "learns without one fold"),
        (tk.Plan(replace(SCORES, scoring="f1")), BOUND, "the score 'f1' was not approved"),
        (tk.Plan(replace(SCORES, splits=SPLITS[:1])), BOUND, "splits rows in another way"),
        (tk.Plan(replace(SCORES, unfitted=Ridge())), BOUND, "learns something else alone"),
        (tk.Plan(FoldCounts(splits=SPLITS, classes=2)), BOUND, "their total is enough"),
        (tk.Plan(HELD_OUT), BOUND, "HeldOutScores is not part of what was approved"),
    ],
)  # fmt: skip
def test_what_does_not_is_refused(world: World, plan: tk.Plan, view: Any, why: str) -> None:
    with pytest.raises(Refused, match=why):
        world.desk().require_placement(world.proposal(**COMPARED), plan, view)


def test_a_fit_has_no_folds_and_no_scores(world: World) -> None:
    for plan, view in ((PLAN, fold()), (tk.Plan(SCORES), BOUND)):
        with pytest.raises(Refused):
            world.desk().require_placement(world.proposal(), plan, view)


@pytest.mark.parametrize(
    ("terms", "why"),
    [
        ({}, "no such term as 'folds', or lacks it"),
        ({**COMPARED["terms"], "rows": 3}, "no such term as 'rows'"),
        ({**COMPARED["terms"], "folds": "3"}, "no such term as 'folds'"),
        ({**COMPARED["terms"], "folds": 1}, "2 to 100 models"),
        ({**COMPARED["terms"], "repeats": 99}, "2 to 100 models"),
        ({**COMPARED["terms"], "seed": -1}, "2 to 100 models"),
        ({**COMPARED["terms"], "scoring": "os.system"}, "is no scorer of scikit-learn"),
    ],
)
def test_terms_that_make_no_sense_are_refused(world: World, terms: Any, why: str) -> None:
    found = world.desk().decide(world.signed(kind="compare", terms=terms))
    assert (found.state, why in found.reason) == ("refused", True), found


def test_other_kinds_have_no_terms_and_texts_are_readable(world: World) -> None:
    assert "no such term as 'folds'" in world.desk().decide(world.signed(terms={"folds": 3})).reason
    terms = {**COMPARED["terms"], "scoring": "f1\nall is well"}
    assert "one line" in world.desk().decide(world.signed(kind="compare", terms=terms)).reason


def test_models_are_scored_once_in_a_run(world: World) -> None:
    desk, proposal = world.desk(), world.proposal(**COMPARED)
    plan, rnd = tk.Plan(SCORES).agreed(BOUND.schema), Round(index=0, cohort=("bergen", "lund", "oslo"))
    models = [[LogisticRegression(C=c) for c in (1.0, 2.0, 3.0)] for _ in SPLITS]
    for _ in range(2):
        world.desk().require_question(proposal, plan, rnd, models)
    with pytest.raises(Refused, match="answered once in the run .*, for another question. Propose it again"):
        desk.require_question(proposal, plan, rnd, [models[0][::-1], models[1]])
    desk.require_question(world.proposal(**COMPARED, purpose="another"), plan, rnd, models[::-1])
    desk.require_question(proposal, PLAN, rnd, np.ones(2))  # the rounds of a fold are as many as it takes


def test_under_masks_sites_sign_for_the_view_of_their_rows(world: World) -> None:
    world.set_policy(
        "secure_sum = true", 'kinds = ["compare"]', 'automatic = ["compare"]', 'learners = ["*"]'
    )
    masked = plan_of(LogisticRegression(), chain=CHAIN)
    proposal, plan = world.proposal(**COMPARED, plan=masked), tk.Plan(PLAN.learner, chain=CHAIN)
    assert world.desk().decide(world.signed(**COMPARED, plan=masked)).state == "approved"

    def signed_for(view: TrainingRows) -> str:
        placed = world.desk().require_placement(proposal, plan, view)
        (link,) = (link for link in placed.chain if isinstance(link, Mask))
        assert link.identity is not None
        return link.identity.run

    swapped = replace(BOUND.schema, classes=np.array([1, 0]))
    views = (
        fold(),
        fold(1),
        fold(0, SPLITS[1]),
        fold(index=(1, 0)),
        replace(fold(), view=replace(BOUND, schema=swapped)),
    )
    assert len({signed_for(view) for view in views}) == len(views)
    travelled = placement_from_bytes(placement_to_bytes(plan, fold()))[1]
    again = placement_from_bytes(placement_to_bytes(plan, replace(fold(), view=replace(BOUND, key=""))))[1]
    assert isinstance(travelled, TrainingRows)
    assert isinstance(again, TrainingRows)
    assert signed_for(travelled) == signed_for(again)
    counts = FoldCounts(splits=SPLITS, classes=2, total=True)
    world.desk().require_placement(proposal, tk.Plan(counts, chain=CHAIN), BOUND)
    with pytest.raises(Refused, match="the plan is masked, and the query FoldCounts is not"):
        world.desk().require_placement(proposal, tk.Plan(counts), BOUND)
    world.desk().require_placement(proposal, tk.Plan(SCORES), BOUND)


def fitted_run(world: World, **changes: Any) -> str:
    signed = world.signed(plan=plan_of(Ridge()), **changes)
    assert world.desk().decide(signed).state == "approved"
    return run_of(signed.proposal)


def forgetting(world: World, run: str, **changes: Any) -> Any:
    roster = {"oslo": world.parties["oslo"].certificate.decode()}
    given = {"plan": plan_of(Ridge()), "terms": {"run": run, "site": "oslo"}, "roster": roster}
    return world.signed(kind="forget", **{**given, **changes})


def test_a_site_forgets_what_it_has_taken_part_in(world: World) -> None:
    run, desk = fitted_run(world), world.desk()
    signed = forgetting(world, run)
    assert desk.decide(signed).state == "approved"
    proposal = world.proposal(
        kind="forget", plan=plan_of(Ridge()), terms={"run": run, "site": "oslo"},
        roster={"oslo": world.parties["oslo"].certificate.decode()},
    )  # fmt: skip
    plan, rnd = tk.Plan(learner_for(Ridge())), Round(index=1, cohort=("oslo",))
    desk.require_placement(proposal, plan, BOUND)
    desk.require_round(proposal, rnd, b"0")
    desk.require_question(proposal, plan, rnd, np.zeros(2))
    with pytest.raises(Refused, match="for another question"):
        desk.require_question(proposal, plan, rnd, np.ones(2))
    with pytest.raises(Refused, match="Inventory is not part of what was approved"):
        desk.require_placement(proposal, tk.Plan(Inventory()))
    with pytest.raises(Refused, match="is not among the sites"):
        desk.require_round(proposal, replace(rnd, cohort=("lund", "oslo")), b"1")


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"terms": {"run": "0" * 64, "site": "oslo"}}, "was not approved here"),
        ({"terms": {"run": "", "site": "oslo"}}, "was not approved here"),
        ({"terms": {"run": "RUN", "site": "lund"}}, "the part of 'lund' is to be forgotten, and"),
        ({"plan": plan_of(Ridge(alpha=9.0))}, "was about something else"),
        ({"target": "cost"}, "was about something else"),
    ],
)  # fmt: skip
def test_what_was_not_learned_there_is_not_forgotten(world: World, changes: dict[str, Any], why: str) -> None:
    run = fitted_run(world)
    if "terms" in changes:
        changes = {"terms": {**changes["terms"], "run": changes["terms"]["run"].replace("RUN", run)}}
    found = world.desk().decide(forgetting(world, run, **changes))
    assert (found.state, why in found.reason) == ("refused", True), found


def test_of_a_secure_sum_of_three_none_is_taken_out(world: World) -> None:
    masked = {"plan": plan_of(Ridge(), chain=CHAIN)}
    signed = world.signed(**masked)
    assert world.desk().decide(signed).state == "approved"
    found = world.desk().decide(forgetting(world, run_of(signed.proposal)))
    assert (found.state, "fewer than 3 sites" in found.reason) == ("refused", True), found


def test_a_comparison_in_words(world: World) -> None:
    text = to_text(explain_at(world.desk(), world.proposal(**COMPARED)))
    for part in (
        "at this site one from its own rows alone, which stays here",
        "Each site's rows: 3 folds at random (seed 7), 2 times over.",
        "The score: accuracy.",
        "Before anything else: how many rows of each class are in each fold",
        "At the end: the mean scores of both models on this site's rows (2 numbers)",
        "stay here where they would be of fewer than 20 rows",
        "What follows is for one of 6 models. The scores leave once",
        "Its scores are read site by site",
        "a made-up one can say something about single rows",
    ):
        assert part in text, text
    assert text.count("Round 1:") == 1


def test_what_is_forgotten_in_words(world: World) -> None:
    run = fitted_run(world)
    proposal = world.proposal(kind="forget", plan=plan_of(Ridge()), terms={"run": run, "site": "oslo"},
                              roster={"oslo": ""})  # fmt: skip
    content = content_of(proposal, {})
    assert content.plan is not None
    sent = rehearse(content.plan, numbers_only(2, target="fraud"), sites=3)
    text = to_text(explain(proposal, content, sent))
    for part in (
        f"The model: that of the run {run[:8]}. The site: oslo.",
        "Round 1: one table of 4 x 4 = 16 sums (gram)",
        "This site's own sums are sent openly",
    ):
        assert part in text, text
    assert "Before anything else" not in text
    assert "the researcher the total" not in text


def few(labels: int) -> dict[str, Any]:
    """A site's answer where so many of its forty rows have the rarer label."""
    rng = np.random.default_rng(3)
    y = np.where(np.arange(40) < labels, 1, 0)
    other = (rng.normal(size=(9, 2)), np.arange(9) % 2)
    data = tk.shards({"oslo": (rng.normal(size=(40, 2)), y), "lund": other})
    schema, bound = agree(data, tk.Inline(), labels=True)
    model = LogisticRegression().fit(*other)
    query = SiteScores(unfitted=LogisticRegression(), splits=splits_of(2, 1, 0), scoring="roc_auc")
    return dict(query.answer_about([[model, model]], bound["oslo"], schema))


def test_scores_of_few_rows_are_blank(world: World) -> None:
    found = few(4)
    assert np.isnan(found["scores"]).all()
    assert np.isnan(found["covariance"]).all()
    assert found["effective"][0] == 0
    assert found["why"][0] == "has fewer than 5 rows of a label, so its scores stay there"
    shown = few(5)
    assert not np.isnan(shown["scores"]).any()
    assert (shown["effective"][0], shown["why"][0]) == (5, "")
    alone = few(0)
    assert np.isnan(alone["scores"]).all()
    assert alone["why"][0] == "cannot learn alone: all its rows have one label"


def test_other_models_than_were_proposed_are_not_scored() -> None:
    query = SiteScores(unfitted=LogisticRegression(), splits=SPLITS[:1], scoring="accuracy")
    shard, schema = tk.shards(np.eye(3))["node0"], Schema(
        names=None, kinds=(), dtype=np.dtype(np.float64), rows=0, center=np.empty(0)
    )  # fmt: skip
    for models in ([[Ridge()] * 3], [[LogisticRegression()] * 2], []):
        with pytest.raises(DataError, match="are not one LogisticRegression a fold"):
            query.answer_about(models, shard, schema)
