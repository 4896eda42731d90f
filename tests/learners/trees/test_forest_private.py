"""The private names of scikit-learn's forests are those of the installed version."""

from __future__ import annotations

import inspect

import numpy as np
import sklearn
from boosted import table
from sklearn.ensemble import IsolationForest, RandomForestClassifier

from talkoot.learners.trees.forests import forest_private as private

CAUSE = f"scikit-learn {sklearn.__version__} moved it; mend learners/trees/forests/forest_private.py"
X, Y = table(80, missing=0)


def test_the_seeds_of_trees_are_drawn_one_after_the_other() -> None:
    want = [tree.random_state for tree in RandomForestClassifier(5, random_state=7).fit(X, Y > 0)]
    assert private.tree_seeds(7, 5).tolist() == want, CAUSE
    late = RandomForestClassifier(2, random_state=private.random_state_at(7, 3)).fit(X, Y > 0)
    assert [tree.random_state for tree in late] == want[3:], CAUSE


def test_a_forest_holds_what_is_left_out() -> None:
    fitted = RandomForestClassifier(2).fit(X, Y > 0)
    assert set(private.OF_ROWS) <= vars(fitted).keys(), CAUSE
    source = inspect.getsource(RandomForestClassifier._get_estimators_indices)
    assert "self._n_samples" in source, CAUSE
    assert not hasattr(private.without_rows(fitted), "estimators_samples_"), CAUSE
    fitted.predict_proba(X)


def test_an_isolation_forest_holds_what_is_replaced() -> None:
    fitted = IsolationForest(n_estimators=3, random_state=0).fit(X)
    names = ("_max_samples", "_seeds", "_average_path_length_per_tree", "_decision_path_lengths")
    for name in (*names, "_score_samples", "_fit"):
        assert hasattr(fitted, name), f"{name}: {CAUSE}"
    before = [np.concatenate(getattr(fitted, name)) for name in names[2:]]
    scores = private.isolation_scores(fitted, X.astype(np.float32))
    parts = fitted.estimators_, fitted.estimators_features_
    made = private.with_isolating_trees(fitted, *parts, 0, fitted._max_samples)
    for name, want in zip(names[2:], before, strict=True):
        np.testing.assert_array_equal(np.concatenate(getattr(made, name)), want, err_msg=CAUSE)
    np.testing.assert_array_equal(made.score_samples(X), scores, err_msg=CAUSE)
    assert not hasattr(made, "estimators_samples_"), CAUSE
