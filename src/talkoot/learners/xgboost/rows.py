"""The rows that a node brings to the group of its process: not numbers, but how to read them in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.shard import Block, Schema, Shard
from talkoot.learners.common.queries import ranks
from talkoot.learners.common.rows import concatenate
from talkoot.learners.trees.boosting.validation import Validation, training_rows, validation_rows
from talkoot.learners.xgboost.cuts import single

NOTHING = partial(iter, ())
BATCH = 1 << 24  # bytes of single precision that become bins at once, about


@final
@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """The rows of a node.

    Args:
        blocks: reads them, in single precision; the same ones each time.
        rows: how many there are.
        missing: whether some value is missing.
        qid: (rows,) their query ids; None where rows are not ranked.
        held_out: those that early stopping holds out, which are not among them.
    """

    blocks: Callable[[], Iterator[Block]]
    rows: int
    missing: bool
    qid: np.ndarray | None = None
    held_out: Part | None = None


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


def parts_of(shard: Shard, validation: Validation | None, ctx: Ctx, estimator: Any) -> Part | None:
    """The rows of a node, with those that are held out; None if it has none."""
    found = part_of(training_rows(shard, validation, ctx), ctx.schema, estimator)
    if validation is None:
        return found
    held_out = part_of(validation_rows(shard, validation, ctx), ctx.schema, estimator)
    return found if held_out is None else replace(found or Part(NOTHING, 0, False), held_out=held_out)


def part_of(shard: Shard, schema: Schema, estimator: Any) -> Part | None:
    """The rows of a shard; None if it has none."""
    blocks, rows, missing, ids = partial(single, shard, schema, estimator), 0, False, list[np.ndarray]()
    for block in blocks():
        rows, missing = rows + len(block), missing or bool(np.isnan(block.X).any())
        if block.qid is not None and ranks(estimator):
            ids.append(block.qid)
    return Part(blocks, rows, missing, np.concatenate(ids) if ids else None) if rows else None


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
