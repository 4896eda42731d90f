"""Real programs: what working together brings to each site, and a site that leaves a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from programs import POLICY, Federated, federated
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, make_scorer
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from patience import soon
from talkoot.core.errors import PlanError, Refused
from talkoot.engines.federation.audit import AuditLog
from talkoot.engines.federation.consent.desk import Desk
from talkoot.engines.federation.consent.proposal import from_bytes, run_of
from talkoot.engines.federation.identity.identity import Identity

CHAIN = [tk.fixed(), tk.mask()]
rng = np.random.default_rng(0)
X = rng.normal(size=(240, 4))
y = (X @ [1.0, -1.0, 0.5, 0.0] + rng.normal(size=240) > 0).astype(int)
X[:, 0] += 50
CUTS = {"bergen": slice(0, 40), "lund": slice(40, 100), "oslo": slice(100, 160), "turku": slice(160, 240)}
ROWS = {name: (X[cut], y[cut]) for name, cut in CUTS.items()}
ROWS["turku"] = (ROWS["turku"][0], np.where(np.arange(80) < 3, 1, 0))  # of one label three rows
HERE = {name: ROWS[name] for name in CUTS}


@pytest.fixture(scope="module")
def four(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federated]:
    with federated(tmp_path_factory.mktemp("alone"), ROWS) as made:
        yield made


def compared(four: Federated, estimator: Any, **more: Any) -> Any:
    return tk.compare(estimator, tk.dataset("toy"), "y", folds=2, on=tk.Federation(four.researcher), **more)


@pytest.mark.parametrize(
    ("estimator", "chain"),
    [(make_pipeline(StandardScaler(), LogisticRegression(tol=1e-8)), None), (GaussianNB(), CHAIN)],
    ids=["open", "masked"],
)
def test_alone_and_together_are_what_they_are_here(four: Federated, estimator: Any, chain: Any) -> None:
    found = compared(four, estimator, chain=chain, scoring="accuracy")
    want = tk.compare(estimator, HERE, folds=2, scoring="accuracy", on=tk.Inline())
    for row in want.rows:
        mine = found[row.node]
        assert mine.rows == row.rows
        assert set(mine.scores) == {"alone", "together"}
        for variant, score in mine.scores.items():
            assert score.value == pytest.approx(row.scores[variant].value, abs=1e-9)
            assert score.low == pytest.approx(row.scores[variant].low, abs=1e-9)
        assert mine.gain is not None
        assert row.gain is not None
        assert mine.gain.high == pytest.approx(row.gain.high, abs=1e-9)
    assert "left out is not here" in str(found)


def test_a_score_of_few_rows_of_a_label_stays_at_the_site(four: Federated) -> None:
    found = compared(four, LogisticRegression())
    assert found.metric == "roc_auc"
    assert found["turku"].scores == {}
    assert found["turku"].verdict == ("turku has fewer than 5 rows of a label, so its scores stay there")
    assert set(found["bergen"].scores) == {"alone", "together"}


def test_the_same_call_gives_the_same_scores_again(four: Federated) -> None:
    one, two = (compared(four, make_pipeline(StandardScaler(), LogisticRegression(C=2.0))) for _ in range(2))
    assert one.to_dict() == two.to_dict()


def test_of_what_a_site_learns_alone_its_scores_leave_and_no_more(four: Federated) -> None:
    compared(four, LogisticRegression(C=0.5))
    sent = [entry.facts for entry in AuditLog(four.folder / "bergen").entries() if entry.event == "sent"]
    scores = [facts for facts in sent if facts.get("query") == "SiteScores"]
    assert scores
    assert all(facts["bytes"] < 1200 for facts in scores)


def test_a_scorer_that_sites_do_not_know_is_refused_before_they_decide(four: Federated) -> None:
    with pytest.raises(PlanError, match="Did you mean 'roc_auc'"):
        compared(four, LogisticRegression(), scoring="roc_acu")
    with pytest.raises(PlanError, match="cannot travel to the sites. Give the name of a scorer"):
        compared(four, LogisticRegression(), scoring=make_scorer(f1_score, pos_label=1))
    with pytest.raises(PlanError, match="chain= is for sites of a federation"):
        tk.compare(LogisticRegression(), HERE, chain=CHAIN)


@pytest.mark.parametrize(
    ("estimator", "chain"), [(Ridge(), None), (GaussianNB(), CHAIN)], ids=["open", "masked"]
)
def test_a_site_that_consents_is_forgotten_by_subtraction(
    four: Federated, estimator: Any, chain: Any
) -> None:
    on = tk.Federation(four.researcher)
    fit = tk.fit(estimator, tk.dataset("toy"), "y", chain=chain, on=on)
    left = fit.forget("lund")
    rest = {name: rows for name, rows in HERE.items() if name != "lund"}
    want = tk.fit(estimator, rest, on=tk.Inline())
    assert "were subtracted; no other node took part" in left.note
    assert left.schema.rows == want.schema.rows
    assert_same_fit(left.model, want.model)
    for name in rest:  # also where another one was before
        path = four.folder / name / "models" / f"{fitted(fit)[:12]}.talkoot"
        assert soon(lambda: is_model(path, left.model))  # noqa: B023
        entries = AuditLog(four.folder / name).entries(fitted(fit))
        assert "lund" in [entry.facts["site"] for entry in entries if entry.event == "consented"]
    if chain:
        with pytest.raises(Refused, match="fewer than 3 sites of the run .* would be left"):
            left.forget("oslo")
        return
    both = left.forget("oslo")
    del rest["oslo"]
    assert_same_fit(both.model, tk.fit(estimator, rest, on=tk.Inline()).model)


def is_model(path: Path, model: Any) -> bool:
    """Whether this model lies there."""
    return path.exists() and repr(vars(tk.load(path))) == repr(vars(model))


def assert_same_fit(found: Any, want: Any) -> None:
    for name, value in vars(want).items():
        if name.endswith("_") and isinstance(value, np.ndarray) and value.dtype.kind == "f":
            np.testing.assert_allclose(vars(found)[name], value, rtol=1e-7, atol=1e-9, err_msg=name)


def test_what_one_round_does_not_decide_is_fitted_again_by_the_others(four: Federated) -> None:
    on = tk.Federation(four.researcher)
    fit = tk.fit(LogisticRegression(tol=1e-8), tk.dataset("again"), "y", on=on)
    left = fit.forget("lund")
    rest = {name: rows for name, rows in HERE.items() if name != "lund"}
    want = tk.fit(LogisticRegression(tol=1e-8), rest, on=tk.Inline())
    np.testing.assert_allclose(left.model.coef_, want.model.coef_, rtol=1e-5, atol=1e-6)
    assert left.note == "the other nodes fitted again without 'lund', from the start"
    assert {node for outcome in left.history for node in outcome.arrived} == set(rest)


def test_under_masks_the_others_do_not_show_what_one_site_has_unless_it_consents(four: Federated) -> None:
    on, others = tk.Federation(four.researcher), {name: rows for name, rows in HERE.items() if name != "oslo"}
    fit = tk.fit(LogisticRegression(C=3.0, tol=1e-8), tk.dataset("third"), "y", chain=CHAIN, on=on)
    shards = on.shards(tk.dataset("third"), "y")
    three = tk.Shards({name: shards[name] for name in others}, target="y")
    with pytest.raises(Refused, match=r"would show what oslo alone has\. Propose it for the same sites"):
        tk.run(tk.Plan(tk.learner_for(Ridge()), chain=CHAIN), three, on=on)
    left = fit.forget("oslo")
    want = tk.fit(LogisticRegression(C=3.0, tol=1e-8), others, on=tk.Inline())
    np.testing.assert_allclose(left.model.coef_, want.model.coef_, rtol=1e-5, atol=1e-6)
    assert "fitted again without 'oslo'" in left.note
    for name in HERE:
        (entry,) = [
            entry
            for entry in AuditLog(four.folder / name).entries()
            if entry.event == "consented" and entry.facts["run"] == fitted(fit)
        ]
        assert entry.facts["site"] == "oslo"
    with pytest.raises(Refused, match="would show what oslo alone has"):  # it has consented for one run
        tk.fit(Ridge(), tk.dataset("third"), "y", chain=CHAIN, on=on)


def fitted(fit: tk.Fit) -> str:
    (run,) = [str(event["run"]) for event in fit.events if event["event"] == "proposed"]
    return run


@pytest.fixture
def unwilling(four: Federated) -> Iterator[Path]:
    folder = four.folder / "oslo"
    (folder / "policy.toml").write_text(POLICY.replace(', "forget"', ""))
    yield folder
    (folder / "policy.toml").write_text(POLICY)


def test_without_its_consent_nothing_is_subtracted(four: Federated, unwilling: Path) -> None:
    on = tk.Federation(four.researcher, purpose="unwilling")
    fit = tk.fit(Ridge(), tk.dataset("toy"), "y", chain=CHAIN, on=on)
    with pytest.raises(Refused, match=r"node 'oslo': the plan is refused.*the kind 'forget'") as refused:
        fit.forget("oslo")
    assert "leave it out of sites in coordinator.toml, and fit again; under masks the others refuse" in str(
        refused.value
    )
    desk = Desk(Identity.load(unwilling))
    run = run_to_forget(desk)
    assert [one.state for one in desk.journal.decisions(run)] == ["refused"]
    sent = [entry.facts["run"] for entry in AuditLog(unwilling).entries() if entry.event == "sent"]
    assert run not in sent


def run_to_forget(desk: Desk) -> str:
    proposed = [signed.proposal for signed, _ in desk.journal.proposals()]
    (run,) = [run_of(each) for each in proposed if b"unwilling" in each and from_bytes(each).kind == "forget"]
    return run
