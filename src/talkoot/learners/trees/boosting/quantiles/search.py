"""The search for the quantiles that a loss predicts: of the target, then of the residuals of each leaf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.learners.common.order_statistics import median, middle, quantiles
from talkoot.learners.sums.quantile import Places, places, weighted_places
from talkoot.learners.sums.selection import Search, Selection, Totals

LOSSES = ("absolute_error", "quantile")  # whose best prediction is a quantile
METHOD = "inverted_cdf"  # of weighted quantiles, as scikit-learn takes them here
FLOAT = np.dtype(np.float64)


def has_quantiles(estimator: Any) -> bool:
    """Whether the best prediction of an estimator's loss is a quantile."""
    return estimator.loss in LOSSES


@final
@dataclass(frozen=True, slots=True, eq=False)
class QuantileSearch:
    """A search for one quantile of each of some groups of values.

    Args:
        estimator: whose loss says which quantile.
        selection: of the values that it lies between, a column for each group.
    """

    estimator: Any
    selection: Selection

    @staticmethod
    def start(estimator: Any, groups: int, scale: float | None) -> QuantileSearch:
        """Count all values of each group first, with so many whole units in a weight of 1."""
        return QuantileSearch(estimator, replace(Selection.start(groups, 1), scale=scale))

    def again(self, groups: int) -> QuantileSearch:
        """A search in other groups."""
        return QuantileSearch.start(self.estimator, groups, self.selection.scale)

    @property
    def search(self) -> Search:
        """What nodes count next."""
        return self.selection.search

    @property
    def done(self) -> bool:
        """Whether all quantiles are found."""
        return self.selection.done

    @property
    def values(self) -> np.ndarray:
        """(groups,) the quantiles, once all are found."""
        groups = range(len(self.selection.known_totals.counts))
        return np.array([self._value(group) for group in groups], dtype=FLOAT)

    def narrow(self, counted: Mapping[str, np.ndarray]) -> QuantileSearch:
        """The search for the next round, from this round's counts.

        Raises:
            DataError: the rows changed between rounds, or those of a group weigh too little.
        """
        return replace(self, selection=self.selection.narrow(counted, self._wanted))

    def _wanted(self, totals: Totals) -> list[np.ndarray]:
        if not totals.mass.all():
            raise DataError(
                "the weights of some rows are so small beside others that a leaf of the trees weighs nothing",
                cure="Leave out rows that weigh next to nothing.",
            )
        groups = range(len(totals.counts))
        return [
            middle(int(totals.counts[group])) if self._halves else self._places(totals, group).ranks
            for group in groups
        ]

    def _value(self, group: int) -> float:
        totals = self.selection.known_totals
        if self._halves:
            return float(median(self.selection, group, int(totals.counts[group]), FLOAT))
        return float(quantiles(self.selection, group, self._places(totals, group), FLOAT)[0])

    @property
    def _halves(self) -> bool:
        """Whether the quantile is the mean of the two values in the middle."""
        return self.estimator.loss == "absolute_error" and self.selection.scale is None

    def _places(self, totals: Totals, group: int) -> Places:
        """Between which values of a group the quantile lies."""
        percent = 50 if self.estimator.loss == "absolute_error" else 100 * self.estimator.quantile
        level = np.array([percent / 100])
        if totals.scale is None:
            return places(int(totals.counts[group]), level)
        return weighted_places(int(totals.mass[group]), totals.scale, level, METHOD)
