"""The rows that early stopping holds out: the same ones however the rows are divided into nodes.

The rows of a class, in the order of the nodes, are cut into as many runs as rows are drawn, whose lengths
differ by one at most; of each run one row is drawn, by a hash of the seed, the class and the run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from talkoot.core.context import Ctx, mixed, stream_rng
from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema, Shard
from talkoot.learners.common.rows import take
from talkoot.learners.trees.boosting import sklearn_private as private

STEP = np.uint64(0x9E3779B97F4A7C15)  # between the hashed words of two runs
CURE = "Take early_stopping=False and choose max_iter=, or bring in more rows."


@final
@dataclass(frozen=True, slots=True, eq=False)
class Validation:
    """Which rows are held out.

    Args:
        rows: (nodes, classes) how many there are, nodes in the order of the cohort; one class for numbers.
        drawn: (classes,) how many of them are held out.
        seed: of the draw.
    """

    rows: np.ndarray
    drawn: np.ndarray
    seed: int


def classes_of(block: Block, classes: int) -> np.ndarray:
    """(rows,) the class of each row; 0 where there are none."""
    assert block.y is not None
    return block.y if classes > 1 else np.zeros(len(block), dtype=np.intp)


def drawn(rows: np.ndarray, schema: Schema, fraction: float, seed: int, cure: str = CURE) -> Validation:
    """The validation rows of so many rows of each class at each node: as many of each as in scikit-learn.

    Raises:
        DataError: there are too few.
    """
    counts = rows.sum(axis=0)
    try:
        training, held_out = private.split_sizes(int(counts.sum()), fraction)
    except ValueError as error:
        raise DataError(f"early stopping holds rows out, and there are too few: {error}", cure=cure) from None
    if schema.classes is None:
        return Validation(rows, np.array([held_out]), seed)
    single = np.flatnonzero(counts == 1)
    if len(single):
        label = schema.classes[single].tolist()[0]
        cause = f"early stopping holds rows of each class out, and there is one row of {label!r}"
        raise DataError(cause, column=schema.target, cure=cure)
    classes = int((counts > 0).sum())
    if min(training, held_out) < classes:
        raise DataError(
            f"validation_fraction={fraction} leaves {training} rows to learn from and {held_out} to hold "
            f"out, and each needs one of every class at least, of {classes}",
            column=schema.target,
            cure=cure,
        )
    return Validation(rows, counts - private.apportioned(counts, training, seed), seed)


@final
@dataclass(frozen=True, slots=True, eq=False)
class DrawnRows(Shard):
    """The rows of a shard that are held out, or the others."""

    shard: Shard
    validation: Validation
    before: np.ndarray  # (classes,) rows of the nodes before this one
    held_out: bool

    @property
    def name(self) -> str:
        """The node's name."""
        return self.shard.name

    def blocks(self) -> Iterator[Block]:
        """The rows in order."""
        seen, totals = self.before.copy(), self.validation.rows.sum(axis=0)
        for block in self.shard.blocks():
            classes, chosen = classes_of(block, len(totals)), np.zeros(len(block), dtype=bool)
            for k in np.unique(classes).tolist():
                own = np.flatnonzero(classes == k)
                word = int(stream_rng("validation", self.validation.seed, k).integers(1 << 63))
                chosen[own] = is_drawn(
                    seen[k] + np.arange(len(own)), int(totals[k]), int(self.validation.drawn[k]), word
                )
                seen[k] += len(own)
            yield take(block, np.flatnonzero(chosen == self.held_out))


def training_rows(shard: Shard, validation: Validation | None, ctx: Ctx) -> Shard:
    """The rows of a node that trees are learned from."""
    if validation is None:
        return shard
    before = validation.rows[: ctx.cohort.index(ctx.node)].sum(axis=0)
    return DrawnRows(shard, validation, before, held_out=False)


def validation_rows(shard: Shard, validation: Validation, ctx: Ctx) -> Shard:
    """The rows of a node that are held out."""
    rows = training_rows(shard, validation, ctx)
    assert isinstance(rows, DrawnRows)
    return replace(rows, held_out=True)


def is_drawn(index: np.ndarray, rows: int, count: int, word: int) -> np.ndarray:
    """Whether the rows at `index` are among the `count` that are drawn of so many `rows`.

    >>> [int(is_drawn(np.arange(10), 10, count, word=1).sum()) for count in (0, 1, 3, 9, 10)]
    [0, 1, 3, 9, 10]
    """
    if 2 * count > rows:
        return ~is_drawn(index, rows, rows - count, word)
    if not count:
        return np.zeros(len(index), dtype=bool)
    run = ((index + 1) * count - 1) // rows
    start, stop = run * rows // count, (run + 1) * rows // count
    words = mixed(np.uint64(word) + run.astype(np.uint64) * STEP)
    return np.asarray(index == start + (words % (stop - start).astype(np.uint64)).astype(np.int64))
