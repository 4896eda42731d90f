"""What would leave, in words: true to the bytes that do leave, and readable."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sites import plan_of
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, RobustScaler, StandardScaler

import talkoot as tk
from talkoot.core.errors import TalkootError
from talkoot.core.run import work
from talkoot.core.shard import UNKNOWN
from talkoot.engines import inline
from talkoot.engines.federation.consent.content import content_of
from talkoot.engines.federation.consent.proposal import Proposal
from talkoot.engines.federation.consent.rehearsal import numbers_only, rehearse
from talkoot.engines.federation.consent.words import explain, to_text
from talkoot.formats.answers import answer_to_bytes
from talkoot.testing.toys import Walk

SITES = ("bergen", "lund", "oslo")


def words(
    estimator: Any,
    *,
    columns: int = 13,
    classes: int = 2,
    sites: tuple[str, ...] = SITES,
    rows: int | None = None,
    **more: Any,
) -> str:
    proposal = Proposal(
        dataset="claims",
        target="fraud",
        plan=plan_of(estimator),
        kind="fit",
        purpose="stroke study",
        permit="REK 2027/12",
        roster=dict.fromkeys(sites, "00"),
        researcher="ana",
        **more,
    )
    content = content_of(proposal, {})
    assert content.plan is not None
    sent = rehearse(content.plan, numbers_only(columns, classes, "fraud"), sites=len(sites))
    return to_text(explain(proposal, content, sent, rows=rows))


def test_a_logistic_regression_on_thirteen_columns() -> None:
    text = words(LogisticRegression(), until="2027-03-31")
    for part in (
        "Purpose: stroke study",
        "Permit: REK 2027/12",
        "Data set: claims, to predict the column 'fraud'",
        "Sites: bergen, lund, oslo",
        "Until: 2027-03-31",
        "The rows stay where they are.",
        "Before anything else: the names and types of the columns, the number of rows",
        "Round 1: one table of 14 x 14 = 196 sums (curve), one vector of 14 sums (gradient) and 3 single",
        "in each: one vector of 14 sums (gradient) and 2 single sums (weight, loss) (432 bytes)",
        "after 100 steps at the latest",
        "The sums are sent openly: the coordinator can read each site's, the researcher the total.",
    ):
        assert part in text
    assert "two sites" not in text


ESTIMATORS = [
    LogisticRegression(),
    LogisticRegression(solver="newton-cholesky"),
    Ridge(),
    PoissonRegressor(),
    StandardScaler(),
    PCA(n_components=2),
    GaussianNB(),
    make_pipeline(StandardScaler(), LogisticRegression(C=0.1)),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: str(e)[:40])
def test_sizes_are_those_of_the_bytes_that_leave(estimator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A real fit on other rows of the same columns sends the same arrays and as many bytes a round."""
    real: list[tuple[int, int, int]] = []

    def recorded(*given: Any) -> Any:
        update, state = work(*given)
        if given[2].name == "bergen":
            numbers = sum(int(np.size(value)) for value in update.values.values())
            real.append((given[4].index, numbers, len(answer_to_bytes(update))))
        return update, state

    monkeypatch.setattr(inline, "work", recorded)
    rng = np.random.default_rng(5)
    labels = isinstance(estimator, LogisticRegression | GaussianNB) or hasattr(estimator, "steps")
    data = {}
    for name in SITES:
        X = rng.normal(size=(150, 4))
        data[name] = (X, rng.integers(0, 2, 150) if labels else rng.poisson(np.exp(0.3 * X[:, 0])) + 0.5)
    fit = tk.fit(estimator, data, on=tk.Inline(), progress=False)
    sent = rehearse(fit.run.plan.agreed(UNKNOWN), numbers_only(4, 2 * labels, "y"), sites=3)
    expected = {(one.index, one.numbers, one.bytes) for one in sent if not one.query}
    seen = {one for one in real[1:] if one[0] < max(one.index for one in sent) + 1}
    assert {one[1:] for one in expected} == {one[1:] for one in seen}
    assert min(expected) == min(seen)


def test_what_depends_on_the_rows_is_named_for_what_it_is() -> None:
    text = words(RobustScaler(), classes=0)
    assert "how many values lie in a range" in text
    proposal_text = words(OneHotEncoder(), classes=0)
    assert "which categories there are" in proposal_text


def test_two_sites_have_no_secrets_from_each_other() -> None:
    assert "With two sites nothing is secure" in words(Ridge(), classes=0, sites=("bergen", "oslo"))


def test_few_rows_are_not_hidden_by_sums() -> None:
    text = words(Ridge(), classes=0, rows=120)
    assert "This site has 120 rows, and 226 numbers about them would leave in the trial." in text
    assert "This site has" not in words(Ridge(), classes=0, rows=100_000)
    assert "a sum over so few says much about each" in words(StandardScaler(), columns=2, classes=0, rows=19)


def test_a_method_of_the_sites_own_is_not_made_harmless() -> None:
    from talkoot.formats.plans import plan_to_bytes

    walk = Walk()
    plan = plan_to_bytes(tk.Plan(walk, chain=[tk.weigh("rows")], sync=tk.rounds(7)), registered={"net": walk})
    proposal = Proposal(
        dataset="claims",
        target=None,
        plan=plan,
        kind="fit",
        purpose="",
        permit="",
        roster=dict.fromkeys(SITES, "00"),
        researcher="ana",
    )
    text = to_text(explain(proposal, content_of(proposal, {"net": walk}), None))
    for part in (
        "Purpose: none is given",
        "The method: net.",
        "Sizes are not known",
        "At most 7 rounds.",
        "can betray single rows",
    ):
        assert part in text


def test_a_check_says_what_it_reads() -> None:
    proposal = Proposal(
        dataset="claims",
        target=None,
        plan=b"",
        kind="check",
        purpose="",
        permit="",
        roster=dict.fromkeys(SITES, "00"),
        researcher="ana",
    )
    text = to_text(explain(proposal, content_of(proposal, {}), None))
    assert "The sites' columns are compared" in text
    assert "read site by site" in text


def test_a_plan_that_cannot_be_run_on_such_columns_says_so() -> None:
    plan = tk.Plan(tk.learner_for(PCA(n_components=9)))
    with pytest.raises(TalkootError):
        rehearse(plan, numbers_only(2), sites=3)
