"""Blocks of rows: a shard in memory, some rows of a block, and several blocks as one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy import sparse

from talkoot.core.shard import Block, Shard


@final
@dataclass(frozen=True, slots=True)
class Blocks(Shard):
    """Rows in memory.

    Args:
        node: the node's name.
        in_memory: the rows.
    """

    node: str
    in_memory: tuple[Block, ...]

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node

    def blocks(self) -> Iterator[Block]:
        """The rows in order."""
        return iter(self.in_memory)


def take(block: Block, rows: np.ndarray) -> Block:
    """Some rows of a block, by index."""
    X: Any = block.X
    X = {name: column[rows] for name, column in X.items()} if isinstance(X, Mapping) else X[rows]
    y, w = (None if values is None else values[rows] for values in (block.y, block.w))
    return Block(X=X, y=y, w=w)


def concatenate(blocks: Sequence[Block]) -> Block:
    """One block of the rows of all, in order; where only some blocks have weights, other rows weigh 1."""
    first: Any = blocks[0].X
    Xs: Any = [block.X for block in blocks]
    if isinstance(first, Mapping):
        X: Any = {name: np.concatenate([columns[name] for columns in Xs]) for name in first}
    elif sparse.issparse(first):
        X = sparse.csr_array(sparse.vstack(Xs, format="csr"))
    else:
        X = np.concatenate(Xs)
    y = None if blocks[0].y is None else np.concatenate([np.asarray(block.y) for block in blocks])
    ws = [np.ones(len(block)) if block.w is None else block.w for block in blocks]
    some = any(block.w is not None for block in blocks)
    return Block(X=X, y=y, w=np.concatenate(ws) if some else None)
