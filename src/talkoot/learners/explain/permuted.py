"""Scores of a model where one column's values are permuted within each node, as sums over nodes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.core.context import stream_rng
from talkoot.core.errors import DataError
from talkoot.core.merge import Merge, Sum
from talkoot.core.query import Answer, Answers, Query
from talkoot.core.shard import Block, Schema, Shard
from talkoot.learners.common.rows import concatenate
from talkoot.learners.explain.predicting import predicting, reader, replaced
from talkoot.learners.held_out.measures import Additive


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class PermutedScores(Query):
    """The sums that scores are made of, with all columns as they are, then with each permuted.

    A node holds its rows in memory. Nothing but sums over its rows leaves it.
    """

    estimator: Any  # the fitted model
    measure: Additive | None = None  # the score
    schema: Schema | None = None  # of the rows
    repeats: int = 5  # permutations of each column
    seed: int = 0  # of the permutations

    def answer(self, shard: Shard) -> Answer:
        """``"sums"``: (1 + columns x repeats, leaves); nothing where the node has no rows."""
        assert self.schema is not None
        blocks = [block for block in shard.blocks() if len(block)]
        if not blocks:
            return {}
        block = concatenate(blocks)
        orders = [*permutations(len(block), self.repeats, node_seed(self.seed, shard.name))]
        sums = [self._sums(block, block.X)]
        for j in range(self.schema.features):
            column = list(block.X.values())[j] if isinstance(block.X, dict) else block.X[:, j]
            sums += [self._sums(block, replaced(block.X, {j: column[order]})) for order in orders]
        return {"sums": np.array(sums)}

    def _sums(self, block: Block, X: Any) -> np.ndarray:
        assert self.schema is not None
        assert self.measure is not None
        transform_rows, last = reader(self.estimator, self.schema)
        y = np.asarray(block.y if self.schema.classes is None else self.schema.classes[block.y])
        w = np.ones(len(block)) if block.w is None else np.asarray(block.w, dtype=np.float64)
        with predicting(self.estimator):
            return np.array([leaf.sum() for leaf in self.measure.leaves(last, transform_rows(X), y, w)])

    def merge(self) -> Merge:
        """Sums add."""
        return Sum()

    def finish(self, model: Answers) -> dict[str, np.ndarray]:
        """``"score"`` () as the rows are, and ``"permuted"`` (columns, repeats) with each column permuted.

        Raises:
            DataError: no node has rows.
        """
        assert self.schema is not None
        assert self.measure is not None
        if not model.nodes:
            raise DataError("no node has rows to score", cure="Look at the shards: all are empty.")
        (answer,) = model.nodes.values()
        scores = self.measure.score(answer["sums"])
        permuted = scores[1:].reshape(self.schema.features, self.repeats)
        return {"score": scores[0], "permuted": permuted}


def node_seed(seed: int, node: str) -> int:
    """The `random_state` with which scikit-learn's `permutation_importance` permutes as a node does."""
    return int(stream_rng("permuted", seed, node).integers(2**31))


def permutations(rows: int, repeats: int, seed: int) -> Iterator[np.ndarray]:
    """The orders of a column in the repeats of scikit-learn's `permutation_importance(random_state=seed)`."""
    random = np.random.RandomState(np.random.RandomState(seed).randint(2**31))
    shuffled = np.arange(rows)
    order = np.arange(rows)
    for _ in range(repeats):
        random.shuffle(shuffled)
        order = order[shuffled]  # scikit-learn permutes what the repeat before has permuted
        yield order
