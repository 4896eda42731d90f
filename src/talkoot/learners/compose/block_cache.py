"""Transformed blocks that a node caches in its process if they are small; never sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import final

from talkoot.core.shard import Block, InMemory, Rows, Shard
from talkoot.learners.compose.shapes import is_sparse

CACHE_BYTES = 1 << 27  # bytes of cached blocks, over all nodes of a run


@final
@dataclass(frozen=True, slots=True, eq=False)
class BlockCache:
    """The blocks that a pipeline's step reads, cached in the step's second pass."""

    blocks: tuple[Block, ...] | None = None  # all blocks; None if they are not cached
    over: bool = False  # they are too large to be cached

    def through(self, shard: Shard, nodes: int) -> tuple[Shard, BlockCache]:
        """The shard, from memory that `nodes` share if it is small, and the cache for the next pass."""
        cache = self if self.over or self.blocks is not None else _read(shard, CACHE_BYTES // max(1, nodes))
        return (shard if cache.blocks is None else InMemory(name=shard.name, held=cache.blocks)), cache


def _read(shard: Shard, limit: int) -> BlockCache:
    blocks, size = [], 0
    for block in shard.blocks():
        size += _size(block.X)
        if size > limit:
            return BlockCache(over=True)
        blocks.append(block)
    return BlockCache(blocks=tuple(blocks))


def _size(X: Rows) -> int:
    if isinstance(X, Mapping):
        return sum(column.nbytes for column in X.values())
    return int(X.data.nbytes + X.indices.nbytes + X.indptr.nbytes if is_sparse(X) else X.nbytes)
