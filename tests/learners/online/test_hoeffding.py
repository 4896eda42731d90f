"""The Hoeffding tree against River's, and its laws."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import tree as river_tree
from river.datasets import synth

from examples import examples
from talkoot.core.errors import PlanError
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.state import equal
from talkoot.learners.online.trees.hoeffding import HoeffdingTree

pytestmark = pytest.mark.wide
NAMES = {"majority": "mc", "bayes": "nb", "adaptive": "nba"}
CATEGORIES = [f"x_cat_{i}" for i in range(3)]


def river_rows(generator: Any, n: int) -> tuple[list[dict[str, Any]], np.ndarray]:
    pairs = list(generator.take(n))
    return [{str(k): v for k, v in x.items()} for x, _ in pairs], np.array([float(y) for _, y in pairs])


def as_features(rows: list[dict[str, Any]], numbers: list[str], categories: list[str]) -> Features:
    """Missing keys are missing values; a category's hash is its value plus one."""
    x = np.array([[row.get(name, np.nan) for name in numbers] for row in rows], float)
    z = np.array([[row.get(name, -1) + 1 for name in categories] for row in rows], np.uint64)
    return Features(x.reshape(len(rows), len(numbers)), z.reshape(len(rows), len(categories)))


def compare(
    rows: list[dict[str, Any]], y: np.ndarray, classes: int, categories: list[str], **how: Any
) -> int:
    """Learn beside River: the same splits at the same rows, and the same predictions; how many splits.

    River smooths no counts of categories, and may give up leaves that are nearly pure.
    """
    numbers = [name for name in rows[0] if name not in categories]
    model = HoeffdingTree(smoothing=0, **how)
    state = model.start(Layout(tuple(numbers), tuple(categories), classes), seed=0)
    features = as_features(rows, numbers, categories)
    other: Any = river_tree.HoeffdingTreeClassifier(
        grace_period=int(model.grace),
        delta=model.delta,
        tau=model.tau,
        max_depth=model.depth,
        max_share_to_split=1.0,
        binary_split=model.binary,
        leaf_prediction=NAMES[model.leaf],
        nominal_attributes=categories,
    )
    for i, row in enumerate(rows):
        expected = other.predict_one(row)
        predicted = model.learn(state, features[i : i + 1], y[i : i + 1])[0]
        assert i == 0 or predicted.argmax() == expected, f"row {i}"
        other.learn_one(row, int(y[i]))
        assert model.splits(state) == other.n_branches, f"row {i}"
    return model.splits(state)


@pytest.mark.parametrize("leaf", ["majority", "bayes", "adaptive"])
def test_numeric_splits_and_predictions_are_rivers(leaf: str) -> None:
    rows, y = river_rows(synth.Hyperplane(seed=4, n_features=6, noise_percentage=0.1), 4000)
    assert compare(rows, y, 2, [], grace=50, delta=0.01, leaf=leaf) >= 3


@pytest.mark.parametrize(("binary", "leaf"), [(False, "adaptive"), (True, "majority")])
def test_categories_and_classes_are_split_as_by_river(binary: bool, leaf: str) -> None:
    """Binary tests with equal class weights leave naive Bayes' ties to the order of River's dictionaries."""
    source = synth.RandomTree(
        seed_tree=3,
        seed_sample=2,
        n_num_features=3,
        n_cat_features=3,
        n_categories_per_feature=4,
        n_classes=3,
    )
    rows, y = river_rows(source, 4000)
    assert compare(rows, y, 3, CATEGORIES, grace=50, delta=0.05, tau=0.2, binary=binary, leaf=leaf) > 2


def test_missing_values_follow_the_heavier_branch_as_in_river() -> None:
    rows, y = river_rows(synth.SEA(seed=1, noise=0.1), 4000)
    rng = np.random.default_rng(0)
    rows = [{k: v for k, v in row.items() if k == "0" or rng.uniform() > 0.2} for row in rows]
    rows[0] = {"0": 1.0, "1": 1.0, "2": 1.0}
    assert compare(rows, y, 2, [], grace=50, delta=0.05) > 1


def test_the_depth_limit_is_rivers() -> None:
    rows, y = river_rows(synth.Hyperplane(seed=4, n_features=6), 3000)
    assert compare(rows, y, 2, [], grace=50, delta=0.05, depth=2) == 3


def stream(rows: int, seed: int = 0) -> tuple[Features, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.uniform(size=(rows, 3))
    x[rng.uniform(size=x.shape) < 0.05] = np.nan
    z = rng.integers(0, 12, size=(rows, 2)).astype(np.uint64)
    y = ((np.nan_to_num(x[:, 0]) > 0.5) ^ (z[:, 0] % np.uint64(3) == 0)).astype(float)
    return Features(x, z), y


LAYOUT = Layout(("a", "b", "c"), ("d", "e"), classes=2)


@examples(40)
@given(cuts=st.lists(st.integers(0, 1200), max_size=6), megabytes=st.sampled_from([32.0, 0.004]))
def test_cuts_of_the_stream_change_nothing(cuts: list[int], megabytes: float) -> None:
    rows, y = stream(1200)
    w = np.random.default_rng(1).integers(0, 3, size=1200).astype(float)
    y[::7] = np.nan
    model = HoeffdingTree(grace=20, delta=0.2, tau=0.3, megabytes=megabytes)
    whole, parts = (model.start(LAYOUT, seed=3) for _ in range(2))
    expected = model.learn(whole, rows, y, w)
    edges = [0, *sorted(cuts), 1200]
    found = [model.learn(parts, rows[a:b], y[a:b], w[a:b]) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate(found), expected)
    assert equal(whole, parts)


def test_a_budget_stops_the_refinement_of_leaves_and_counts_them() -> None:
    rows, y = stream(6000)
    small, large = HoeffdingTree(grace=20, tau=0.3, megabytes=0.02), HoeffdingTree(grace=20, tau=0.3)
    states = [model.start(LAYOUT, seed=0) for model in (small, large)]
    for model, state in zip((small, large), states, strict=True):
        model.learn(state, rows, y)
    sizes = [
        sum(array.nbytes for name, array in state.items() if name.startswith("tree/")) for state in states
    ]
    assert small.inactive(states[0]) > 0 == large.inactive(states[1])
    assert sizes[0] < 0.025 * 2**20 < sizes[1]


def test_more_classes_and_unlabelled_rows() -> None:
    rows, y = stream(900)
    model = HoeffdingTree(grace=50)
    state = model.start(LAYOUT, seed=0)
    model.learn(state, rows[:300], y[:300])
    model.widen(state, 3)
    model.learn(state, rows[300:], np.where(np.arange(600) % 3 == 0, 2.0, y[300:]))
    before = model.predict(state, rows)
    model.learn(state, rows, np.full(900, np.nan))
    assert before.shape == (900, 3)
    assert np.allclose(before.sum(axis=1), 1.0)
    assert np.array_equal(model.predict(state, rows), before)


def test_settings_and_targets_that_cannot_be_are_refused() -> None:
    with pytest.raises(PlanError, match="leaf='mean' is not one of"):
        HoeffdingTree(leaf="mean")  # type: ignore[arg-type]
    with pytest.raises(PlanError, match="delta"):
        HoeffdingTree(delta=2)
    with pytest.raises(PlanError, match="target is a number"):
        HoeffdingTree().start(Layout(("a",)), seed=0)
    with pytest.raises(PlanError, match="at least one column"):
        HoeffdingTree().start(Layout((), (), 2), seed=0)
