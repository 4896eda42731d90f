"""Scores from sums over nodes against scikit-learn's on the pooled rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from composing import SICK, TABLE, N, X, Y, classic, nodes
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, r2_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.svm import LinearSVC

import talkoot as tk
from talkoot.core.merge import Gather
from talkoot.learners.score import Score, score_of, scores_of

W = np.random.default_rng(1).uniform(0.1, 2.0, N)
GRADES = np.array(["high", "low", "mid"])[np.digitize(Y, [0, 2])]


def scored(model: Any, data: Any, **score: Any) -> Any:
    return tk.fit(Score(model, **score), data).model


@pytest.mark.parametrize("count", [1, 2, 7])
def test_a_classifier_s_scores_equal_the_pooled_ones(count: int) -> None:
    model = LogisticRegression().fit(X, GRADES)
    got = scored(model, nodes(X, GRADES, count))
    assert got["accuracy"] == pytest.approx(accuracy_score(GRADES, model.predict(X)), rel=1e-12)
    assert got["log_loss"] == pytest.approx(log_loss(GRADES, model.predict_proba(X)), rel=1e-9)


def test_a_regressor_s_r2_equals_the_pooled_one_far_from_zero() -> None:
    y = Y + 1e8
    model = Ridge().fit(X, y)
    assert scored(model, nodes(X, y, 3)) == {"r2": pytest.approx(r2_score(y, model.predict(X)), rel=1e-6)}


def test_several_outputs_count_alike() -> None:
    both = np.column_stack([Y, X[:, 0] ** 2])
    model = LinearRegression().fit(X, both)
    assert scored(model, nodes(X, both, 3))["r2"] == pytest.approx(r2_score(both, model.predict(X)), rel=1e-9)


def test_weights_count() -> None:
    parts = np.array_split(np.arange(N), 3)
    model = LogisticRegression().fit(X, GRADES)
    got = scored(model, {f"n{i}": (X[p], GRADES[p], W[p]) for i, p in enumerate(parts)})
    assert got["accuracy"] == pytest.approx(accuracy_score(GRADES, model.predict(X), sample_weight=W))
    assert got["log_loss"] == pytest.approx(log_loss(GRADES, model.predict_proba(X), sample_weight=W))
    ridge = Ridge().fit(X, Y)
    got = scored(ridge, {f"n{i}": (X[p], Y[p], W[p]) for i, p in enumerate(parts)})
    assert got["r2"] == pytest.approx(r2_score(Y, ridge.predict(X), sample_weight=W))


def test_a_class_that_the_model_never_saw_is_missed_and_clipped() -> None:
    known = GRADES != "mid"
    model = LogisticRegression().fit(X[known], GRADES[known])
    got = scored(model, nodes(X, GRADES, 3))
    assert got["accuracy"] == pytest.approx(accuracy_score(GRADES, model.predict(X)))
    full = np.zeros((N, 3))
    full[:, [0, 1]] = model.predict_proba(X)
    assert got["log_loss"] == pytest.approx(log_loss(GRADES, full, labels=["high", "low", "mid"]))


def test_a_class_that_the_rows_lack_may_still_be_predicted() -> None:
    model = LogisticRegression().fit(X, GRADES)
    some = GRADES != "high"
    got = scored(model, {"only": (X[some], GRADES[some])})
    assert got["accuracy"] == pytest.approx(accuracy_score(GRADES[some], model.predict(X[some])))


def test_without_probabilities_there_is_no_log_loss() -> None:
    assert scored(LinearSVC().fit(X, GRADES), nodes(X, GRADES, 2)).keys() == {"accuracy"}


def test_a_composition_of_text_and_numbers_is_scored_as_it_predicts() -> None:
    model = make_pipeline(classic(), LogisticRegression()).fit(TABLE, SICK)
    got = scored(model, nodes(TABLE, SICK, 3))
    assert got["accuracy"] == pytest.approx(accuracy_score(SICK, model.predict(TABLE)))
    assert got["log_loss"] == pytest.approx(log_loss(SICK, model.predict_proba(TABLE)))


def test_functions_of_frames_are_scored_too() -> None:
    rows = pd.DataFrame(X, columns=list("abcde"))
    frame = FunctionTransformer(lambda table: table[["a", "b"]])
    model = make_pipeline(frame, make_pipeline(StandardScaler(), Ridge())).fit(rows, Y)
    assert scored(model, nodes(rows, Y, 2))["r2"] == pytest.approx(model.score(rows, Y))


def test_nodes_can_be_kept_apart() -> None:
    model = Ridge().fit(X, Y)
    data = nodes(X, Y, 3)
    got = scored(model, data, apart=True)
    assert got.keys() == {"n0", "n1", "n2"}  # the empty node has no score
    for node, scores in got.items():
        assert scores["r2"] == pytest.approx(model.score(*data[node]))


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.sets(st.sampled_from(["n0", "n1", "n2", "n3"]), min_size=1))
def test_sums_of_any_nodes_give_the_score_of_their_rows(chosen: set[str]) -> None:
    data = nodes(X, GRADES, 4)
    model = LogisticRegression().fit(X, GRADES)
    run = tk.fit(Score(model, apart=True), data).run
    each = Gather.split(run.update)
    total = {leaf: sum(each[node][leaf] for node in chosen) for leaf in ("rows", "hits", "loss")}
    rows = np.concatenate([data[node][0] for node in sorted(chosen)])
    labels = np.concatenate([data[node][1] for node in sorted(chosen)])
    assert score_of(total, "accuracy") == pytest.approx(model.score(rows, labels))


def test_a_target_that_does_not_vary_is_met_or_not() -> None:
    flat = np.full(N, 3.0)
    assert scored(DummyRegressor().fit(X, flat), nodes(X, flat, 2)) == {"r2": 1.0}
    assert scored(Ridge().fit(X, Y), nodes(X, flat, 2)) == {"r2": 0.0}


def test_no_rows_no_score() -> None:
    assert np.isnan(score_of({}, "accuracy"))
    assert scores_of({}) == {}
    with pytest.raises(ValueError, match="no score is called 'f1'"):
        score_of({"rows": np.ones(1)}, "f1")


def test_what_predicts_nothing_is_refused() -> None:
    with pytest.raises(tk.NotDistributable, match="StandardScaler predicts nothing"):
        scored(StandardScaler().fit(X), X)


def test_a_target_is_needed() -> None:
    with pytest.raises(tk.DataError, match="target"):
        scored(Ridge().fit(X, Y), X)
