"""Naive Bayes, factorisation machines, k-means, choices among models, last labels, River's models."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from online_models import known, learn, log_loss

import talkoot as tk
from talkoot.core.errors import DataError, PlanError
from talkoot.learners.online.features import Encoder, Features, Layout
from talkoot.learners.online.state import copied, equal
from talkoot.testing.streams import led, random_tree, sea

on = tk.online


def numbers(x: np.ndarray[Any, Any]) -> Features:
    return Features(np.ascontiguousarray(x), np.empty((len(x), 0), np.uint64))


def test_naive_bayes_of_numbers_is_scikit_learns() -> None:
    from sklearn.naive_bayes import GaussianNB

    layout, rows, y = known(sea(3000, seed=1), 2)
    state, _ = learn(on.NaiveBayes(), layout, rows, y)
    expected = GaussianNB(priors=(np.bincount(y.astype(int)) + 1) / 3002).fit(rows.numbers, y)
    got = on.NaiveBayes().predict(state, rows)
    np.testing.assert_allclose(got, expected.predict_proba(rows.numbers), atol=1e-6)


def test_naive_bayes_of_categories_is_scikit_learns() -> None:
    from sklearn.naive_bayes import CategoricalNB

    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 3000)
    codes = (rng.integers(0, 4, (3000, 2)) + y[:, None] * (rng.random((3000, 2)) < 0.4)) % 5
    batch = pa.record_batch({"a": codes[:, 0].astype(str), "b": codes[:, 1].astype(str)})
    layout = Layout((), ("a", "b"), 3)
    rows = Encoder(layout).encode(batch)
    state, _ = learn(on.NaiveBayes(), layout, rows, y.astype(float))
    prior = (np.bincount(y) + 1) / 3003
    expected = CategoricalNB(class_prior=prior).fit(codes, y).predict_proba(codes)
    np.testing.assert_allclose(on.NaiveBayes().predict(state, rows), expected, atol=1e-9)


def test_counts_of_two_nodes_are_those_of_one() -> None:
    layout, rows, y = known(random_tree(2000, seed=1), 2)
    model = on.NaiveBayes()
    base = model.start(layout, 0)
    model.learn(base, rows[:500], y[:500])
    changes = []
    for part in (slice(500, 900), slice(900, 2000)):
        own = copied(base)
        model.learn(own, rows[part], y[part])
        changes.append(model.change(own, base))
    merged = model.apply(base, {name: changes[0][name] + changes[1][name] for name in changes[0]}, 2)
    whole, _ = learn(model, layout, rows, y)
    assert merged.keys() == whole.keys()
    for name in whole:
        np.testing.assert_allclose(merged[name], whole[name], rtol=1e-9, atol=1e-9)


def test_a_class_appears_while_naive_bayes_learns() -> None:
    layout, rows, y = known(led(5000, seed=1), 10)
    model = on.NaiveBayes()
    state = model.start(Layout(layout.numbers, (), 2), 0)
    model.learn(state, rows[y < 2], y[y < 2])
    model.widen(state, 10)
    predicted = model.learn(state, rows, y)
    assert np.mean(predicted[2500:].argmax(axis=1) == y[2500:]) > 0.68


def test_a_factorisation_machine_finds_a_product_that_no_linear_model_finds() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(30_000, 2))
    y = (x[:, 0] * x[:, 1] > 0).astype(float)
    layout = Layout(("a", "b"), (), 2)
    predicted = learn(on.FactorisationMachine(on.AdaGrad(0.1), factors=2), layout, numbers(x), y)[1]
    assert log_loss(learn(on.Logistic(), layout, numbers(x), y)[1], y) > 0.68
    assert log_loss(predicted[15_000:], y[15_000:]) < 0.25
    with pytest.raises(PlanError, match="FTRL"):
        on.FactorisationMachine(on.FTRL())


def test_k_means_finds_groups_and_their_missing_numbers_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, 3, 4000)
    x = np.array([[0, 0], [1, 1000], [2, 0]])[group] + rng.normal(size=(4000, 2)) * [0.05, 50]
    x[rng.random(4000) < 0.02, 0] = np.nan
    model = on.KMeans(3)
    state = model.start(Layout(("a", "b")), seed=2)
    model.learn(state, numbers(x), np.empty(0))
    found = model.predict(state, numbers(x))
    table = np.zeros((3, 3))
    np.add.at(table, (group, found), 1)
    assert table.max(axis=1).sum() > 3900
    with pytest.raises(PlanError, match="numbers alone"):
        model.start(Layout(("a",), ("city",)), 0)


def test_centers_of_two_nodes_are_the_means_of_both_nodes_rows() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1000, 2))
    model = on.KMeans(1)
    base = model.start(Layout(("a", "b")), 0)
    model.learn(base, numbers(x[:100]), np.empty(0))
    changes = []
    for part in (slice(100, 300), slice(300, 1000)):
        own = copied(base)
        model.learn(own, numbers(x[part]), np.empty(0))
        changes.append(model.change(own, base))
    merged = model.apply(base, {name: changes[0][name] + changes[1][name] for name in changes[0]}, 2)
    np.testing.assert_allclose(merged["centers"][0], x.mean(axis=0), atol=1e-12)


def test_the_best_of_several_follows_a_drift_to_another_model() -> None:
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 1))
    y = np.where(np.arange(20_000) < 8000, abs(x[:, 0]) > 0.67, x[:, 0] > 0).astype(float)
    layout, rows = Layout(("x",), (), 2), numbers(x)
    models = [on.Logistic(), on.NaiveBayes()]
    alone = []
    for model in models:
        predicted = learn(model, layout, rows, y)[1]
        alone.append(log_loss(predicted if predicted.ndim == 1 else predicted[:, 1], y))
    best = log_loss(learn(on.Best(models), layout, rows, y)[1][:, 1], y)
    assert best < min(alone)
    with pytest.raises(PlanError, match="different things: binary, number"):
        on.Best([on.Logistic(), on.Linear()])


@pytest.mark.parametrize("model", [on.Logistic(), on.Softmax()])
def test_the_last_label_is_learned_from(model: Any) -> None:
    rng = np.random.default_rng(0)
    y = (np.cumsum(rng.random(3000) < 0.1) % 2).astype(float)  # changes at every tenth row
    layout = Layout(("noise",), (), 2)
    rows = numbers(rng.normal(size=(3000, 1)))
    assert on.Lagged(model).needs_labels_at_once
    assert not model.needs_labels_at_once
    predicted = learn(on.Lagged(model), layout, rows, y)[1]
    predicted = predicted if predicted.ndim == 1 else predicted[:, 1]
    assert np.mean((predicted > 0.5) == y) > 0.87


@pytest.mark.parametrize("task", ["classes", "number"])
def test_rivers_models_learn_as_they_do_alone(task: str) -> None:
    from river import linear_model, preprocessing, tree

    layout, rows, y = known(sea(600, seed=1), 2 if task == "classes" else 0)
    theirs: Any = preprocessing.StandardScaler() | linear_model.LinearRegression()
    if task == "classes":
        theirs = tree.HoeffdingTreeClassifier(grace_period=50)
    model = on.River(theirs)
    assert model.task == task
    whole, cut = model.start(layout, 0), model.start(layout, 0)
    got = model.learn(whole, rows, y)
    parts = [model.learn(cut, rows[a:b], y[a:b]) for a, b in ((0, 100), (100, 101), (101, 600))]
    np.testing.assert_array_equal(np.concatenate(parts), got)
    alone = theirs.clone()
    for i, x in enumerate(rows.numbers.tolist()):
        row = dict(zip(layout.numbers, x, strict=True))
        if task == "number":
            assert got[i] == alone.predict_one(row)
        else:
            expected = alone.predict_proba_one(row).get(1, 0.5 if i == 0 else 0.0)
            assert got[i, 1] == pytest.approx(expected, abs=1e-12)
        alone.learn_one(row, y[i] if task == "number" else int(y[i]))
    before = copied(whole)
    model.predict(whole, rows[:3])
    assert equal(whole, before)


def test_a_state_of_river_names_nothing_but_river(tmp_path: Path) -> None:
    from river import linear_model

    layout, rows, _ = known(sea(3, seed=1), 2)
    model = on.River(linear_model.LogisticRegression())
    state = model.start(layout, 0)
    there = tmp_path / "ran"

    class Evil:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {there}",)

    passive: Any = linear_model.PAClassifier
    state["pickle"] = np.frombuffer(pickle.dumps(Evil()), np.uint8)
    with pytest.raises(DataError, match="names posix.system"):
        model.predict(state, rows)
    assert not there.exists()
    with pytest.raises(PlanError, match=r"PAClassifier cannot be stored: it names builtins.getattr"):
        on.River(passive()).start(layout, 0)


def test_ids_are_no_numbers() -> None:
    layout = Layout(numbers=("id",))
    Encoder(layout).encode(pa.record_batch({"id": [2**53, -(2**53), None]}))
    with pytest.raises(DataError, match="column 'id': it holds whole numbers beyond"):
        Encoder(layout).encode(pa.record_batch({"id": [1, 2**53 + 1]}))
