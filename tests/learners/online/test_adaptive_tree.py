"""The Hoeffding adaptive tree against its parts (Hoeffding trees, ADWIN of River) and against River's."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from river import drift as river_drift
from river import tree as river_tree
from river.datasets import synth

from examples import examples
from talkoot.kernels.compiled import kernel
from talkoot.kernels.trees.draws import poisson
from talkoot.kernels.trees.layout import HEAD
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.state import equal
from talkoot.learners.online.trees.adaptive import HoeffdingAdaptiveTree
from talkoot.learners.online.trees.hoeffding import HoeffdingTree

pytestmark = pytest.mark.wide
ADWIN: Any = river_drift.ADWIN
ONE, MANY = Layout(("a",), (), 2), Layout(("a", "b", "c"), ("d",), 2)


@kernel
def draw(head: np.ndarray, drawn: np.ndarray) -> None:
    """Weights as a tree with this head draws them."""
    for i in range(drawn.size):
        drawn[i] = max(1, poisson(head, 1.0))


def weights(rows: int) -> np.ndarray:
    """The weights that a tree of seed 0 gives its rows."""
    drawn = np.empty(rows)
    draw(np.zeros(HEAD, np.int64), drawn)
    return drawn


class Watched:
    """A tree of at most one test, and River's ADWIN over its errors once it has it."""

    def __init__(self) -> None:
        self.tree = HoeffdingTree(depth=1)
        self.state = self.tree.start(ONE, seed=0)
        self.errors = ADWIN(delta=0.002)

    @property
    def splits(self) -> int:
        return self.tree.splits(self.state)

    def learn(self, row: Features, y: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, int]:
        """The vote and whether it was wrong; a window begins when the tree has split."""
        before = self.splits
        vote = self.tree.learn(self.state, row, y, w)
        if self.splits > before:
            self.errors = ADWIN(delta=0.002)
        return vote, int(vote.argmax() != y[0])

    def add(self, wrong: int) -> bool:
        """Whether errors have risen; River's window would begin anew after each change."""
        before = self.errors.estimation
        self.errors.update(wrong)
        changed, self.errors._drift_detected = self.errors.drift_detected, False
        return bool(changed and self.errors.estimation > before)

    def worse_than(self, other: Watched, share: float | None = None) -> float:
        """How much worse, beyond what chance allows; below 0 where it may be as good, or rows are few.

        Chance is that of errors in their `share` of rows: if it is not given, of its own.
        """
        n, m = self.errors.width, other.errors.width
        own, rival = self.errors.estimation, other.errors.estimation
        e = own if share is None else share
        bound = np.sqrt(2 * e * (1 - e) * np.log(2 / 0.001) * (1 / max(n, 1) + 1 / max(m, 1)))
        return float(own - rival - bound) if min(n, m) > 300 else -1.0


def test_alternates_begin_and_take_over_at_the_rows_of_the_rule() -> None:
    rng = np.random.default_rng(3)
    x = rng.uniform(size=(6000, 1))
    y = ((x[:, 0] > 0.5) ^ (np.arange(6000) > 2500) ^ (rng.uniform(size=6000) < 0.1)).astype(float)
    rows = Features(x, np.empty((6000, 0), np.uint64))
    model = HoeffdingAdaptiveTree(depth=1)
    state = model.start(ONE, seed=0)
    main, other, begun, switched, w = Watched(), None, 0, 0, weights(6000)
    for i in range(6000):
        row, label = rows[i : i + 1], y[i : i + 1]
        has_test = main.splits > 0
        vote, wrong = main.learn(row, label, w[i : i + 1])
        assert np.array_equal(model.learn(state, row, label), vote), f"row {i}"
        risen = has_test and main.add(wrong)
        if other is None and risen:
            other, begun = Watched(), begun + 1
        elif other is not None and main.worse_than(other) > 0:
            main, other, switched = other, None, switched + 1
            main.learn(row, label, w[i : i + 1])
        elif other is not None and other.worse_than(main, main.errors.estimation) > 0:
            other = None
        if other is not None:
            other.add(other.learn(row, label, w[i : i + 1])[1])
        assert (model.alternates(state), model.switches(state)) == (begun, switched), f"row {i}"
    assert switched > 0


