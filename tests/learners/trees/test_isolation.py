"""IsolationForest over nodes: scikit-learn's own trees, and a threshold of all rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import IsolationForest
from test_forests import assert_same

import talkoot as tk

RNG = np.random.default_rng(0)
X = RNG.normal(size=(700, 4))
X[::50] *= 4
WEIGHTS = RNG.random(700)
PARTS = {"a": X[:300], "b": X[300:320], "c": X[320:]}
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "count": {"max_samples": 50, "max_features": 2},
    "share": {"max_samples": 0.3, "bootstrap": True},
    "threshold": {"contamination": 0.037},
    "more than there are": {"max_samples": 2000, "contamination": 0.1},
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_the_forest_of_one_node_is_scikit_learns(kind: str, weighted: bool) -> None:
    estimator = IsolationForest(n_estimators=7, random_state=5, **KINDS[kind])
    w = WEIGHTS if weighted else None
    got, want = tk.fit(clone(estimator), X, weight=w).model, estimator.fit(X, sample_weight=w)
    assert_same(got, want, X)
    assert (got.offset_, got.max_samples_) == (want.offset_, want.max_samples_)
    np.testing.assert_array_equal(got.predict(X), want.predict(X))
    for ours, theirs in zip(got.estimators_features_, want.estimators_features_, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_threshold_is_a_percentile_of_the_scores_of_all_rows(tmp_path: Path) -> None:
    estimator = IsolationForest(n_estimators=9, contamination=0.05)
    with pytest.warns(UserWarning, match="the rows of 'b' are in no tree, as they are fewer than the 256"):
        fit = tk.fit(estimator, PARTS, on=tk.Inline())
    assert fit.model.max_samples_ == 256
    assert fit.model.offset_ == np.percentile(fit.model.score_samples(X), 5)
    with pytest.warns(UserWarning, match="no tree"):
        assert_same(tk.fit(estimator, PARTS, on=tk.Local(2)).model, fit.model, X)
    loaded = tk.load(fit.save(tmp_path / "isolation.talkoot"))
    assert_same(loaded, fit.model, X)


def test_trees_have_as_many_rows_where_nodes_are_small() -> None:
    parts = {f"n{i}": X[20 * i : 20 * i + 20] for i in range(9)} | {"tiny": X[:3], "empty": X[:0]}
    with pytest.warns(UserWarning, match="the rows of 'tiny' are in no tree"):
        model = tk.fit(IsolationForest(n_estimators=18, random_state=0), parts).model
    assert model.max_samples_ == 20
    assert {int(tree.tree_.n_node_samples[0]) for tree in model} == {20}
    outliers = np.abs(X).max(axis=1)
    assert np.corrcoef(model.score_samples(X), outliers)[0, 1] < -0.5
