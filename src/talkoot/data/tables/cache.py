"""A cache of decoded blocks of small shards, for the passes of iterative solvers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import RLock
from typing import Any, final
from weakref import WeakKeyDictionary, finalize

import numpy as np

from talkoot.core.shard import Block
from talkoot.data.free_memory import free_memory

BUDGET = 128 << 20  # bytes that a process caches
SHARE = 8  # of the memory that is free, in which a shard is cached


@final
class Cache:
    """Blocks by the shard that they were read from, freed together with the shard.

    Shards that do not fit within `budget` bytes, or within an eighth of the memory that is free, are read
    again in every pass.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.free = budget
        self._blocks: WeakKeyDictionary[Any, list[Block]] = WeakKeyDictionary()
        self._lock = RLock()  # reentrant: a shard may be freed while the lock is held

    def through(self, owner: Any, read: Callable[[], Iterator[Block]], expected: int) -> Iterator[Block]:
        """The cached blocks of a shard, or else those that `read` returns, cached if they fit.

        `expected` is the bytes that the blocks will take; 0 where unknown.
        """
        cached = self._blocks.get(owner)
        if cached is not None:
            yield from cached
            return
        free = min(self.free, free_memory() // SHARE)
        blocks: list[Block] | None = [] if expected <= free else None
        size = 0
        for block in read():
            if blocks is not None:
                size += nbytes(block)
                blocks.append(block)
                blocks = blocks if size <= free else None
            yield block
        if blocks is not None:
            self._store(owner, blocks, size)

    def _store(self, owner: Any, blocks: list[Block], size: int) -> None:
        with self._lock:
            if size > self.free or owner in self._blocks:
                return
            self._blocks[owner] = blocks
            self.free -= size
        finalize(owner, self._release, size)

    def _release(self, size: int) -> None:
        with self._lock:
            self.free += size


def nbytes(block: Block) -> int:
    """The approximate bytes of a block: of text only the references are counted."""
    X = block.X
    if isinstance(X, Mapping):
        size = sum(column.nbytes for column in X.values())
    else:
        size = X.nbytes if isinstance(X, np.ndarray) else 2 * X.data.nbytes
    return int(size) + sum(v.nbytes for v in (block.y, block.w, block.qid) if v is not None)
