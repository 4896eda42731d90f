"""Blocks that a node has worked out already: kept in its process while they are few, never sent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, final

from talkoot.core.shard import Block, Rows, Shard
from talkoot.learners.compose.shapes import is_sparse

KEEP = 1 << 27  # bytes that all nodes of a run may keep together


@final
@dataclass(frozen=True, slots=True, eq=False)
class Memo:
    """What a node keeps of the rows that a step sees, from the step's second pass over them on.

    Args:
        blocks: all of them; None while nothing is kept.
        over: they are too many to be kept.
    """

    blocks: tuple[Block, ...] | None = None
    over: bool = False

    def __reduce__(self) -> Any:
        return Memo, ()  # it can be worked out again, so it does not travel

    def through(self, shard: Shard, nodes: int) -> tuple[Shard, Memo]:
        """The shard read from memory if its blocks are few, and what to keep for the next pass.

        Args:
            shard: the rows, that take some work to read.
            nodes: how many nodes share the memory.
        """
        memo = self if self.over or self.blocks is not None else _read(shard, KEEP // max(1, nodes))
        return (shard if memo.blocks is None else Held(name=shard.name, held=memo.blocks)), memo


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Held(Shard):
    """Blocks in memory."""

    name: str
    held: tuple[Block, ...]

    def blocks(self) -> Iterator[Block]:
        """They are there."""
        return iter(self.held)


def _read(shard: Shard, limit: int) -> Memo:
    kept, size = [], 0
    for block in shard.blocks():
        size += _size(block.X)
        if size > limit:
            return Memo(over=True)
        kept.append(block)
    return Memo(blocks=tuple(kept))


def _size(X: Rows) -> int:
    if isinstance(X, Mapping):
        return sum(column.nbytes for column in X.values())
    return int(X.data.nbytes + X.indices.nbytes + X.indptr.nbytes if is_sparse(X) else X.nbytes)
