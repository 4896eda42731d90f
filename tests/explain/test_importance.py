"""Permutation importance over nodes: scikit-learn's on one node, and sums of several."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import is_classifier
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.inspection import permutation_importance
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import get_scorer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC

import talkoot as tk
from talkoot.core.plan import Plan
from talkoot.formats.plans import plan_from_bytes, plan_to_bytes
from talkoot.learners.explain.permuted import PermutedScores, node_seed, permutations

RNG = np.random.default_rng(2)
X = RNG.normal(size=(240, 4))
Y = 2 * X[:, 0] - X[:, 1] + 0.3 * RNG.normal(size=240)
KINDS = np.array(["high", "low", "mid"])[np.digitize(Y, [-1, 1])]
CASES: dict[str, tuple[Any, Any, str | None]] = {
    "numbers": (LinearRegression(), Y, None),
    "trees": (HistGradientBoostingRegressor(max_iter=5), Y, "r2"),
    "several targets": (LinearRegression(), np.stack([Y, X[:, 2]], axis=1), "r2"),
    "labels": (LogisticRegression(), KINDS, "accuracy"),
    "truth": (HistGradientBoostingClassifier(max_iter=5), Y > 0, None),
    "chances": (make_pipeline(StandardScaler(), LogisticRegression()), KINDS, "neg_log_loss"),
    "margins": (LinearSVC(), Y > 0, None),
}


@pytest.mark.parametrize("case", CASES)
def test_on_one_node_it_is_scikit_learns(case: str) -> None:
    estimator, y, scoring = CASES[case]
    model = estimator.fit(X, y)
    found = tk.explain.importance(model, X, y, scoring=scoring, seed=7, repeats=3)
    want = permutation_importance(
        model, X, y, scoring=scoring, n_repeats=3, random_state=node_seed(7, "node0")
    )
    for name in ("importances", "importances_mean", "importances_std"):
        np.testing.assert_allclose(getattr(found, name), want[name], atol=1e-12, rtol=0)
    np.testing.assert_allclose(found.score, get_scorer(found.scoring)(model, X, y), atol=1e-12)
    if found.scoring == "accuracy":
        assert found.scoring == "accuracy"
        assert is_classifier(model)
        assert (found.importances == want["importances"]).all()


def test_weights_count_as_in_scikit_learn() -> None:
    w = RNG.integers(0, 4, len(X)).astype(float)
    model = LogisticRegression().fit(X, KINDS)
    data = tk.shards(X, KINDS, weight=w)
    found = tk.explain.importance(model, data)
    want = permutation_importance(model, X, KINDS, sample_weight=w, random_state=node_seed(0, "node0"))
    np.testing.assert_allclose(found.importances, want["importances"], atol=1e-12)


@pytest.mark.parametrize("engine", [tk.Inline(threads=3), tk.Local(2)])
def test_values_are_permuted_within_their_node(engine: Any) -> None:
    model = LogisticRegression().fit(X, KINDS)
    parts = {"one": slice(0, 50), "two": slice(50, 51), "three": slice(51, 240), "none": slice(0, 0)}
    data = {node: (X[part], KINDS[part]) for node, part in parts.items()}
    found = tk.explain.importance(model, data, repeats=2, seed=3, on=engine)
    orders = {node: [*permutations(len(X[part]), 2, node_seed(3, node))] for node, part in parts.items()}
    for j in range(4):
        for repeat in range(2):
            moved = X.copy()
            for node, part in parts.items():
                moved[part, j] = X[part][orders[node][repeat], j]
            want = model.score(X, KINDS) - model.score(moved, KINDS)
            assert found.importances[j, repeat] == pytest.approx(want, abs=1e-12)


def test_permutations_are_orders_of_all_rows_and_differ() -> None:
    one, two = permutations(30, 2, 0)
    assert sorted(one.tolist()) == sorted(two.tolist()) == list(range(30))
    assert one.tolist() != two.tolist()
    assert node_seed(0, "a") != node_seed(0, "b")
    assert node_seed(0, "a") != node_seed(1, "a")


def test_columns_of_frames_may_hold_text() -> None:
    frame = pd.DataFrame({"size": X[:, 0], "colour": KINDS, "noise": X[:, 3]})
    y = X[:, 0] + 3.0 * (KINDS == "low")
    encode = make_column_transformer((OneHotEncoder(), ["colour"]), remainder="passthrough")
    model = make_pipeline(encode, LinearRegression()).fit(frame, y)
    found = tk.explain.importance(model, frame.assign(y=y), "y", repeats=3)
    want = permutation_importance(model, frame, y, n_repeats=3, random_state=node_seed(0, "node0"))
    np.testing.assert_allclose(found.importances, want["importances"], atol=1e-12)
    assert str(found).splitlines()[2].startswith("colour")
    assert list(found.to_dict()) == ["size", "colour", "noise"]


@pytest.mark.parametrize("codes", [["nurse", "clerk", "cook"], [1, 2, 3]])
def test_categories_of_boosted_trees_may_be_text_or_numbers(codes: list[Any]) -> None:
    frame = pd.DataFrame({"size": X[:, 0], "job": np.array(codes)[np.digitize(Y, [-1, 1])]})
    y = (X[:, 0] > 0) ^ (frame["job"] == codes[2])
    model = HistGradientBoostingClassifier(max_iter=9, categorical_features=["job"]).fit(frame, y)
    found = tk.explain.importance(model, frame.assign(y=y), "y")
    want = permutation_importance(model, frame, y, random_state=node_seed(0, "node0"))
    assert (found.importances == want["importances"]).all()
    assert found.importances_mean.min() > 0.1


def test_rows_and_model_stay_as_they_were() -> None:
    rows, model = X.copy(), LogisticRegression().fit(X, KINDS)
    tk.explain.importance(model, rows, KINDS, repeats=1)
    assert (rows == X).all()
    assert (model.predict(X) == LogisticRegression().fit(X, KINDS).predict(X)).all()


FRAME = pd.DataFrame(X, columns=list("abcd")).assign(y=Y)
NAMED = LinearRegression().fit(FRAME[list("abcd")], Y)


@pytest.mark.parametrize(
    ("data", "target", "why"),
    [
        (FRAME[["a", "c", "b", "d", "y"]], "y", "they have 'c' where it has 'b'"),
        (FRAME.rename(columns={"b": "z"}), "y", "they have 'z' besides and they lack 'b'"),
        (FRAME[list("abcd")], None, "learns from a target"),
        (X[:, :2], Y, "the rows have 2 columns, and LinearRegression reads 4"),
        (csr_array(X), Y, "sparse"),
        (X[:0], Y[:0], "no"),
        (
            FRAME.assign(b=np.nan),
            "y",
            "node 'node0'.*LinearRegression cannot predict these rows: Input X contains NaN",
        ),
    ],
)
def test_rows_that_the_model_does_not_know_are_refused(data: Any, target: Any, why: str) -> None:
    with pytest.raises(tk.DataError, match=why):
        tk.explain.importance(NAMED, data, target)


@pytest.mark.parametrize(
    ("model", "options", "why"),
    [
        (
            LinearRegression().fit(X, Y),
            {"scoring": "accuracy"},
            r"scoring='accuracy' is no score .* Take 'r2'",
        ),
        (LinearRegression().fit(X, Y), {"scoring": "neg_mean_squared_error"}, "Take 'r2'"),
        (LogisticRegression().fit(X, Y > 0), {"scoring": "roc_auc"}, "Take 'accuracy' or 'neg_log_loss'"),
        (LinearSVC().fit(X, Y > 0), {"scoring": "neg_log_loss"}, "Take 'accuracy'"),
        (LinearRegression(), {}, "LinearRegression is not fitted"),
        (StandardScaler().fit(X), {}, "StandardScaler is no fitted classifier or regressor"),
        (LinearRegression, {}, "LinearRegression is no fitted"),
        (None, {}, "NoneType is no fitted"),
        (tk.fit(LinearRegression(), X, Y), {}, r"Pass its model: fit\.model"),
    ],
)
def test_what_cannot_be_scored_is_refused(model: Any, options: dict[str, Any], why: str) -> None:
    y = Y > 0 if hasattr(model, "classes_") else Y
    with pytest.raises(tk.PlanError, match=why):
        tk.explain.importance(model, X, y, **options)


def test_columns_without_names_are_those_at_their_place_with_a_warning() -> None:
    named, bare = pytest.warns(UserWarning, match="only the columns of"), LinearRegression().fit(X, Y)
    with named:
        one = tk.explain.importance(NAMED, X, Y)
    with named:
        two = tk.explain.importance(bare, FRAME, "y")
    assert one.importances == pytest.approx(two.importances, abs=1e-12)
    assert (one.columns, two.columns) == (("x0", "x1", "x2", "x3"), tuple("abcd"))


def test_labels_that_the_model_never_learned_are_refused() -> None:
    model = LogisticRegression().fit(X, KINDS)
    with pytest.raises(tk.DataError, match=r"the labels are \[0, 1\], and LogisticRegression predicts"):
        tk.explain.importance(model, X, (Y > 0).astype(int))


def test_sites_of_a_federation_answer_no_such_query() -> None:
    with pytest.raises(tk.PlanError, match="no query that the sites of a federation answer"):
        tk.explain.importance(NAMED, tk.dataset("patients"), "y")
    plan = Plan(PermutedScores(estimator=NAMED))
    with pytest.raises(tk.PlanError, match="PermutedScores is no part that Talkoot knows"):
        plan_to_bytes(plan)
    forged = plan_to_bytes(plan, registered={"PermutedScores": PermutedScores})
    with pytest.raises(tk.DataError):
        plan_from_bytes(forged)
