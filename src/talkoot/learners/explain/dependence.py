"""Partial dependence: the mean prediction with some columns set to a value, as sums over nodes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.merge import Merge, Sum
from talkoot.core.query import Answer, Answers, Query
from talkoot.core.shard import Schema, Shard
from talkoot.learners.explain.predicting import predicting, reader, replaced, response


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DependenceSums(Query):
    """The sums of predictions at each point of a grid, and the weight of the rows."""

    model: Any  # the fitted model
    schema: Schema  # of the rows
    points: tuple[dict[int, Any], ...]  # for each point of the grid the value of each column, by place

    def answer(self, shard: Shard) -> Answer:
        """``"sums"`` (points, outputs) or (points,), and ``"weight"`` (1,); nothing without rows."""
        transform_rows, last = reader(self.model, self.schema)
        sums: Any = 0.0
        weight = 0.0
        for block in shard.blocks():
            if len(block):
                w = np.ones(len(block)) if block.w is None else np.asarray(block.w, dtype=np.float64)
                weight += float(w.sum())
                with predicting(self.model):
                    at_points = [
                        w @ response(last, transform_rows(replaced(block.X, point))) for point in self.points
                    ]
                sums = sums + np.array(at_points)
        return {"sums": sums, "weight": np.array([weight])} if weight > 0 else {}

    def merge(self) -> Merge:
        """Sums add."""
        return Sum()

    def finish(self, model: Answers) -> dict[str, np.ndarray]:
        """``"average"``: (points,) or (points, outputs) mean predictions.

        Raises:
            DataError: no node has rows.
        """
        if not model.nodes:
            raise DataError("no node has rows to predict", cure="Look at the shards: all are empty.")
        (answer,) = model.nodes.values()
        return {"average": answer["sums"] / answer["weight"]}
