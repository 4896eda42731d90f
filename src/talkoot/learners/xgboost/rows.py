"""The rows that a node brings to the group of its process: not numbers, but how to read them in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, final

import numpy as np

from talkoot.core.shard import Block, Schema, Shard
from talkoot.learners.common.rows import concatenate
from talkoot.learners.xgboost.cuts import single

BATCH = 1 << 24  # bytes of single precision that become bins at once, about


@final
@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The rows of a node.

    Args:
        blocks: reads them, in single precision; the same ones each time.
        rows: how many there are.
        missing: whether some value is missing.
    """

    blocks: Callable[[], Iterator[Block]]
    rows: int
    missing: bool


@final
class Binning(NamedTuple):
    """How rows become bins.

    Args:
        cuts: for each column its cut points.
        names: of the columns.
        bins: how many a column has at most.
        outputs: of a tree, each with gradients of its own.
        weighted: whether rows have weights.
        threads: that work at it.
    """

    cuts: Sequence[np.ndarray]
    names: tuple[str, ...] | None
    bins: int
    outputs: int
    weighted: bool
    threads: int


def part_of(shard: Shard, schema: Schema, estimator: Any) -> Part | None:
    """The rows of a node; None if it has none."""
    blocks, rows, missing = partial(single, shard, schema, estimator), 0, False
    for block in blocks():
        rows, missing = rows + len(block), missing or bool(np.isnan(block.X).any())
    return Part(blocks, rows, missing) if rows else None


def batches(parts: Sequence[Part]) -> Iterator[Block]:
    """The rows of nodes, one after the other, in blocks of about `BATCH` bytes."""
    few, size = list[Block](), 0
    for block in (block for part in parts for block in part.blocks()):
        few.append(block)
        size += np.asarray(block.X).nbytes
        if size >= BATCH:
            yield concatenate(few)
            few, size = [], 0
    if few:
        yield concatenate(few)
