"""A node's state of boosting: the rows that trees are learned from, and those that are held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update, total
from talkoot.learners.held_out.measures import Additive
from talkoot.learners.sums.counting import Values
from talkoot.learners.trees.boosting import rows as node
from talkoot.learners.trees.boosting.binned import Binned
from talkoot.learners.trees.boosting.quantiles.leaves import LeafCount, residuals_by_leaf
from talkoot.learners.trees.boosting.stopping import TRAINING, VALIDATION, scored
from talkoot.learners.trees.boosting.validation import training_rows, validation_rows


@final
@dataclass(frozen=True, slots=True, eq=False)
class Sets:
    """The rows of a node between two steps, by `TRAINING` and `VALIDATION`, where there are some."""

    rows: Mapping[str, node.Rows]
    loss: Any  # that the trees minimise
    bins: int  # of a histogram
    step: int = -1  # the last that was done
    residuals: Values | None = None  # of the training rows, by leaf; None until they are counted

    def __reduce__(self) -> Any:
        return type(None), ()  # never sent: a node that is behind gets all that is past

    def advanced(self, question: node.Grow) -> Sets:
        """The rows after what a question asks to do first; as they are where that is done."""
        if self.step == question.step:
            return self
        rows = self.rows.items()
        found = {name: node.advanced(each, question, self.loss, self.bins) for name, each in rows}
        same = question.ended is None and not any(map(len, question.splits))
        return Sets(found, self.loss, self.bins, question.step, self.residuals if same else None)

    def magnitudes(self) -> Update:
        """How large the gradients of the training rows are before the first tree."""
        rows = self.rows.get(TRAINING)
        return Update() if rows is None else node.magnitudes(rows, self.loss)

    def sums(self, sought: Sequence[np.ndarray]) -> Update:
        """The histograms of some leaves, of the training rows."""
        rows = self.rows.get(TRAINING)
        return Update() if rows is None else node.sums(rows, sought, self.bins)

    def counted(self, count: LeafCount) -> tuple[Update, Sets]:
        """Counts of the residuals of training rows, and the rows with their residuals by leaf."""
        rows = self.rows.get(TRAINING)
        if rows is None:
            return Update(), self
        found = self.residuals
        if found is None:
            errors = partial(_errors, rows)
            found = residuals_by_leaf(count, errors, rows.weights, rows.orders[0], rows.places[0])
        update = Update(values=found.count(count.search.ranges), weight=float(found.rows))
        return update, replace(self, residuals=found)

    def scored(self, measure: Additive, schema: Schema) -> Update:
        """The sums that their scores are made of."""
        return total(scored(rows, name, measure, self.loss, schema) for name, rows in self.rows.items())


def begun(question: node.Grow, shard: Shard, ctx: Ctx, loss: Any) -> Sets | None:
    """The rows before any tree, or behind those that are past; None where there are none."""
    start = question.start
    assert start is not None
    shards = {TRAINING: training_rows(shard, start.validation, ctx)}
    if start.validation is not None:
        shards[VALIDATION] = validation_rows(shard, start.validation, ctx)
    rows = dict[str, node.Rows]()
    for name, part in shards.items():
        bins, y, w, raw = _read(start, part)
        if len(y):
            learned, nodes = name == TRAINING, len(ctx.cohort)
            rows[name] = node.begun(start, bins, y, w, raw, loss, question.bits, nodes, learned=learned)
    return Sets(rows, loss, start.bins.count) if rows else None


def _errors(rows: node.Rows, numbers: np.ndarray) -> np.ndarray:
    """The residuals of some rows."""
    return np.asarray(rows.target[numbers] - rows.raw[numbers, 0])


def _read(
    start: node.Start, shard: Shard
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    """The rows of a shard in words of bins, targets, weights, and what earlier trees predict."""
    binned, ys, ws = Binned(start.bins), [np.zeros(0)], [np.zeros(0)]
    raws = [np.zeros((0, len(start.baseline)))]
    for block in shard.blocks():
        assert block.y is not None
        binned.add(block.X)
        ys.append(block.y.reshape(-1).astype(np.float64))
        if (w := start.weights.of(block)) is not None:
            ws.append(w)
        if start.earlier is not None:
            raws.append(start.earlier.raw(block.X, start.baseline, start.bins))
    w = np.concatenate(ws) if start.weights.some else None
    raw = None if start.earlier is None else np.concatenate(raws)
    return binned.words(), np.concatenate(ys), w, raw
