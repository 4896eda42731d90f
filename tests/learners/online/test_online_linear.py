"""Linear models: River's numbers, sensible settings, categories and classes that are new."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from online_models import known, learn, log_loss

import talkoot as tk
from talkoot.core.errors import PlanError
from talkoot.learners.online.features import Features, Layout
from talkoot.testing.streams import hyperplane, led, random_tree

on = tk.online


def numbers(x: np.ndarray[Any, Any]) -> Features:
    return Features(np.ascontiguousarray(x), np.empty((len(x), 0), np.uint64))


@pytest.mark.wide
@pytest.mark.parametrize(
    ("ours", "theirs", "l2"),
    [(on.SGD(0.02), ("SGD", 0.02), 1e-3), (on.AdaGrad(0.1), ("AdaGrad", 0.1), 0.0)],
    ids=["sgd", "adagrad"],
)
def test_predictions_equal_rivers_over_100_000_rows(ours: Any, theirs: tuple[str, float], l2: float) -> None:
    from river import linear_model, optim

    layout, rows, y = known(hyperplane(100_000, seed=4, noise=0.1), 2)
    model = on.Logistic(ours, l2=l2, intercept=0.01, scale=False)
    got = learn(model, layout, rows, y)[1]
    river: Any = linear_model.LogisticRegression(
        getattr(optim, theirs[0])(theirs[1]), l2=l2, intercept_lr=0.01
    )
    expected = np.empty(len(y))
    for i, (x, label) in enumerate(zip(rows.numbers.tolist(), y.tolist(), strict=True)):
        row = dict(enumerate(x))
        expected[i] = river.predict_proba_one(row)[True]
        river.learn_one(row, bool(label))
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)


def test_ftrl_is_the_published_one() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(300, 2)), (rng.random(300) < 0.3).astype(float)
    model = on.Logistic(on.FTRL(0.1, beta=1.0, l1=0.5, l2=0.2), intercept=False, scale=False)
    got = learn(model, Layout(("a", "b"), (), 2), numbers(x), y)[1]
    z, n = np.zeros(2), np.zeros(2)
    for i in range(300):
        w = np.where(abs(z) <= 0.5, 0, -(z - np.sign(z) * 0.5) / ((1 + np.sqrt(n)) / 0.1 + 0.2))
        p = 1 / (1 + np.exp(-w @ x[i]))
        assert got[i] == pytest.approx(p, abs=1e-12)
        g = (p - y[i]) * x[i]
        z += g - (np.sqrt(n + g**2) - np.sqrt(n)) / 0.1 * w
        n += g**2


def test_scales_and_offsets_of_columns_do_not_matter() -> None:
    layout, rows, y = known(hyperplane(5000, seed=1), 2)
    moved = numbers(rows.numbers * 10.0 ** np.arange(-5, 5) + 3 * 10.0 ** np.arange(-5, 5))
    one = learn(on.Logistic(), layout, rows, y)[1]
    other = learn(on.Logistic(), layout, moved, y)[1]
    np.testing.assert_allclose(other, one, atol=1e-6)


def test_categories_are_learned_from_their_texts() -> None:
    layout, rows, y = known(random_tree(20_000, seed=1), 2)
    state, predicted = learn(on.Logistic(), layout, rows, y)
    base = log_loss(np.full(len(y), y.mean()), y)
    assert log_loss(predicted[10_000:], y[10_000:]) < base - 0.02
    fresh = Features(rows.numbers[:1], rows.categories[:1] + np.uint64(12345))
    assert 0 < model_of(state, fresh) < 1


def model_of(state: Any, rows: Features) -> float:
    return float(on.Logistic().predict(state, rows)[0])


def test_a_new_class_is_learned_from_its_first_row_on() -> None:
    layout, rows, y = known(led(20_000, seed=1), 10)
    model = on.Softmax()
    state = model.start(Layout(layout.numbers, (), 2), 0)
    first = y < 2
    model.learn(state, rows[first], y[first])
    model.widen(state, 10)
    assert model.predict(state, rows[:5]).shape == (5, 10)
    predicted = model.learn(state, rows, y)
    late = slice(10_000, None)
    assert np.mean(predicted[late].argmax(axis=1) == y[late]) > 0.68  # the best that can be is .74


def test_linear_regression_finds_weights_of_any_size() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 3)) * [1, 1e4, 1e-4]
    y = x @ [2e5, -30, 1e9] + 7e6 + rng.normal(size=20_000) * 1e3
    predicted = learn(on.Linear(), Layout(("a", "b", "c")), numbers(x), y)[1]
    error = np.sqrt(np.mean((predicted - y)[10_000:] ** 2))
    assert error < 0.02 * y.std()


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(PlanError, match="rate=0"):
        on.AdaGrad(0)
    with pytest.raises(PlanError, match="bits"):
        on.Logistic(bits=40)
    with pytest.raises(PlanError, match="Logistic cannot learn 3 classes.*Softmax"):
        on.Logistic().start(Layout(("x",), (), 3), 0)
    with pytest.raises(PlanError, match="Logistic cannot learn 3 classes"):
        on.Logistic().widen({}, 3)
    with pytest.raises(PlanError, match="Linear"):
        on.Softmax().start(Layout(("x",)), 0)


def test_weights_that_grow_without_bound_are_named() -> None:
    x = np.full((2000, 1), 1e3)
    model = on.Linear(on.SGD(1.0), scale=False)
    with pytest.raises(PlanError, match="grew without bound. Take a smaller rate than 1.0"):
        learn(model, Layout(("x",)), numbers(x), x[:, 0])


def test_no_optimiser_is_far_from_the_batch_answer() -> None:
    from sklearn.linear_model import LogisticRegression

    layout, rows, y = known(hyperplane(20_000, seed=1, noise=0.1), 2)
    z = (rows.numbers - rows.numbers.mean(axis=0)) / rows.numbers.std(axis=0)
    best = log_loss(LogisticRegression(C=1e6).fit(z, y).predict_proba(z)[:, 1], y)
    only = Layout(layout.numbers, (), 2)
    for optimiser in (on.AdaGrad(), on.DecayedAdaGrad(), on.FTRL(), on.SGD()):
        predicted = learn(on.Logistic(optimiser), only, numbers(rows.numbers), y)[1]
        assert log_loss(predicted[5000:], y[5000:]) < best + 0.02, optimiser
