from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np

from talkoot.core.shard import Block
from talkoot.data.tables.cache import Cache, nbytes


class Owner:
    """Something that blocks belong to."""


class Reader:
    def __init__(self, count: int) -> None:
        self.count, self.passes = count, 0

    def __call__(self) -> Iterator[Block]:
        self.passes += 1
        for _ in range(self.count):
            yield Block(X=np.zeros((10, 10)), y=np.zeros(10))


SIZE = 880  # bytes of a block above


def test_what_fits_is_read_once() -> None:
    cache, owner, read = Cache(budget=3 * SIZE), Owner(), Reader(3)
    passes = [len(list(cache.through(owner, read, 0))) for _ in range(3)]
    assert passes == [3, 3, 3]
    assert (read.passes, cache.free) == (1, 0)


def test_what_does_not_fit_is_read_in_every_pass_and_holds_nothing() -> None:
    cache, owner, read = Cache(budget=2 * SIZE), Owner(), Reader(3)
    for _ in range(2):
        assert len(list(cache.through(owner, read, 0))) == 3
    assert (read.passes, cache.free) == (2, 2 * SIZE)


def test_a_pass_that_ends_early_keeps_nothing() -> None:
    cache, owner, read = Cache(), Owner(), Reader(3)
    next(cache.through(owner, read, 0))
    assert len(list(cache.through(owner, read, 0))) == 3
    assert read.passes == 2


def test_bytes_come_back_when_the_owner_goes() -> None:
    cache, owner = Cache(budget=3 * SIZE), Owner()
    list(cache.through(owner, Reader(3), 0))
    del owner
    gc.collect()
    assert cache.free == 3 * SIZE


def test_the_first_to_come_is_kept_and_later_ones_do_not_push_it_out() -> None:
    cache, first, second = Cache(budget=4 * SIZE), Owner(), Owner()
    reads = {first: Reader(3), second: Reader(3)}
    for _ in range(3):
        for owner, read in reads.items():
            list(cache.through(owner, read, 0))
    assert [read.passes for read in reads.values()] == [1, 3]


def test_text_counts_too() -> None:
    text = Block(X={"a": np.array(["x", None], dtype=object), "b": np.zeros(2)}, w=np.ones(2))
    assert nbytes(text) == 48
