"""A node's state of boosting: the rows that trees are learned from, and those that are held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update, total
from talkoot.learners.held_out.measures import Additive
from talkoot.learners.trees.boosting import rows as node
from talkoot.learners.trees.boosting.binned import Binned
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

    def __reduce__(self) -> Any:
        return type(None), ()  # never sent: a node that is behind gets all that is past

    def advanced(self, question: node.Grow) -> Sets:
        """The rows after what a question asks to do first; as they are where that is done."""
        if self.step == question.step:
            return self
        rows = self.rows.items()
        found = {name: node.advanced(each, question, self.loss, self.bins) for name, each in rows}
        return Sets(found, self.loss, self.bins, question.step)

    def magnitudes(self) -> Update:
        """How large the gradients of the training rows are before the first tree."""
        rows = self.rows.get(TRAINING)
        return Update() if rows is None else node.magnitudes(rows, self.loss)

    def sums(self, sought: Sequence[np.ndarray]) -> Update:
        """The histograms of some leaves, of the training rows."""
        rows = self.rows.get(TRAINING)
        return (
            Update()
            if rows is None
            else node.sums(rows, sought, self.bins, constant=self.loss.constant_hessian)
        )

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
        bins, y, w = _read(start, part)
        if len(y):
            learned, nodes = name == TRAINING, len(ctx.cohort)
            rows[name] = node.begun(start, bins, y, w, loss, question.bits, nodes, learned=learned)
    return Sets(rows, loss, start.bins.count) if rows else None


def _read(start: node.Start, shard: Shard) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The rows of a shard in words of bins, their targets and weights."""
    binned, ys, ws = Binned(start.bins), [np.zeros(0)], [np.zeros(0)]
    for block in shard.blocks():
        assert block.y is not None
        binned.add(block.X)
        ys.append(block.y.reshape(-1).astype(np.float64))
        if (w := start.weights.of(block)) is not None:
            ws.append(w)
    return binned.words(), np.concatenate(ys), np.concatenate(ws) if start.weights.some else None
