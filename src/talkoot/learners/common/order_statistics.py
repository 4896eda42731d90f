"""What learners of medians and quantiles share: rounds of counting until every rank is found."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.common.columnwise import Columnwise
from talkoot.learners.common.rows import stacked_blocks
from talkoot.learners.common.state import State
from talkoot.learners.sums.counting import Values, counted
from talkoot.learners.sums.quantile import Places
from talkoot.learners.sums.ranges import Ranges
from talkoot.learners.sums.selection import Search, Selection, Totals

NOTHING = np.zeros(0, np.int64)


@dataclass(frozen=True, slots=True)
class OrderStatistics(Columnwise):
    """A learner whose result depends on order statistics, which are exact; see `sums.selection`."""

    question_types: ClassVar[tuple[type, ...]] = (Search, Ranges)

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Count all values first."""
        model = Columnwise.init(self, schema, rng)
        return replace(model, shared=Selection.start(schema.features, schema.rows))

    def question(self, model: State) -> Any:
        """What to count."""
        return model.shared.search

    def work(
        self, search: Search, local: Values | None, shard: Shard, ctx: Ctx
    ) -> tuple[Update, Values | None]:
        """Counts of values within the ranges; the node caches the values once they are few enough."""
        ranges, schema = search.ranges, ctx.schema
        parts = (self.read(block, schema, search.scale) for block in stacked_blocks(shard.blocks()))
        zeros = schema.sparse and self.counts_zeros
        return counted(parts, ranges, local, features=schema.features, nodes=len(ctx.cohort), zeros=zeros)

    def answer(self, model: State, update: Update) -> State:
        """Narrower ranges, or the result."""
        wanted = partial(self._wanted, schema=model.schema)
        selection = model.shared.narrow(update.values, wanted)
        if not selection.done:
            return replace(model, shared=selection)
        return replace(model, shared=None, result=self.result(model.schema, selection))

    def _wanted(self, totals: Totals, schema: Schema) -> list[np.ndarray]:
        return [self.ranks(schema, totals, j) if count else NOTHING for j, count in enumerate(totals.counts)]

    @property
    def counts_zeros(self) -> bool:
        """Whether values that sparse rows do not store count as 0."""
        return True

    @abstractmethod
    def read(self, block: Block, schema: Schema, scale: float | None) -> tuple[Any, np.ndarray | None]:
        """The checked (rows, features) of a block and their weights in whole units."""

    @abstractmethod
    def ranks(self, schema: Schema, totals: Totals, column: int) -> np.ndarray:
        """The ranks to find in a column with values."""

    @abstractmethod
    def result(self, schema: Schema, selection: Selection) -> Any:
        """The fitted estimator, from all values that were searched."""


def quantiles(selection: Selection, column: int, places: Places, dtype: np.dtype[Any]) -> np.ndarray:
    """Quantiles of a column, in the arithmetic of its dtype."""
    left, right = (selection.at(column, ranks).astype(dtype) for ranks in (places.left, places.right))
    return places.between(left, right)


def middle(count: int) -> np.ndarray:
    """The ranks whose values' mean is the median."""
    return np.array([(count - 1) // 2, count // 2])


def median(selection: Selection, column: int, count: int, dtype: np.dtype[Any]) -> Any:
    """The median of a column, in the arithmetic of its dtype; NaN where it has no values."""
    return np.mean(selection.at(column, middle(count)).astype(dtype)) if count else np.nan
