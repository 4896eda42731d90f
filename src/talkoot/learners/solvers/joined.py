"""Larger blocks without copying: neighbouring views of one array are one view.

Blocks fit a core's cache, which suits sums. Where a block gives only microseconds of work at a time, threads
wait for each other more than they work; they are better off with larger ones.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import reduce
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from talkoot.core.shard import Block


def joined(blocks: Iterable[Block], size: int) -> Iterator[Block]:
    """The blocks that hold rows, neighbours in memory put together up to about `size` bytes of features.

    >>> X = np.arange(12.0).reshape(6, 2)
    >>> [len(block) for block in joined([Block(X=X[:2]), Block(X=X[2:4]), Block(X=X[4:])], 64)]
    [4, 2]
    """
    held: list[Block] = []
    for block in blocks:
        if not len(block):
            continue
        if held and not (_fits(held, block, size) and _adjacent(held[-1].X, block.X)):
            yield _join(held)
            held = []
        held.append(block)
    if held:
        yield _join(held)


def _fits(held: list[Block], block: Block, size: int) -> bool:
    return isinstance(block.X, np.ndarray) and sum(b.X.nbytes for b in held) + block.X.nbytes <= size


def _adjacent(a: Any, b: Any) -> bool:
    """Whether the rows of two arrays follow each other in the memory of one array."""
    if (
        not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray))
        or a.base is None
        or a.base is not b.base
    ):
        return False
    alike = (a.dtype, a.strides, a.shape[1:]) == (b.dtype, b.strides, b.shape[1:])
    return alike and _address(a) + len(a) * a.strides[0] == _address(b)


def _address(a: np.ndarray) -> int:
    return int(a.__array_interface__["data"][0])


def _join(held: list[Block]) -> Block:
    if len(held) == 1:
        return held[0]
    return Block(X=_rows([b.X for b in held]), y=_rows([b.y for b in held]), w=_rows([b.w for b in held]))


def _rows(parts: list[Any]) -> Any:
    """The rows of all parts: one view where they are neighbours, else a copy."""
    if parts[0] is None:
        return None
    if not all(map(_adjacent, parts, parts[1:])):
        return np.concatenate(parts)
    first = parts[0]
    rows = reduce(lambda n, part: n + len(part), parts, 0)
    return as_strided(first, (rows, *first.shape[1:]), first.strides, writeable=False)
