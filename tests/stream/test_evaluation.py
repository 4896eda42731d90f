"""Prequential scores are scikit-learn's over the same rows, beside baselines, however rows are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

import talkoot as tk
from examples import examples
from talkoot.learners.online.state import State, equal

rng = np.random.default_rng(5)
P = rng.beta(0.5, 3, 3000)
Y = (rng.random(3000) < P) * 1.0


def evaluated(evaluation: tk.Evaluation, y: np.ndarray, p: np.ndarray, classes: int) -> State:
    state = evaluation.start(classes)
    evaluation.update(state, y, p)
    return state


def test_two_classes_score_as_scikit_learn_says() -> None:
    evaluation = tk.Evaluation(windows=(500, 2000))
    found = evaluation.scores(evaluated(evaluation, Y, P, 2))
    for window, rows in (("last 500", 500), ("last 2000", 2000), ("all", 3000)):
        y, p = Y[-rows:], P[-rows:]
        mine = found[window]["model"]
        assert mine["log_loss"] == pytest.approx(metrics.log_loss(y, p))
        assert mine["brier"] == pytest.approx(metrics.brier_score_loss(y, p))
        assert mine["accuracy"] == pytest.approx(metrics.accuracy_score(y, p > 0.5))
        assert mine["kappa"] == pytest.approx(metrics.cohen_kappa_score(y, p > 0.5))
        assert mine["roc_auc"] == pytest.approx(metrics.roc_auc_score(y, p), abs=0.003)
        last = found[window]["last label"]
        assert last["accuracy"] == pytest.approx(
            (y == np.concatenate([[0.0], Y])[:-1][-rows:]).mean(), abs=1e-3
        )
        assert found[window]["majority"]["accuracy"] == pytest.approx(1 - y.mean(), abs=0.01)


def test_several_classes_and_numbers_score_as_scikit_learn_says() -> None:
    wide = rng.dirichlet([1, 1, 1], 800)
    y = np.array([rng.choice(3, p=row) for row in wide]) * 1.0
    evaluation = tk.Evaluation(windows=(100,))
    mine = evaluation.scores(evaluated(evaluation, y, wide, 3))["last 100"]["model"]
    assert mine["log_loss"] == pytest.approx(metrics.log_loss(y[-100:], wide[-100:], labels=[0, 1, 2]))
    assert mine["kappa"] == pytest.approx(metrics.cohen_kappa_score(y[-100:], wide[-100:].argmax(1)))
    values = rng.normal(5, 2, 800)
    guess = values + rng.normal(size=800)
    found = evaluation.scores(evaluated(evaluation, values, guess, 0))["last 100"]
    assert found["model"]["mae"] == pytest.approx(metrics.mean_absolute_error(values[-100:], guess[-100:]))
    assert found["model"]["rmse"] == pytest.approx(
        metrics.root_mean_squared_error(values[-100:], guess[-100:])
    )
    assert found["model"]["r2"] == pytest.approx(metrics.r2_score(values[-100:], guess[-100:]))
    assert found["mean"]["r2"] == pytest.approx(0, abs=0.1)
    assert found["last value"]["rmse"] > found["mean"]["rmse"]


def test_fading_windows_weigh_by_age() -> None:
    evaluation = tk.Evaluation(windows=(), fading=(0.5, 0.99))
    found = evaluation.scores(evaluated(evaluation, Y, P, 2))
    for keep in (0.5, 0.99):
        weights = keep ** np.arange(len(Y))[::-1]
        expected = np.average((P > 0.5) == Y, weights=weights)
        assert found[f"fading {keep}"]["model"]["accuracy"] == pytest.approx(expected)


@given(cuts=st.lists(st.integers(0, 300), max_size=6), classes=st.sampled_from([0, 2, 3]))
@examples(60)
def test_cuts_do_not_matter(cuts: list[int], classes: int) -> None:
    evaluation = tk.Evaluation(windows=(7, 50))
    y = Y[:300] if classes == 2 else np.arange(300.0) % (classes or 7)
    p = P[:300] if classes != 3 else np.column_stack([P, 1 - P, 0 * P])[:300]
    whole, parts = evaluated(evaluation, y, p, classes), evaluation.start(classes)
    for low, high in zip([0, *sorted(cuts)], [*sorted(cuts), 300], strict=True):
        evaluation.update(parts, y[low:high], p[low:high])
    assert equal(whole, parts)


def test_nodes_add_up() -> None:
    evaluation = tk.Evaluation(windows=(500,))
    one, other = (
        evaluated(evaluation, Y[:500], P[:500], 2),
        evaluated(evaluation, Y[500:1000], P[500:1000], 2),
    )
    both = {name: sums + evaluation.sums(other)[name] for name, sums in evaluation.sums(one).items()}
    mine = evaluation.scores(one, both)["last 500"]["model"]
    assert mine["log_loss"] == pytest.approx(metrics.log_loss(Y[:1000], P[:1000]))
    assert mine["roc_auc"] == pytest.approx(metrics.roc_auc_score(Y[:1000], P[:1000]), abs=0.003)


def test_a_late_label_is_measured_against_the_label_that_was_known() -> None:
    evaluation = tk.Evaluation(windows=(4,))
    state = evaluation.start(2)
    evaluation.update(
        state, np.array([0.0, 1.0, 0.0, 1.0]), np.full(4, 0.5), last=np.array([0.0, 1.0, 0.0, 1.0])
    )
    assert evaluation.scores(state)["last 4"]["last label"]["accuracy"] == 1.0
    assert evaluation.last(state) == 1.0


def test_a_corrected_label_counts_anew() -> None:
    evaluation = tk.Evaluation(windows=(4,))
    state = evaluation.start(2)
    evaluation.update(state, np.zeros(4), np.full(4, 0.9), positions=np.arange(10, 14))
    evaluation.correct(state, np.ones(2), np.zeros(2), np.array([12, 99]))
    assert evaluation.scores(state)["last 4"]["model"]["accuracy"] == 0.25


def test_what_cannot_be_measured_is_refused_and_a_new_class_begins_anew() -> None:
    evaluation = tk.Evaluation(windows=(4,))
    state = evaluation.start(2)
    for y, p in ((2.0, 0.5), (0.5, 0.5), (np.nan, 0.5), (1.0, np.nan)):
        with pytest.raises(tk.DataError):
            evaluation.update(state, np.array([y]), np.array([p]))
    evaluation.update(state, np.ones(1), np.ones(1))
    evaluation.widen(state, 3)
    evaluation.update(state, np.array([2.0]), np.array([[0.1, 0.2, 0.7]]))
    assert evaluation.scores(state)["last 4"]["model"]["accuracy"] == 1.0
    assert evaluation.scores(evaluation.start(2))["all"]["model"] == {}
    with pytest.raises(tk.PlanError, match="at least one row"):
        tk.Evaluation(windows=(0,))
