"""Places between values of a column, from counts alone: near wanted ranks, and never a value as such.

As in `selection`, nodes count values in bins of keys, and bins that hold a wanted rank are divided again; but
a bin that holds few values, or equal ones, is not: its upper end is the place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import final

import numpy as np

from talkoot.learners.sums.ranges import Bins, Ranges, numbers, steps
from talkoot.learners.sums.selection import Search, Totals, Wanted, bin_starts, part_counts, rows_changed


@final
@dataclass(frozen=True, slots=True, eq=False)
class CoarseSelection:
    """The state of a search.

    Args:
        ranges: what the nodes count next.
        below: (intervals,) weight of the column's values below each open range.
        few: a bin with at most so many values is not divided.
        scale: whole units in a weight of 1; None without weights.
        totals: of the columns; None in the first round.
        ranks: for each column the wanted ranks, ascending.
        found: for each column the greatest key of the bin that holds each of these.
        known: for each column, which keys are known.
    """

    ranges: Ranges
    below: np.ndarray
    few: int
    scale: float | None = None
    totals: Totals | None = None
    ranks: tuple[np.ndarray, ...] = ()
    found: tuple[np.ndarray, ...] = ()
    known: tuple[np.ndarray, ...] = ()

    @staticmethod
    def start(features: int, rows: int, few: int, scale: float | None = None) -> CoarseSelection:
        """Count all values of every column in bins of equal size, for about so many rows."""
        count = int(part_counts(np.array([rows]), features)[0])
        return CoarseSelection(Ranges.whole(features, count), np.zeros(features, np.int64), few, scale)

    @property
    def search(self) -> Search:
        """What nodes count next."""
        return Search(self.ranges, self.scale)

    @property
    def done(self) -> bool:
        """Whether all places are found."""
        return self.totals is not None and all(known.all() for known in self.known)

    def places(self, column: int) -> np.ndarray:
        """The places of a column, ascending, each once."""
        return numbers(np.unique(self.found[column]))

    def narrow(self, counted: Mapping[str, np.ndarray], wanted: Wanted) -> CoarseSelection:
        """The state for the next round, from this round's counts.

        Args:
            counted: the leaves of `counting.Values.count`, added; the totals of bins are not looked at.
            wanted: which ranks to find; called after the first round.

        Raises:
            DataError: the rows changed between rounds.
        """
        bins, count = self.ranges.bins(), counted["count"]
        mass = counted.get("mass", count)
        if self.totals is not None:
            return self._split(bins, count, mass)
        begins = bin_starts(bins)
        totals = Totals(
            int(counted["rows"][0]),
            np.add.reduceat(count, begins),
            np.add.reduceat(mass, begins),
            self.scale,
        )
        ranks = tuple(np.unique(each) for each in wanted(totals))
        found = tuple(np.zeros(len(each), np.uint64) for each in ranks)
        known = tuple(np.zeros(len(each), bool) for each in ranks)
        return replace(self, totals=totals, ranks=ranks, found=found, known=known)._split(bins, count, mass)

    def _split(self, bins: Bins, count: np.ndarray, mass: np.ndarray) -> CoarseSelection:
        """Read the places of bins that are not divided; divide the others that hold a wanted rank."""
        reached, begins = np.cumsum(mass), bin_starts(bins)
        offset = self.below - (reached - mass)[begins]
        reached = reached + np.repeat(offset, np.diff(np.append(begins, len(bins))))
        ends = (count <= self.few) | (bins.first == bins.last)
        spans, chosen = bins.spans(len(self.ranks)), [np.zeros(0, np.intp)]
        found, known = list(self.found), list(self.known)
        for j, ranks in enumerate(self.ranks):
            new = np.flatnonzero(~known[j])
            here = spans[j] + np.searchsorted(reached[spans[j] : spans[j + 1]], ranks[new], side="right")
            if (here >= spans[j + 1]).any():
                raise rows_changed()
            found[j], known[j] = found[j].copy(), known[j].copy()
            found[j][new], known[j][new] = bins.last[here], ends[here]
            chosen.append(here[~ends[here]])
        open_ = np.unique(np.concatenate(chosen))
        first, last = bins.first[open_], bins.last[open_]
        step = steps(first, last, part_counts(count[open_], len(open_)))
        each = np.arange(len(open_))
        return replace(
            self,
            ranges=Ranges(bins.column[open_], each, first, last, step),
            below=(reached - mass)[open_],
            found=tuple(found),
            known=tuple(known),
        )
