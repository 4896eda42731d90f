"""Law 4 for `tk.compare` where only bytes reach the nodes: its views and queries travel, and no others do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from sklearn.base import is_classifier, is_regressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import f1_score, make_scorer
from test_engines_agree import made

import talkoot as tk
from documented import only_bytes
from talkoot.core.errors import DataError, PlanError
from talkoot.core.plan import Plan
from talkoot.data.schema import Bind, agree_on
from talkoot.formats.frames import from_bytes, to_bytes
from talkoot.formats.plans import placement_from_bytes, placement_to_bytes
from talkoot.learners import catalogue, learner_for
from talkoot.learners.held_out.folds import Folds, TrainingRows
from talkoot.learners.held_out.site_scores import score_at_sites

rng = np.random.default_rng(7)
X = rng.integers(0, 4, size=(180, 4)).astype(float)
SCORE = X @ [0.5, -0.25, 0.125, 0.0] + rng.normal(size=180)
CUTS = {"few": slice(0, 30), "some": slice(30, 90), "many": slice(90, 180)}
FAMILIES = {
    "Ridge",
    "LogisticRegression",
    "GaussianNB",
    "ExtraTreesRegressor",
    "HistGradientBoostingClassifier",
}
PREDICT = [  # fitted models of others than scikit-learn are not trusted where bytes alone reach the nodes
    pytest.param(made(kind), marks=[] if kind.__name__ in {*FAMILIES, "Pipeline"} else pytest.mark.slow)
    for kind in catalogue()
    if kind.__module__.startswith("sklearn.")
    and (is_classifier(made(kind)) or is_regressor(made(kind)) or kind.__name__ == "Pipeline")
]


def rows(estimator: Any) -> dict[str, Any]:
    y = (np.median(SCORE) < SCORE).astype(int) if hasattr(estimator, "classes_") else np.exp(0.3 * SCORE)
    labels = is_classifier(estimator) or type(estimator).__name__ == "Pipeline"
    y = (np.median(SCORE) < SCORE).astype(int) if labels else y
    return {node: (X[cut], y[cut]) for node, cut in CUTS.items()}


@pytest.mark.parametrize("estimator", PREDICT, ids=lambda one: type(one).__name__)
def test_bytes_do_not_change_comparisons(estimator: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkoot.api.compare.fold_fits._groups", lambda *_: 0)  # nodes train one by one
    found, want = (
        tk.compare(estimator, rows(estimator), folds=2, on=engine) for engine in (only_bytes(), tk.Inline())
    )
    assert found.to_dict() == want.to_dict()
    assert all(row.scores for row in want.rows)


@pytest.mark.parametrize("estimator", PREDICT, ids=lambda one: type(one).__name__)
def test_what_sites_score_by_themselves_is_what_is_scored_here(estimator: Any) -> None:
    data, splits = tk.shards(rows(estimator)), (Folds(count=2), Folds(count=2, seed=1))
    want = tk.compare(estimator, rows(estimator), folds=2, repeats=2, on=tk.Inline())
    with only_bytes().open(data) as nodes:
        labels = want.metric != "r2"
        view = agree_on(nodes, labels=labels)
        found = score_at_sites(nodes, Plan(learner_for(estimator)), view, splits, want.metric)
    for row in want.rows:
        here = [row.scores["alone"].value, row.scores["together"].value]
        np.testing.assert_allclose(found[row.node]["scores"], here, rtol=1e-6, atol=1e-9)
        assert found[row.node]["rows"][0] == row.rows


def test_a_scorer_without_a_name_does_not_travel() -> None:
    scorer = make_scorer(f1_score, pos_label=1)
    with pytest.raises(PlanError, match="cannot be imported by a name, so it cannot travel"):
        tk.compare(LogisticRegression(), rows(LogisticRegression()), folds=2, scoring=scorer, on=only_bytes())


def test_views_are_a_closed_set() -> None:
    plan = Plan(learner_for(Ridge()))
    with tk.Inline().open(tk.shards(rows(Ridge()))) as nodes:
        bound = agree_on(nodes)
    training = TrainingRows(view=bound, folds=Folds(count=3, seed=5), fold=2, index=(0, -1, 1))
    _, found = placement_from_bytes(placement_to_bytes(plan, training))
    assert isinstance(found, TrainingRows)
    assert (found.folds, found.fold, found.index) == (training.folds, 2, (0, -1, 1))
    _, again = placement_from_bytes(
        placement_to_bytes(plan, replace(training, view=replace(bound, key="other")))
    )
    _, plain = placement_from_bytes(placement_to_bytes(plan, bound))
    assert isinstance(found.view, Bind)
    assert isinstance(again, TrainingRows)
    assert isinstance(plain, Bind)
    assert found.view.key == again.view.key == plain.key != bound.key  # type: ignore[attr-defined]
    for odd in (lambda shard: shard, replace(training, view=training)):
        with pytest.raises(PlanError, match="a view of rows by .* cannot travel. Keep to views"):
            placement_to_bytes(plan, odd)


def test_a_view_that_was_tampered_with_is_refused() -> None:
    plan = Plan(learner_for(Ridge()))
    with tk.Inline().open(tk.shards(rows(Ridge()))) as nodes:
        bound = agree_on(nodes)
    frame = placement_to_bytes(plan, TrainingRows(view=bound, folds=Folds(count=3), fold=2))
    data, buffers = from_bytes(frame)
    for change, why in (
        ({"name": "Relabel", "fields": {"index": []}}, "'Relabel' is no type that may travel"),
        ({"fields": {**data["view"]["fields"], "view": None}}, "the view is a TrainingRows"),
        ({"fields": {**data["view"]["fields"], "view": data["view"]}}, "the view is a TrainingRows"),
        ({"name": "Folds", "fields": {"count": 3}}, "the view is a Folds"),
        ({"name": "Folds", "fields": {"count": 10**12}}, "folds=1000000000000"),
    ):
        with pytest.raises((DataError, PlanError), match=why):
            placement_from_bytes(to_bytes({**data, "view": {**data["view"], **change}}, buffers))
