"""Streaming gradient boosted trees: what they are for, and their laws."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from online_models import known, mixed

from examples import examples
from talkoot.core.errors import PlanError
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.state import equal
from talkoot.learners.online.trees.boosted import BoostedTrees
from talkoot.learners.online.trees.hoeffding import HoeffdingTree
from talkoot.testing.agrawal import agrawal
from talkoot.testing.streams import drifting


def right(model: BoostedTrees | HoeffdingTree, rows: Features, y: np.ndarray, layout: Layout) -> np.ndarray:
    """Whether the class that was predicted before each row was learned is its class."""
    return np.asarray(model.learn(model.start(layout, seed=1), rows, y).argmax(axis=1) == y)


def test_they_follow_an_abrupt_change_better_than_one_tree() -> None:
    """CapyMOA's have 92.9 % on 20,000 such rows of its own generator."""
    layout, rows, y = known(drifting(agrawal, 20_000, seed=1, concepts=(0, 1)), classes=2)
    boosted = right(BoostedTrees(steps=30, rate=0.04), rows, y, layout)
    alone = right(HoeffdingTree(), rows, y, layout)
    assert boosted.mean() > 0.91
    assert boosted.mean() > alone.mean() + 0.03
    assert boosted[10_000:12_000].mean() > alone[10_000:12_000].mean() + 0.2


@examples(24)
@given(
    cuts=st.lists(st.integers(0, 700), max_size=6),
    megabytes=st.sampled_from([0.5, 0.02]),
    classes=st.sampled_from([2, 3]),
)
def test_a_cut_of_the_stream_changes_nothing(cuts: list[int], megabytes: float, classes: int) -> None:
    layout, rows, y, w = mixed(700, seed=3)
    if classes == 3:
        y = np.where(np.arange(700) % 5 == 0, 2.0, y)
    layout = Layout(layout.numbers, layout.categories, classes)
    model = BoostedTrees(steps=5, rate=0.2, grace=5, delta=0.3, megabytes=megabytes)
    whole, parts = (model.start(layout, seed=3) for _ in range(2))
    expected = model.learn(whole, rows, y, w)
    edges = [0, *sorted(cuts), 700]
    found = [model.learn(parts, rows[a:b], y[a:b], w[a:b]) for a, b in pairwise(edges)]
    assert np.concatenate(found).tobytes() == expected.tobytes()
    assert equal(whole, parts)
    assert model.splits(whole) > 10
    assert np.array_equal(model.predict(whole, rows), model.predict(parts, rows))


def test_a_third_class_gets_a_committee_and_the_other_two_keep_what_they_know() -> None:
    rng = np.random.default_rng(0)
    x = rng.uniform(size=(3000, 2))
    rows, y = Features(x, np.empty((3000, 0), np.uint64)), (x[:, 0] > 0.5).astype(float)
    model = BoostedTrees(steps=20, rate=0.1)
    state = model.start(Layout(("a", "b"), classes=2), seed=0)
    model.learn(state, rows[:1500], y[:1500])
    two = model.predict(state, rows)
    model.widen(state, 3)
    three = model.predict(state, rows)
    np.testing.assert_allclose(three[:, :2] / three[:, :2].sum(axis=1, keepdims=True), two, atol=1e-12)
    y = np.where(x[:, 1] > 0.7, 2.0, y)
    model.learn(state, rows[1500:], y[1500:])
    found = model.predict(state, rows[1500:])
    assert (found.argmax(axis=1) == y[1500:]).mean() > 0.9
    assert np.allclose(found.sum(axis=1), 1.0)


def test_new_bins_are_made_when_values_move() -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(size=(6000, 2))
    y = (x[:, 0] > 0.5).astype(float)
    x[3000:] = 1e6 * (1 + x[3000:])
    rows, layout = Features(x, np.empty((6000, 0), np.uint64)), Layout(("a", "b"), classes=2)
    assert right(BoostedTrees(steps=20, rate=0.1), rows, y, layout)[5000:].mean() > 0.95


def test_columns_that_tell_nothing_and_outliers_do_no_harm() -> None:
    rng = np.random.default_rng(2)
    z = rng.integers(1, 9, (2000, 1)).astype(np.uint64)
    y = (z[:, 0] == 3).astype(float)
    y[::50] = 1 - y[::50]
    x = np.column_stack([np.full(2000, np.nan), np.full(2000, 7.0), rng.choice([0.0, 1e300], 2000)])
    model = BoostedTrees(steps=50, rate=1.0, columns=1.0)
    layout = Layout(("missing", "constant", "far"), ("kind",), classes=2)
    assert right(model, Features(x, z), y, layout)[500:].mean() > 0.9
    alone = Layout((), ("kind",), classes=2)
    assert right(BoostedTrees(), Features(np.empty((2000, 0)), z), y, alone)[500:].mean() > 0.95


def test_a_budget_bounds_the_bytes() -> None:
    layout, rows, y = known(drifting(agrawal, 4000, seed=1, concepts=(0, 1)), classes=2)
    model = BoostedTrees(steps=10, grace=10, megabytes=0.1)
    state = model.start(layout, seed=0)
    model.learn(state, rows, y)
    size = sum(state[name].nbytes for name in ("links", "values", "cells"))
    assert size <= 10 * 0.1 * 2**20


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(PlanError, match="steps=0"):
        BoostedTrees(steps=0)
    with pytest.raises(PlanError, match="rate=2"):
        BoostedTrees(rate=2)
    with pytest.raises(PlanError, match="columns=0"):
        BoostedTrees(columns=0)
    with pytest.raises(PlanError, match="delta=1"):
        BoostedTrees(delta=1)
    with pytest.raises(PlanError, match="megabytes"):
        BoostedTrees(megabytes=0)
    with pytest.raises(PlanError, match="the target is a number"):
        BoostedTrees().start(Layout(("a",)), seed=0)
