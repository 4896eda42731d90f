"""Larger blocks without copying: adjacent views of one array become one view.

Blocks fit a core's cache, which suits sums. Where a block is only microseconds of work, threads spend more
time waiting for each other than working, so larger blocks are faster.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from talkoot.core.shard import Block

Start = tuple[int, Any, Any]  # an address; base array and layout, which adjacent views share


def coalesce(blocks: Iterable[Block], size: int) -> Iterator[Block]:
    """The blocks that hold rows, adjacent ones merged up to about `size` bytes of features.

    >>> X = np.arange(12.0).reshape(6, 2)
    >>> [len(block) for block in coalesce([Block(X=X[:2]), Block(X=X[2:4]), Block(X=X[4:])], 64)]
    [4, 2]
    """
    first, rows, ends = Block(X=np.empty(0)), 0, None
    for block in blocks:
        count = len(block)
        if not count:
            continue
        starts = _starts(block)
        adjacent = rows and starts is not None and starts == ends
        if adjacent and (rows + count) * (block.X.nbytes // count) <= size:
            rows += count
        else:
            if rows:
                yield _extend(first, rows)
            first, rows = block, count
        ends = _ends(block, starts)
    if rows:
        yield _extend(first, rows)


def _starts(block: Block) -> tuple[Start | None, ...] | None:
    """Where the block's arrays start; None if they are not views of arrays."""
    parts = (block.X, block.y, block.w)
    if any(part is not None and (type(part) is not np.ndarray or part.base is None) for part in parts):
        return None
    return tuple(None if part is None else _start(part) for part in parts)


def _start(part: np.ndarray) -> Start:
    address: int = part.__array_interface__["data"][0]
    return address, id(part.base), (part.dtype, part.strides, part.shape[1:])


def _ends(block: Block, starts: tuple[Start | None, ...] | None) -> tuple[Start | None, ...] | None:
    """Where the arrays of an adjacent block would start."""
    if starts is None:
        return None
    parts = (block.X, block.y, block.w)
    return tuple(
        None if at is None else (at[0] + len(part) * part.strides[0], *at[1:])
        for part, at in zip(parts, starts, strict=True)
    )


def _extend(block: Block, rows: int) -> Block:
    """A view of the block and the adjacent ones after it, `rows` rows in all."""
    if rows == len(block):
        return block
    X, y, w = (
        None if part is None else as_strided(part, (rows, *part.shape[1:]), part.strides, writeable=False)
        for part in (block.X, block.y, block.w)
    )
    return Block(X=X, y=y, w=w)
