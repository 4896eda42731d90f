"""Decoded blocks of small shards, kept for the passes of iterative solvers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from threading import RLock
from typing import Any, final
from weakref import WeakKeyDictionary, finalize

import numpy as np

from talkoot.core.shard import Block

BUDGET = 128 << 20  # bytes that a process keeps


@final
class Cache:
    """Blocks by the shard that they were read from. They go when the shard goes.

    Args:
        budget: bytes to keep at most; shards that do not fit are read again in every pass.
    """

    def __init__(self, budget: int = BUDGET) -> None:
        self.free = budget
        self._kept: WeakKeyDictionary[Any, list[Block]] = WeakKeyDictionary()
        self._lock = RLock()  # a shard may be collected while we hold it

    def through(self, owner: Any, read: Callable[[], Iterator[Block]], expected: int) -> Iterator[Block]:
        """The blocks of `owner`: those kept, else those that `read` gives, which are kept if they fit.

        Args:
            owner: the shard; compared by identity.
            read: decodes the blocks.
            expected: bytes they will take; 0 where unknown.
        """
        kept = self._kept.get(owner)
        if kept is not None:
            yield from kept
            return
        held: list[Block] | None = [] if expected <= self.free else None
        size = 0
        for block in read():
            if held is not None:
                size += nbytes(block)
                held.append(block)
                held = held if size <= self.free else None
            yield block
        if held is not None:
            self._keep(owner, held, size)

    def _keep(self, owner: Any, blocks: list[Block], size: int) -> None:
        with self._lock:
            if size > self.free or owner in self._kept:
                return
            self._kept[owner] = blocks
            self.free -= size
        finalize(owner, self._release, size)

    def _release(self, size: int) -> None:
        with self._lock:
            self.free += size


def nbytes(block: Block) -> int:
    """Bytes of a block, about: text counts as the references to it."""
    X = block.X
    if isinstance(X, Mapping):
        size = sum(column.nbytes for column in X.values())
    else:
        size = X.nbytes if isinstance(X, np.ndarray) else 2 * X.data.nbytes
    return int(size) + sum(v.nbytes for v in (block.y, block.w) if v is not None)
