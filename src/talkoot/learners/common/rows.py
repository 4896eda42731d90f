"""Checks of rows that learners of sums share: finite numbers, valid weights, and batches of sparse rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.utils.validation import has_fit_parameter

from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.common.estimator import require_finite

STORED = 1 << 20  # numbers in a batch of sparse rows, so that the dense sum per batch is cheap


def checked_blocks(shard: Shard, schema: Schema, estimator: Any) -> Iterator[Block]:
    """The shard's blocks that hold rows, checked and ready to be summed.

    Raises:
        DataError: missing or infinite numbers, negative weights, or weights that the estimator does not take.
    """
    for block in stacked_blocks(shard.blocks()):
        require_finite(block.X, schema, estimator)
        require_weights(block.w, estimator)
        yield block


def stacked_blocks(blocks: Iterable[Block]) -> Iterator[Block]:
    """Blocks without the empty ones, CSR blocks stacked until they hold `STORED` numbers.

    >>> ones = [Block(X=sp.csr_array(np.ones((2, 3)))) for _ in range(3)]
    >>> [block.X.shape for block in stacked_blocks(ones)]
    [(6, 3)]
    """
    batch: list[Block] = []
    stored = 0
    for block in blocks:
        if not len(block):
            continue
        if isinstance(block.X, np.ndarray):
            yield block
            continue
        batch.append(block)
        stored += block.X.nnz
        if stored >= STORED:
            yield concatenate(batch)
            batch, stored = [], 0
    if batch:
        yield concatenate(batch)


def take(block: Block, rows: np.ndarray) -> Block:
    """Some rows of a block, by index."""
    X: Any = block.X
    X = {name: column[rows] for name, column in X.items()} if isinstance(X, Mapping) else X[rows]
    y, w, qid = (None if values is None else values[rows] for values in (block.y, block.w, block.qid))
    return Block(X=X, y=y, w=w, qid=qid)


def concatenate(blocks: Sequence[Block]) -> Block:
    """One block of the rows of all, in order; where only some blocks have weights, other rows weigh 1."""
    first: Any = blocks[0].X
    Xs: Any = [block.X for block in blocks]
    if isinstance(first, Mapping):
        X: Any = {name: np.concatenate([columns[name] for columns in Xs]) for name in first}
    elif sp.issparse(first):
        X = sp.csr_array(sp.vstack(Xs, format="csr"))
    else:
        X = np.concatenate(Xs)
    y = None if blocks[0].y is None else np.concatenate([np.asarray(block.y) for block in blocks])
    ws = [np.ones(len(block)) if block.w is None else block.w for block in blocks]
    some = any(block.w is not None for block in blocks)
    ids = [block.qid for block in blocks if block.qid is not None]
    return Block(X=X, y=y, w=np.concatenate(ws) if some else None, qid=np.concatenate(ids) if ids else None)


def require_weights(w: np.ndarray | None, estimator: Any) -> None:
    """Refuse sample weights that cannot be used.

    Raises:
        DataError: some of `w` are negative, or the estimator takes no weights.
    """
    if w is None:
        return
    if not has_fit_parameter(estimator, "sample_weight"):
        raise DataError(f"{type(estimator).__name__} takes no sample weights", cure="Leave weight= out.")
    if (w < 0).any():
        cure = "Weights are numbers >= 0; a weight of 0 leaves a row out."
        raise DataError(f"at least {int((w < 0).sum())} sample weights are negative", cure=cure)


def require_dense(schema: Schema, estimator: Any) -> None:
    """Refuse sparse rows.

    Raises:
        DataError: the rows are sparse.
    """
    if schema.sparse:
        cure = "Pass dense rows, or put TruncatedSVD() in front in a Pipeline."
        raise DataError(f"the rows are sparse, and {type(estimator).__name__} needs dense ones", cure=cure)


def require_classes(schema: Schema, estimator: Any) -> np.ndarray:
    """The classes that the nodes agreed on.

    Raises:
        DataError: there is no target.
    """
    if schema.classes is None:
        raise no_target(estimator)
    return schema.classes


def no_target(estimator: Any) -> DataError:
    """The error of an estimator that needs a target and has none."""
    return DataError(f"{type(estimator).__name__} needs a target", cure="Name it with target=.")


def require_rows(update: Update, estimator: Any) -> None:
    """Refuse sums of no rows.

    Raises:
        DataError: no node has rows.
    """
    if not update.values or not update.values["rows"].sum() > 0:
        cure = "Look at the shards: all are empty."
        raise DataError(f"no node has rows to fit {type(estimator).__name__}", cure=cure)
