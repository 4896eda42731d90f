"""Larger blocks without copying: neighbouring views of one array are one view.

Blocks fit a core's cache, which suits sums. Where a block gives only microseconds of work at a time, threads
wait for each other more than they work; they are better off with larger ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from talkoot.core.shard import Block

Place = tuple[int, Any, Any]  # an address, and what else two arrays must share to be neighbours


def joined(blocks: Iterable[Block], size: int) -> Iterator[Block]:
    """The blocks that hold rows, neighbours in memory put together up to about `size` bytes of features.

    >>> X = np.arange(12.0).reshape(6, 2)
    >>> [len(block) for block in joined([Block(X=X[:2]), Block(X=X[2:4]), Block(X=X[4:])], 64)]
    [4, 2]
    """
    first, rows, ends = Block(X=np.empty(0)), 0, None
    for block in blocks:
        count = len(block)
        if not count:
            continue
        starts = _places(block)
        if rows and starts is not None and starts == ends and (rows + count) * _width(block) <= size:
            rows += count
        else:
            if rows:
                yield _stretched(first, rows)
            first, rows = block, count
        ends = _behind(block, starts)
    if rows:
        yield _stretched(first, rows)


def _places(block: Block) -> tuple[Place | None, ...] | None:
    """Where the block's arrays begin; None where they are no views of arrays."""
    parts = (block.X, block.y, block.w)
    if any(part is not None and (type(part) is not np.ndarray or part.base is None) for part in parts):
        return None
    return tuple(None if part is None else _place(part) for part in parts)


def _place(part: np.ndarray) -> Place:
    address: int = part.__array_interface__["data"][0]
    return address, id(part.base), (part.dtype, part.strides, part.shape[1:])


def _behind(block: Block, starts: tuple[Place | None, ...] | None) -> tuple[Place | None, ...] | None:
    """Where a neighbour's arrays would begin."""
    if starts is None:
        return None
    parts = (block.X, block.y, block.w)
    return tuple(
        None if at is None else (at[0] + len(part) * part.strides[0], *at[1:])
        for part, at in zip(parts, starts, strict=True)
    )


def _width(block: Block) -> int:
    return int(block.X.nbytes // len(block))


def _stretched(block: Block, rows: int) -> Block:
    """The block with the rows of its neighbours behind it."""
    if rows == len(block):
        return block
    X, y, w = (
        None if part is None else as_strided(part, (rows, *part.shape[1:]), part.strides, writeable=False)
        for part in (block.X, block.y, block.w)
    )
    return Block(X=X, y=y, w=w)
