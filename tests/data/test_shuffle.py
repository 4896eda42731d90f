from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkoot.data.loading import shuffle as module
from talkoot.data.loading.shuffle import Shuffle

SIZES = st.lists(st.integers(0, 30), min_size=1, max_size=40).filter(sum)
SEEDS = st.integers(0, 2**63)


@st.composite
def orders(draw: st.DrawFn) -> Shuffle:
    groups = draw(st.none() | SIZES.map(tuple))
    rows = draw(st.integers(1, 300)) if groups is None else sum(groups)
    return Shuffle(rows=rows, seed=draw(SEEDS), key=draw(st.sampled_from(["", "a"])), groups=groups)


@pytest.fixture
def small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WHOLE": 64, "WINDOW": 32, "CHUNK": 8}.items():
        monkeypatch.setattr(module, name, value)


@settings(deadline=None)
@given(orders(), st.integers(0, 5))
def test_every_epoch_has_every_row_once(order: Shuffle, epoch: int) -> None:
    rows = order.at(epoch * order.rows, (epoch + 1) * order.rows)
    assert rows.dtype == np.int64
    assert np.array_equal(np.sort(rows), np.arange(order.rows))


@settings(deadline=None)
@given(orders(), st.lists(st.integers(0, 300), min_size=2, max_size=9).map(sorted))
def test_it_does_not_matter_how_positions_are_cut(order: Shuffle, edges: list[int]) -> None:
    fresh = Shuffle(rows=order.rows, seed=order.seed, key=order.key, groups=order.groups)
    whole = order.at(edges[0], edges[-1])
    pieces = [fresh.at(a, b) for a, b in pairwise(edges)]
    assert len(whole) == edges[-1] - edges[0]
    assert np.array_equal(np.concatenate(pieces), whole)


@settings(deadline=None)
@given(orders(), st.permutations(range(12)))
def test_positions_may_be_asked_in_any_order(order: Shuffle, steps: list[int]) -> None:
    whole = order.at(0, 12 * 20)
    for step in steps:
        assert np.array_equal(order.at(20 * step, 20 * step + 20), whole[20 * step : 20 * step + 20])


@pytest.mark.usefixtures("small_windows")
@pytest.mark.parametrize("rows", [64, 65, 72, 500, 1031])
def test_more_rows_than_are_shuffled_at_once_are_all_read_too(rows: int) -> None:
    order = Shuffle(rows=rows, seed=3)
    for epoch in range(3):
        read = order.at(epoch * rows, (epoch + 1) * rows)
        assert np.array_equal(np.sort(read), np.arange(rows))
    assert np.array_equal(np.concatenate([order.at(i, i + 7) for i in range(0, 7 * 99, 7)]), order.at(0, 693))


def test_seed_key_and_epoch_make_other_orders() -> None:
    orders = [Shuffle(rows=50, seed=s, key=k) for s, k in ((0, ""), (1, ""), (0, "a"))]
    read = [tuple(order.at(50 * e, 50 * e + 50)) for order in orders for e in range(3)]
    assert len(set(read)) == 9


def test_the_order_stays_what_it_was() -> None:
    assert Shuffle(rows=6, seed=0).at(0, 6).tolist() == [2, 0, 1, 5, 3, 4]
    assert Shuffle(rows=6, seed=0, groups=(2, 1, 3)).at(4, 9).tolist() == [2, 0, 1, 5, 2]


def test_neighbouring_positions_touch_few_groups() -> None:
    groups = (100,) * 200
    order = Shuffle(rows=20_000, seed=1, groups=groups)
    window = module.groups_per_window(groups) * 100
    for at in range(0, 20_000, window):
        touched = np.unique(order.at(at, at + window) // 100)
        assert len(touched) == module.GROUPS
    assert len(np.unique(order.at(0, 64) // 100)) > 4, "rows of several groups are mixed"


def test_large_groups_are_shuffled_one_at_a_time() -> None:
    size = module.WINDOW + 1
    order = Shuffle(rows=3 * size, seed=1, groups=(size,) * 3)
    assert len({int(row) // size for row in order.at(0, size)[::999]}) == 1


def test_any_position_is_found_without_replay_and_the_next_ones_at_no_cost(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shuffles: list[tuple[int, ...]] = []
    rng = Shuffle._rng

    def counted(self: Shuffle, *where: int) -> np.random.Generator:
        shuffles.append(where)
        return rng(self, *where)

    monkeypatch.setattr(Shuffle, "_rng", counted)
    order = Shuffle(rows=1_000_000_007, seed=5)
    far = order.at(10**15, 10**15 + 256)
    assert len(set(far.tolist())) == 256
    assert len(shuffles) <= 1 + 2, "one of the chunks of the epoch, and the windows around the position"
    for step in range(1, 200):
        order.at(10**15 + 256 * step, 10**15 + 256 * step + 256)
    assert len(shuffles) <= 1 + 2 + 200 * 256 // module.WINDOW + 1


def test_only_a_few_windows_are_kept() -> None:
    order = Shuffle(rows=1000, seed=0, groups=(10,) * 100)
    order.at(0, 5000)
    assert len(order._cache) <= 4
