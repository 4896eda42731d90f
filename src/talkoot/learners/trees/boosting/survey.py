"""The first rounds of boosting: rows of each class; sums of the target and weights, columns of few values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.common.columnwise import check_block
from talkoot.learners.sums.exact import exact_count, exact_sum
from talkoot.learners.trees.boosting.accepted import require_target
from talkoot.learners.trees.boosting.bins import Distinct
from talkoot.learners.trees.boosting.validation import Validation, classes_of
from talkoot.learners.trees.weights import listed_weights

ROWS = "rows"  # a leaf: rows of each class at each node
CLASSES = "class rows"  # a leaf: rows of each class, without weights
WEIGHT = "weight"  # of the rows, as an exact sum: of each class, or of all
TARGET = "target"  # the exact sum of the target, times its weight
MISSING = "missing"  # missing values of each column
WEIGHTED = "weighted"  # nodes that have sample weights


@final
@dataclass(frozen=True, slots=True)
class RowCounts:
    """The question how many rows of each class each node has, before some are held out."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Survey:
    """The question what the rows are like that are not held out."""

    validation: Validation | None = None


def checked(shard: Shard, schema: Schema, estimator: Any) -> Iterator[Block]:
    """The blocks that have rows.

    Raises:
        DataError: a row that cannot be used.
    """
    for block in shard.blocks():
        if len(block):
            check_block(block, schema, estimator)
            require_target(block, schema, estimator)
            yield block


def counted_rows(shard: Shard, ctx: Ctx, estimator: Any) -> Update:
    """How many rows of each class a node has, and whether they have weights."""
    classes = 1 if ctx.schema.classes is None else len(ctx.schema.classes)
    rows, weighted = np.zeros((len(ctx.cohort), classes), dtype=np.int64), 0
    for block in checked(shard, ctx.schema, estimator):
        rows[ctx.cohort.index(ctx.node)] += np.bincount(classes_of(block, classes), minlength=classes)
        weighted = int(block.w is not None)
    return Update(values={ROWS: rows, WEIGHTED: np.array([weighted])}) if rows.any() else Update()


def surveyed(shard: Shard, schema: Schema, estimator: Any, *, distinct: bool) -> Update:
    """What a node's rows are like; with the values of columns that have few, if `distinct`."""
    few, update, weighted = Distinct(estimator.max_bins), Update(), 0
    listed = listed_weights(estimator, schema)
    for block in checked(shard, schema, estimator):
        if distinct:
            few.add(block.X[_weighing(block, listed)])
        update += _totals(block, schema) + Update(values={MISSING: np.isnan(block.X).sum(axis=0)})
        weighted = int(block.w is not None)
    if not update.values:
        return update
    leaves, kinds = few.leaves() if distinct else ({}, {})
    return update + Update(values={**leaves, WEIGHTED: np.array([weighted])}, kinds=kinds)


def _totals(block: Block, schema: Schema) -> Update:
    """What rows weigh, of each class where there are classes; else the sum of the target, too."""
    y, w, rows = block.y, block.w, float(len(block))
    assert y is not None
    if schema.classes is None:
        y = y.reshape(-1).astype(np.float64)
        weight = exact_count(len(block)) if w is None else exact_sum(w)
        return Update(
            values={WEIGHT: weight[None], TARGET: exact_sum(y if w is None else y * w)}, weight=rows
        )
    each = [y == k for k in range(len(schema.classes))]
    weights = [exact_count(int(own.sum())) if w is None else exact_sum(w[own]) for own in each]
    return Update(
        values={WEIGHT: np.stack(weights), CLASSES: np.array([own.sum() for own in each])}, weight=rows
    )


def _weighing(block: Block, listed: np.ndarray | None) -> np.ndarray | slice:
    """The rows whose weight is not 0."""
    if block.w is None and listed is None:
        return slice(None)
    w = np.ones(len(block)) if block.w is None else block.w
    return np.asarray((w if listed is None else w * listed[block.y]) != 0)
