"""Thresholds of bins that all nodes agree on: by scikit-learn's rule, over the rows of all nodes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np

from talkoot.core.update import Leaf
from talkoot.learners.sums.coarse_selection import CoarseSelection
from talkoot.learners.sums.quantile import Places, places, weighted_places
from talkoot.learners.sums.selection import Selection, Totals, Wanted
from talkoot.learners.sums.tally import columns_of
from talkoot.learners.trees.boosting.sklearn_private import GREATEST

METHOD = "averaged_inverted_cdf"
LEAST = 20  # rows of all nodes in a bin whose edges are agreed from counts, about
FINE = 8  # an agreed edge is off by one bin in so many at most
NOTHING = np.zeros(0, np.int64)
DISTINCT = "distinct:"  # leaves with the values of a column that has few


@final
@dataclass(frozen=True, slots=True, eq=False)
class Bins:
    """How values become bins.

    A value x is in bin i if thresholds[i - 1] < x <= thresholds[i]; the last bin holds missing values.
    """

    thresholds: tuple[np.ndarray, ...]
    missing: np.ndarray  # (features,) whether some value is missing
    count: int  # of bins, with the one for missing values
    categories: int = 0  # how many columns, the first ones, hold categories: each is a bin, and a threshold


@final
@dataclass(slots=True)
class Distinct:
    """The distinct values of each column of a node, as long as they are few."""

    most: int
    found: list[np.ndarray | None] = field(default_factory=list)  # None: too many

    def add(self, X: np.ndarray) -> None:
        """Look at the values of a block."""
        self.found = self.found or [np.zeros(0)] * X.shape[1]
        for j, values in enumerate(columns_of(X)):
            if (seen := self.found[j]) is not None:
                seen = np.union1d(seen, values[~np.isnan(values)]).astype(np.float64)
                self.found[j] = seen if len(seen) <= self.most else None

    def leaves(self) -> tuple[dict[str, Any], dict[str, Leaf]]:
        """(values, kinds): the values of columns with few, and for each column how many nodes have many."""
        few = {f"{DISTINCT}{j}": values for j, values in enumerate(self.found) if values is not None}
        many = np.array([values is None for values in self.found], dtype=np.int64)
        return {**few, "many": many}, dict.fromkeys(few, Leaf.UNION)


def few_values(update: Any, most: int) -> tuple[np.ndarray | None, ...]:
    """For each column its distinct values over all nodes; None if there are more."""
    many = update.values["many"]
    found = [None if many[j] else np.asarray(update.values[f"{DISTINCT}{j}"]) for j in range(len(many))]
    return tuple(values if values is not None and len(values) <= most else None for values in found)


def edges(totals: Totals, column: int, most: int) -> Places:
    """Where the thresholds of a column with many values lie."""
    percentiles = np.linspace(0, 100, num=most + 1)[1:-1]
    if totals.scale is not None:
        return weighted_places(int(totals.mass[column]), totals.scale, percentiles / 100, METHOD)
    return places(int(totals.counts[column]), percentiles / 100, METHOD)


def wanted_ranks(few: tuple[np.ndarray | None, ...], most: int, *, agreed: bool) -> Wanted:
    """Which ranks of each column to look for: none where all of its values are known."""

    def wanted(totals: Totals) -> list[np.ndarray]:
        if agreed:
            return [agreed_ranks(totals, j, most) for j in range(len(few))]
        return [
            NOTHING if few[j] is not None or not totals.counts[j] else edges(totals, j, most).ranks
            for j in range(len(few))
        ]

    return wanted


def made_bins(
    selection: Selection,
    few: tuple[np.ndarray | None, ...],
    missing: np.ndarray,
    most: int,
    categories: Sequence[int] = (),
) -> Bins:
    """The bins, once all values that they need are found; of the first columns so many categories each."""
    totals = selection.known_totals
    thresholds = [np.arange(count, dtype=np.float64) for count in categories]
    for j, values in enumerate(few[len(categories) :], start=len(categories)):
        if values is not None:
            found = (values[:-1] + values[1:]) / 2
        else:
            places_ = edges(totals, j, most)
            found = places_.between(selection.at(j, places_.left), selection.at(j, places_.right))
        thresholds.append(np.minimum(np.unique(found), GREATEST))
    return Bins(tuple(thresholds), missing, most + 1 if categories else _enough(thresholds), len(categories))


def agreed_few(rows: int, most: int) -> int:
    """How many rows a range may have that is not divided, where edges come from counts."""
    return max(LEAST, rows // (FINE * most))


def agreed_ranks(totals: Totals, column: int, most: int) -> np.ndarray:
    """Where the edges of a column lie, about: at equal weights, with `LEAST` rows between two."""
    bins, mass = min(most, int(totals.counts[column]) // LEAST), int(totals.mass[column])
    return np.array([k * mass // bins for k in range(1, bins)], dtype=np.int64)


def agreed_bins(selection: CoarseSelection, missing: np.ndarray, most: int) -> Bins:
    """Bins whose edges come from counts alone: no row's value is one, unless many rows have it."""
    found = (selection.places(j) for j in range(len(missing)))
    thresholds = (np.where(np.isnan(edges), GREATEST, np.minimum(edges, GREATEST)) for edges in found)
    distinct = tuple(np.unique(edges) for edges in thresholds)
    return Bins(distinct, missing, _enough(distinct))


def _enough(thresholds: Sequence[np.ndarray]) -> int:
    """The bins of the column that has most, and the one for missing values: histograms are no wider."""
    return max(map(len, thresholds)) + 2
