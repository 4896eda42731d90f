from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import final

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from talkoot.core.shard import Block, Shard
from talkoot.learners.common.rows import take
from talkoot.learners.held_out.folds import Folds, Part, Relabel


@final
@dataclass(frozen=True)
class Cut(Shard):
    """Numbered rows, cut into blocks of a size."""

    y: np.ndarray
    size: int

    @property
    def name(self) -> str:
        return "a"

    def blocks(self) -> Iterator[Block]:
        X = np.arange(len(self.y), dtype=np.float64)[:, np.newaxis]
        for at in range(0, len(self.y), self.size):
            yield Block(X=X[at : at + self.size], y=self.y[at : at + self.size])


labels = st.lists(st.integers(0, 2), min_size=1, max_size=60).map(lambda y: np.array(y, dtype=np.intp))


@given(labels, st.integers(2, 6), st.integers(1, 70), st.integers(0, 9))
def test_every_row_is_held_out_once_whatever_the_blocks(
    y: np.ndarray, count: int, size: int, seed: int
) -> None:
    folds = Folds(count=count, seed=seed)
    held = [
        [x for b in Part(shard=Cut(y, size), folds=folds, fold=k, held_out=True).blocks() for x in b.X[:, 0]]
        for k in range(count)
    ]
    assert sorted(x for part in held for x in part) == list(range(len(y)))
    for k in range(count):
        kept = [x for b in Part(shard=Cut(y, 7), folds=folds, fold=k).blocks() for x in b.X[:, 0]]
        assert sorted(kept + held[k]) == list(range(len(y)))


@given(labels, st.integers(2, 6), st.integers(0, 9))
def test_each_class_is_dealt_evenly(y: np.ndarray, count: int, seed: int) -> None:
    fold = np.concatenate([f for _, f in Folds(count=count, seed=seed).blocks_with_folds(Cut(y, 8))])
    for label in np.unique(y):
        sizes = np.bincount(fold[y == label], minlength=count)
        assert sizes.max() - sizes.min() <= 1


def test_another_seed_deals_otherwise() -> None:
    shard = Cut(np.zeros(40, dtype=np.intp), 40)
    one, two = (next(f for _, f in Folds(count=5, seed=seed).blocks_with_folds(shard)) for seed in (0, 1))
    assert (one != two).any()


def test_rows_are_taken_of_columns_too() -> None:
    block = Block(X={"a": np.arange(3.0), "b": np.array(["x", None, "z"], dtype=object)}, w=np.arange(3.0))
    got = take(block, np.array([2, 0]))
    assert got.X["b"].tolist() == ["z", "x"]
    assert got.w is not None
    assert got.w.tolist() == [2.0, 0.0]


def test_classes_are_renumbered() -> None:
    got = Relabel((0, -1, 1))(Block(X=np.eye(3), y=np.array([0, 2, 2]))).y
    assert got is not None
    assert got.tolist() == [0, 1, 1]