def stream(rows: int) -> tuple[Features, np.ndarray]:
    """The classes change places twice, the second time where `a` is large."""
    rng = np.random.default_rng(5)
    x = rng.uniform(size=(rows, 3))
    x[rng.uniform(size=x.shape) < 0.02] = np.nan
    z = rng.integers(0, 9, size=(rows, 1)).astype(np.uint64)
    large = np.nan_to_num(x[:, 0]) > 0.5
    y = large ^ (z[:, 0] % np.uint64(3) == 0) ^ (rng.uniform(size=rows) < 0.05)
    y[rows // 3 :] ^= True
    y[2 * rows // 3 :] ^= large[2 * rows // 3 :]
    return Features(x, z), y.astype(float)


def test_it_is_the_hoeffding_tree_where_nothing_changes() -> None:
    rows, y = stream(9000)
    still = slice(2900)
    adaptive, tree = HoeffdingAdaptiveTree(grace=50, tau=0.2), HoeffdingTree(grace=50, tau=0.2)
    states = [model.start(MANY, seed=0) for model in (adaptive, tree)]
    votes = adaptive.learn(states[0], rows[still], y[still])
    expected = tree.learn(states[1], rows[still], y[still], weights(2900))
    assert adaptive.alternates(states[0]) == 0 < tree.splits(states[1])
    assert np.array_equal(votes, expected)


def test_it_follows_changes_and_takes_dead_nodes_out() -> None:
    rows, y = stream(18000)
    model = HoeffdingAdaptiveTree(grace=50, tau=0.2)
    state = model.start(MANY, seed=0)
    right = model.learn(state, rows, y).argmax(axis=1) == y
    assert model.switches(state) > 1
    tree = HoeffdingTree(grace=50, tau=0.2)
    alone = tree.learn(tree.start(MANY, seed=0), rows, y).argmax(axis=1) == y
    for late in (slice(9000, 12000), slice(15000, 18000)):
        assert right[late].mean() > alone[late].mean() + 0.03
    used = state["tree/head"][0]
    links = state["tree/links"][:used]
    parents = links[links[:, 4] >= 0, 4]
    assert (links[:, 0] >= -1).all()
    assert (links[parents, 0] >= 0).all()
    blocks = links[links[:, 6] >= 0, 6]
    assert len(set(blocks)) == len(blocks) == state["tree/head"][1] - state["tree/head"][2]
    assert model.inactive(state) == ((links[:, 0] == -1) & (links[:, 6] < 0)).sum()


@examples(16)
@given(cuts=st.lists(st.integers(0, 4500), max_size=4), megabytes=st.sampled_from([32.0, 0.1]))
def test_cuts_of_the_stream_change_nothing(cuts: list[int], megabytes: float) -> None:
    rows, y = stream(4500)
    y[::7] = np.nan
    model = HoeffdingAdaptiveTree(grace=20, delta=0.1, tau=0.3, megabytes=megabytes)
    whole, parts = (model.start(MANY, seed=3) for _ in range(2))
    expected = model.learn(whole, rows, y)
    assert model.alternates(whole) > 0
    edges = [0, *sorted(cuts), 4500]
    found = [model.learn(parts, rows[a:b], y[a:b]) for a, b in pairwise(edges)]
    assert np.array_equal(np.concatenate(found), expected)
    assert equal(whole, parts)


def changing(make: Any, functions: tuple[int, int], half: int) -> list[tuple[dict[Any, Any], int]]:
    """A generator of River whose function changes in the middle."""
    parts = (make(function, seed) for seed, function in enumerate(functions, start=1))
    return [(x, int(y)) for part in parts for x, y in part.take(half)]


@pytest.mark.parametrize(
    "pairs",
    [
        changing(lambda f, s: synth.SEA(variant=f, seed=s, noise=0.1), (0, 2), 3000),
        changing(lambda f, s: synth.Agrawal(classification_function=f, seed=s), (0, 1), 3000),
    ],
    ids=["SEA", "Agrawal"],
)
def test_it_is_as_accurate_as_rivers(pairs: list[tuple[dict[Any, Any], int]]) -> None:
    names = list(pairs[0][0])
    x, y = np.array([[row[name] for name in names] for row, _ in pairs], float), [y for _, y in pairs]
    model = HoeffdingAdaptiveTree()
    other: Any = river_tree.HoeffdingAdaptiveTreeClassifier(seed=1)
    state = model.start(Layout(tuple(map(str, names)), (), 2), seed=0)
    rows = Features(x, np.empty((len(x), 0), np.uint64))
    ours = model.learn(state, rows, np.array(y, float)).argmax(axis=1) == y
    theirs = []
    for row, label in pairs:
        theirs.append(other.predict_one(row) == label)
        other.learn_one(row, label)
    assert ours.mean() > np.mean(theirs) - 0.005
