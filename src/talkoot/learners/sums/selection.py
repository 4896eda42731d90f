"""Order statistics of columns that are never in one place: exact, from counts alone.

Every round the nodes count the values in bins of keys (`ranges`, `counting`), and the bins that hold a wanted
rank are divided again, until each holds one value. A bin of one value says which it is by its total. Where
all values of a bin may be equal, the next round counts their mean as a bin of its own, which proves it or
not.

Only whole numbers are added, so the order of nodes and of rows cannot matter, and the answer is that of
sorting all values. A round has about 2^18 bins, so an update is of 4 MB at most; where more than 2^14
intervals are open each has 16 bins. Medians take 3 to 5 rounds, 1000 quantiles of 20 columns 6 to 8.
Source of selection by counting: Munro, Paterson 1980, Selection and sorting with limited storage.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.learners.sums.ranges import Bins, Ranges, numbers, steps

BINS = 1 << 18  # in a round
FEWEST = 16  # parts of an interval, however many intervals are open
ENOUGH = 1024  # parts of an interval that holds few values


@final
@dataclass(frozen=True, slots=True, eq=False)
class Totals:
    """What is known of the columns once they have been counted.

    Args:
        rows: number of rows.
        counts: (features,) how many values each column has; missing ones do not count.
        mass: (features,) the sum of their weights, in whole units; the same as `counts` without weights.
        scale: whole units in a weight of 1, a power of two; None without weights.
    """

    rows: int
    counts: np.ndarray
    mass: np.ndarray
    scale: float | None = None


Wanted = Callable[[Totals], Sequence[np.ndarray]]  # for each column the ranks to find, from 0


@final
@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    """Where a search for order statistics stands.

    A value has rank t if the values below it weigh t at most, and with it more than t. Without weights that
    is its place in the sorted column, from 0.

    Args:
        ranges: what the nodes count next.
        below: (intervals,) weight of the values of the column below each open interval.
        inside: (intervals,) how many values each holds; unknown in the first round.
        totals: what is known of the columns.
        ranks: for each column the wanted ranks, ascending.
        found: for each column the keys at these ranks, where they are known.
        known: for each column, which are.
        scale: as in `Totals`.

    >>> start = Selection.start(features=1, rows=3)
    >>> start.done, len(start.ranges.bins())
    (False, 1024)
    """

    ranges: Ranges
    below: np.ndarray
    inside: np.ndarray | None = None
    totals: Totals | None = None
    ranks: tuple[np.ndarray, ...] = ()
    found: tuple[np.ndarray, ...] = ()
    known: tuple[np.ndarray, ...] = ()
    scale: float | None = None

    @staticmethod
    def start(features: int, rows: int) -> Selection:
        """Count all values of every column in bins of like size.

        Args:
            features: number of columns.
            rows: about how many rows there are.
        """
        parts = _parts(np.array([rows]), features)
        return Selection(Ranges.whole(features, int(parts[0])), np.zeros(features, np.int64))

    @property
    def done(self) -> bool:
        """Whether all ranks are found."""
        return self.totals is not None and all(known.all() for known in self.known)

    @property
    def known_totals(self) -> Totals:
        """The totals, from the first round on."""
        assert self.totals is not None, "the columns have been counted"
        return self.totals

    def at(self, column: int, ranks: np.ndarray) -> np.ndarray:
        """The values of a column at ranks that were wanted, once all are found."""
        return numbers(self.found[column][np.searchsorted(self.ranks[column], ranks)])

    def narrow(self, counted: Mapping[str, np.ndarray], wanted: Wanted) -> Selection:
        """The next round, from what the nodes counted in this one.

        Args:
            counted: the leaves of `counting.Values.count`, added.
            wanted: which ranks to find; read after the first round.

        Raises:
            DataError: the nodes no longer have the rows that they had.
        """
        bins = self.ranges.bins()
        if self.inside is None:
            return self._first(bins, counted, wanted)._split(bins, counted)
        if (np.add.reduceat(counted["count"], _starts(bins)) != self.inside).any():
            raise DataError(
                "the rows changed while they were read: a value was counted in one round and not in another",
                cure="Fit again when nothing writes to the data any more.",
            )
        return self._split(bins, counted)

    def _first(self, bins: Bins, counted: Mapping[str, np.ndarray], wanted: Wanted) -> Selection:
        """With the totals of every column, and the ranks that are wanted."""
        starts, count = _starts(bins), counted["count"]
        counts = np.add.reduceat(count, starts)
        mass = np.add.reduceat(counted.get("mass", count), starts)
        totals = Totals(int(counted["rows"][0]), counts, mass, self.scale)
        ranks = tuple(np.unique(ranks) for ranks in wanted(totals))
        assert all(not len(r) or 0 <= r[0] <= r[-1] < m for r, m in zip(ranks, mass, strict=True))
        found = tuple(np.zeros(len(r), np.uint64) for r in ranks)
        known = tuple(np.zeros(len(r), bool) for r in ranks)
        return replace(self, totals=totals, ranks=ranks, found=found, known=known)

    def _split(self, bins: Bins, counted: Mapping[str, np.ndarray]) -> Selection:
        """Take the value of each bin that is sure to hold one only; divide the others that hold a rank."""
        count, total = counted["count"], counted["total"].view(np.uint64)
        mass = counted.get("mass", count)
        reached, starts = np.cumsum(mass), _starts(bins)
        offset = self.below - (reached - mass)[starts]
        reached = reached + np.repeat(offset, np.diff(np.append(starts, len(bins))))
        hits, spans = self._hits(bins, reached), bins.spans(len(self.ranks))
        single = (count == 1) | (bins.first == bins.last)
        value = bins.first + np.where(count == 1, total, np.uint64(0))
        found, known = list(self.found), list(self.known)
        for j, hit in hits.items():
            here = spans[j] + hit
            new, sure = ~known[j], known[j].copy()
            sure[new] = single[here]
            found[j] = found[j].copy()
            found[j][np.flatnonzero(new)[single[here]]] = value[here[single[here]]]
            known[j] = sure
        some = [spans[j] + hit for j, hit in hits.items()]
        chosen = np.unique(np.concatenate(some)) if some else np.zeros(0, np.intp)
        chosen = chosen[~single[chosen]]
        ranges = _divided(bins, chosen, count, total)
        below = (reached - mass)[chosen]
        return replace(
            self, ranges=ranges, below=below, inside=count[chosen], found=tuple(found), known=tuple(known)
        )

    def _hits(self, bins: Bins, reached: np.ndarray) -> dict[int, np.ndarray]:
        """For each column that lacks values, the bins (counted in the column) that hold its open ranks."""
        spans, hits = bins.spans(len(self.ranks)), {}
        for j, (ranks, known) in enumerate(zip(self.ranks, self.known, strict=True)):
            if not known.all():
                hits[j] = np.searchsorted(reached[spans[j] : spans[j + 1]], ranks[~known], side="right")
        return hits


def _starts(bins: Bins) -> np.ndarray:
    """Where the bins of each interval begin."""
    return np.flatnonzero(np.append(True, np.diff(bins.interval) != 0))


def _parts(count: np.ndarray, intervals: int) -> np.ndarray:
    """Into how many parts to divide intervals with so many values each."""
    most = max(FEWEST, BINS // max(1, intervals))
    return np.asarray(np.minimum(most, np.maximum(ENOUGH, 4 * count)))


def _divided(bins: Bins, chosen: np.ndarray, count: np.ndarray, total: np.ndarray) -> Ranges:
    """The chosen bins as intervals: three ranges each where the mean of the values is a key, else one."""
    first, last, values = bins.first[chosen], bins.last[chosen], count[chosen]
    share = total[chosen] // values.astype(np.uint64)
    even = (share * values.astype(np.uint64) == total[chosen]) & (share <= last - first)
    mean = first + np.where(even, share, np.uint64(0))
    one = np.uint64(1)
    pieces: list[tuple[np.ndarray, Any, Any]] = [
        (~even, first, last),
        (even & (mean > first), first, mean - one),
        (even, mean, mean),
        (even & (mean < last), mean + one, last),
    ]
    parts = np.maximum(_parts(values, len(chosen)) // np.where(even, 2, 1), 2)
    of = np.concatenate([np.flatnonzero(some) for some, _, _ in pieces])
    low = np.concatenate([low[some] for some, low, _ in pieces])
    high = np.concatenate([high[some] for some, _, high in pieces])
    order = np.lexsort((low, of))
    of, low, high = of[order], low[order], high[order]
    return Ranges(bins.column[chosen][of], of, low, high, steps(low, high, parts[of]))
