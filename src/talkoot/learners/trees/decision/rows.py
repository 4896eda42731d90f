"""A node's part of a tree: its rows in bins, which leaf each is in, and the sums of leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.common.columnwise import check_block
from talkoot.learners.common.rows import take
from talkoot.learners.trees.boosting.binned import Binned
from talkoot.learners.trees.boosting.bins import Bins
from talkoot.learners.trees.decision.accepted import require_target
from talkoot.learners.trees.decision.units import Units, terms, whole, whole_weights
from talkoot.learners.trees.single_precision import as_single, require_single
from talkoot.learners.trees.weights import Weights

SPLIT = 5  # numbers of a split: left child, parent, feature, bin, whether missing values go left
SUMS = "sums"  # a leaf: whole sums of bins


@final
@dataclass(frozen=True, slots=True, eq=False)
class Entries:
    """Bins of each column of some leaves that may have rows there.

    Args:
        bins: (entries,) uint8, one leaf after the other, and in it one column after the other.
        spans: (leaves * features + 1,) where those of each column begin.
    """

    bins: np.ndarray
    spans: np.ndarray


@final
@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """What a node needs to begin: bins, what rows weigh, and what whole numbers count."""

    bins: Bins
    weights: Weights
    units: Units


@final
@dataclass(frozen=True, slots=True, eq=False)
class Grow:
    """What nodes do in a step.

    Args:
        step: its number; a node that has not done the step before answers that it is behind.
        splits: (splits, SPLIT) since the step before; since the beginning where there is a `start`.
        wanted: (leaves,) whose sums are wanted.
        entries: in which bins.
        start: for the first step, and where some node is behind.
    """

    step: int
    splits: np.ndarray
    wanted: np.ndarray
    entries: Entries
    start: Start | None = None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a node between two steps; never changed, so that a step can be taken back."""

    binned: np.ndarray  # (words, rows) uint32, of four columns in each
    bins: int  # how many there are, with the one for missing values
    units: Units
    classes: np.ndarray  # (rows,) the class of each; empty where the target is a number
    parts: np.ndarray  # (rows,) whole weights of rows with classes, empty without weights; else (rows, sums)
    order: np.ndarray  # (rows,) the numbers of the rows, those of a leaf side by side
    places: np.ndarray  # (parts, 2) from where to where in it leaves have them
    step: int = -1  # the last that was done

    def __reduce__(self) -> Any:
        return type(None), ()  # never sent: a node that is behind gets all splits

    def advanced(self, question: Grow) -> Rows:
        """The rows after what a question asks to do first; as they are where that is done."""
        from talkoot.kernels.trees.histograms import divide

        if self.step == question.step or not len(question.splits):
            return replace(self, step=question.step)
        splits, order = question.splits, self.order.copy()
        places = np.zeros((max(len(self.places), splits[-1, 0] + 2), 2), np.int64)
        places[: len(self.places)] = self.places
        left = np.arange(self.bins) <= splits[:, 3, None]
        left[:, -1] = splits[:, 4]
        divide(self.binned, order, places, splits, left)
        return replace(self, order=order, places=places, step=question.step)

    def sums(self, wanted: np.ndarray, entries: Entries) -> Update:
        """The sums of some leaves."""
        from talkoot.kernels.trees.leaf_sums import sums_of_classes, sums_of_parts

        found = np.zeros((len(entries.bins), self.units.sums), np.int64)
        where = self.binned, self.order, self.places[wanted]
        if self.units.classes:
            sums_of_classes(*where, self.classes, self.parts, entries.bins, entries.spans, found)
        else:
            sums_of_parts(*where, self.parts, entries.bins, entries.spans, found)
        return Update(values={SUMS: found}, weight=float(len(self.order)))


def checked(shard: Shard, schema: Schema, estimator: Any, weights: Weights) -> Iterator[Block]:
    """The blocks that have rows, as trees compare them, with what these weigh.

    Raises:
        DataError: a row that cannot be used.
    """
    for block in shard.blocks():
        if not len(block):
            continue
        check_block(block, schema, estimator)
        X = as_single(block.X)
        require_single(X, schema)
        if schema.classes is None:
            require_target(block, schema, estimator)
        yield replace(block, X=X.astype(np.float64), w=weights.of(block))


def weighing(block: Block) -> Block:
    """The rows of a block that weigh something."""
    return block if block.w is None or block.w.all() else take(block, np.flatnonzero(block.w))


def begun(start: Start, shard: Shard, schema: Schema, estimator: Any) -> Rows | None:
    """The rows of a node, all in the root; None where there are none."""
    binned, units = Binned(start.bins), start.units
    classes, parts = [np.zeros(0, np.intp)], list[np.ndarray]()
    for block in map(weighing, checked(shard, schema, estimator, start.weights)):
        assert block.y is not None
        binned.add(block.X)
        if units.classes:
            classes.append(block.y)
            parts.append(np.zeros(0, np.int64) if block.w is None else whole_weights(block.w, units))
        else:
            y = block.y.reshape(-1).astype(np.float64)
            parts.append(whole(terms(estimator.criterion, y, block.w), units))
    if not binned.rows:
        return None
    every, root = np.arange(binned.rows, dtype=np.uint32), np.array([[0, binned.rows]])
    return Rows(
        binned.words(),
        start.bins.count,
        units,
        np.concatenate(classes),
        np.concatenate(parts),
        every,
        root,
    )
