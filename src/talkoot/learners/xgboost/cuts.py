"""Cut points of bins: the same for every process, from the rows of all nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.common.estimator import require_finite
from talkoot.learners.common.queries import require_ids
from talkoot.learners.common.rows import require_weights
from talkoot.learners.sums.selection import Selection, Totals
from talkoot.learners.trees.boosting.bins import Distinct
from talkoot.learners.xgboost.accepted import require_target

if TYPE_CHECKING:
    import xgboost

WEIGHTED = "weighted"  # a leaf: nodes that have sample weights
NOTHING = np.zeros(0, np.int64)


@final
@dataclass(frozen=True, slots=True)
class Survey:
    """The question of the first round."""


def single(shard: Shard, schema: Schema, estimator: Any) -> Iterator[Block]:
    """The blocks that have rows, in single precision as XGBoost reads them.

    Raises:
        DataError: a row that cannot be used.
    """
    return (single_block(block, schema, estimator) for block in shard.blocks() if len(block))


def single_block(block: Block, schema: Schema, estimator: Any) -> Block:
    """A block whose columns are in single precision.

    Raises:
        DataError: a row that cannot be used.
    """
    require_weights(block.w, estimator)
    require_ids(block.qid, estimator)
    require_target(block, schema, estimator)
    with np.errstate(over="ignore"):
        X = np.asarray(block.X, dtype=np.float32)
    require_finite(X, schema, estimator, missing=True)
    return replace(block, X=X)


def surveyed(shard: Shard, schema: Schema, estimator: Any, bins: int) -> Update:
    """The distinct values of columns that have few, and whether rows have weights."""
    distinct, rows, weighted = Distinct(bins), 0, 0
    for block in single(shard, schema, estimator):
        distinct.add(block.X)
        rows += len(block)
        weighted = int(block.w is not None)
    if not rows:
        return Update()
    leaves, kinds = distinct.leaves()
    return Update(values={**leaves, WEIGHTED: np.array([weighted])}, kinds=kinds, weight=float(rows))


def wanted(totals: Totals, few: Sequence[np.ndarray | None], bins: int) -> list[np.ndarray]:
    """For each column with many values the ranks of its cuts, the least and the greatest value with them."""
    return [
        NOTHING if few[j] is not None or not count else _ranks(int(count), bins)
        for j, count in enumerate(totals.counts)
    ]


def _ranks(count: int, bins: int) -> np.ndarray:
    return np.unique(np.rint(np.linspace(0, count - 1, bins)).astype(np.int64))


def cut_points(
    few: Sequence[np.ndarray | None], search: Selection | None, bins: int
) -> tuple[np.ndarray, ...]:
    """For each column the least value, the values where a bin begins, and the greatest value."""
    found = []
    for j, values in enumerate(few):
        if values is None:
            assert search is not None
            values = search.at(j, _ranks(int(search.known_totals.counts[j]), bins))
        found.append(np.unique(values.astype(np.float32) + np.float32(0)))  # of 0 and -0 always 0
    return tuple(found)


def reference(
    cuts: Sequence[np.ndarray], names: tuple[str, ...] | None, bins: int
) -> xgboost.QuantileDMatrix:
    """A small table of which XGBoost makes just these bins, for `ref=`.

    Raises:
        DataError: XGBoost refuses the columns' names.
    """
    import xgboost

    table = np.full((max(1, *map(len, cuts)), len(cuts)), np.nan, dtype=np.float32)
    for j, values in enumerate(cuts):
        if len(values):
            table[:, j] = values[-1]
            table[: len(values), j] = values
    try:
        return xgboost.QuantileDMatrix(table, max_bin=bins, feature_names=names, nthread=1)
    except ValueError as error:
        raise DataError(f"XGBoost refuses the columns: {error}", cure="Rename them.") from error
