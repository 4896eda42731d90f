"""Laws of forests of online trees, and what they are for: streams that change."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from examples import examples
from talkoot.core.errors import PlanError
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.state import equal
from talkoot.learners.online.trees.forest import AdaptiveRandomForest, Forest, StreamingRandomPatches
from talkoot.learners.online.trees.hoeffding import HoeffdingTree

LAYOUT = Layout(("a", "b", "c", "d"), ("e",), classes=2)
KINDS = (AdaptiveRandomForest, StreamingRandomPatches)


def stream(rows: int) -> tuple[Features, np.ndarray]:
    """The classes change places in the middle."""
    rng = np.random.default_rng(5)
    x = rng.uniform(size=(rows, 4))
    x[rng.uniform(size=x.shape) < 0.02] = np.nan
    z = rng.integers(1, 7, size=(rows, 1)).astype(np.uint64)
    y = ((np.nan_to_num(x[:, 0]) > 0.5) | (z[:, 0] == 3)).astype(float)
    y[rows // 2 :] = 1 - y[rows // 2 :]
    return Features(x, z), y


@pytest.mark.parametrize("kind", KINDS)
def test_members_are_replaced_after_a_change_and_beat_one_tree(kind: type[Forest]) -> None:
    rows, y = stream(8000)
    forest, tree = kind(members=5), HoeffdingTree(grace=50, delta=0.01)
    state = forest.start(LAYOUT, seed=1)
    late = slice(6000, 8000)
    right = (forest.learn(state, rows, y).argmax(axis=1) == y)[late].mean()
    alone = (tree.learn(tree.start(LAYOUT, seed=1), rows, y).argmax(axis=1) == y)[late].mean()
    assert forest.drifts(state) > 0
    assert right > 0.93
    assert right > alone + 0.05
    assert (forest.predict(state, rows[late]).argmax(axis=1) == y[late]).mean() > 0.93


@pytest.mark.parametrize("kind", KINDS)
@examples(10)
@given(cut=st.integers(0, 3000), megabytes=st.sampled_from([32.0, 0.01]))
def test_a_cut_of_the_stream_changes_nothing(kind: type[Forest], cut: int, megabytes: float) -> None:
    rows, y = stream(3000)
    forest = kind(members=3, delta=0.2, megabytes=megabytes)
    whole, parts = (forest.start(LAYOUT, seed=2) for _ in range(2))
    expected = forest.learn(whole, rows, y)
    found = [forest.learn(parts, rows[part], y[part]) for part in (slice(cut), slice(cut, None))]
    assert np.array_equal(np.concatenate(found), expected)
    assert equal(whole, parts)


@pytest.mark.parametrize("kind", KINDS)
def test_seeds_classes_and_rows_without_a_label(kind: type[Forest]) -> None:
    rows, y = stream(600)
    forest = kind(members=3)
    one, other = (forest.start(LAYOUT, seed=seed) for seed in (0, 1))
    assert not np.array_equal(forest.learn(one, rows, y), forest.learn(other, rows, y))
    forest.widen(one, 3)
    forest.learn(one, rows, np.where(np.arange(600) % 2 == 0, 2.0, y))
    before = forest.predict(one, rows)
    assert before.shape == (600, 3)
    assert np.allclose(before.sum(axis=1), 1.0)
    forest.learn(one, rows, np.full(600, np.nan))
    assert np.array_equal(forest.predict(one, rows), before)


def test_the_leaves_of_a_patch_observe_the_same_columns() -> None:
    rows, y = stream(3000)
    forest = StreamingRandomPatches(members=4, columns=0.5, delta=0.2)
    state = forest.start(LAYOUT, seed=3)
    forest.learn(state, rows, y)
    for m in range(4):
        head, mask = state[f"{m}/0/head"], state[f"{m}/0/mask"]
        assert head[4] > 0
        assert (mask[: head[1]] == mask[0]).all()
        assert mask[0].sum() == 2


def test_settings_that_cannot_be_are_refused() -> None:
    with pytest.raises(PlanError, match="members=0"):
        AdaptiveRandomForest(members=0)
    with pytest.raises(PlanError, match="columns"):
        StreamingRandomPatches(columns=1.5)
    with pytest.raises(PlanError, match="rate"):
        AdaptiveRandomForest(rate=0)
