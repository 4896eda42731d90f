"""Columns that one node records in another unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from talkoot.data.contract.checks.quantities import BARE, CONVERSIONS, Conversion, named
from talkoot.data.contract.views import View

LOGARITHMS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "natural logarithms": np.log,
    "logarithms to base 10": np.log10,
    "logarithms to base 2": np.log2,
}
# Kolmogorov-Smirnov distance that two columns must have before a conversion: by a large factor, or one that
# the column's name and size speak for; by any other. Where only the name and a perfect fit speak for it, this
# many times what chance leaves.
FAR, FARTHER, LARGE, NOTED = 0.7, 0.9, 9.0, 2.5
# Distance that may be left after it, as people differ from place to place, in the same two cases; and what
# chance leaves besides, at 5% and at most.
CLOSE, CLOSER, LUCK, CHANCE = 0.25, 0.1, 1.36, 0.1
TIE = 0.1  # difference in that distance below which two conversions fit alike
AROUND = 1.4  # how many times larger one column may be after a conversion, or vary more
WIDE = 5.0  # the largest values over the smallest, from which logarithms have another shape
SHOWN = 3  # units that are named where it may be any of them


@final
@dataclass(frozen=True, slots=True)
class Relation:
    """How two columns differ.

    Args:
        ways: for each conversion that fits, the unit of the smaller values, that of the greater ones (or two
            empty texts), and what turns one into the other.
        sure: False where nothing but the column's name and a perfect fit speak for it.
    """

    ways: tuple[tuple[str, str, str], ...]
    sure: bool

    def text(self, below: bool) -> str:
        """What it means, seen from the column with the smaller values, or from the other."""
        told = []
        for low, high, how in self.ways[:SHOWN]:
            here, there = (low, high) if below else (high, low)
            told.append(f"{here} here and {there} there ({how})" if here else how)
        return ", or ".join(dict.fromkeys(told))


@final
@dataclass(frozen=True, slots=True)
class OtherUnit:
    """A node that records a column in another unit than most.

    Args:
        meaning: in which unit, or in which of several.
        against: the nodes that it differs from so.
        sure: False where nothing but the column's name and a perfect fit speak for it.
    """

    meaning: str
    against: list[str]
    sure: bool = True


def other_units(name: str, views: Mapping[str, View]) -> dict[str, OtherUnit]:
    """Nodes that record a column in another unit than most.

    Args:
        name: the column's name, which decides between units that fit alike.
        views: the column at each node.

    Returns:
        What is odd about each such node.
    """
    usable = {node: v for node, v in views.items() if v.grid is not None and _varied(v)}
    found: dict[str, dict[str, Relation]] = {node: {} for node in usable}
    for a in usable:
        for b in usable:
            if a < b and (seen := relation(name, usable[a], usable[b])) is not None:
                found[a][b] = found[b][a] = seen
    odd: dict[str, OtherUnit] = {}
    # The node at odds with most others is the one to convert; of two, the smaller.
    for node in sorted(found, key=lambda n: (-len(found[n]), usable[n].rows)):
        told: dict[tuple[bool, str], list[str]] = {}
        for other, seen in found[node].items():
            if other not in odd:
                below = size(usable[node].quantiles) < size(usable[other].quantiles)
                told.setdefault((seen.sure, seen.text(below)), []).append(other)
        if told:
            (sure, meaning), against = max(told.items(), key=lambda item: (item[0][0], len(item[1])))
            odd[node] = OtherUnit(meaning, against, sure)
    return odd


def relation(name: str, a: View, b: View) -> Relation | None:
    """What turns one column's values into the other's, if a known unit does; else None.

    Conversions compete that the column's name speaks for; where it names nothing, those with which both sides
    are as large as such columns are; where there is none, bare factors and logarithms. The best fit wins,
    with those that cannot be told from it; where the name says nothing, all that fit.
    """
    low, high = sorted((a.quantiles, b.quantiles), key=size)
    pair = Pair(low, high, LUCK * float(1 / a.known + 1 / b.known) ** 0.5)
    known = named(name)
    if pair.before < (min(FAR, NOTED * pair.luck) if known else FAR):
        return None
    fits = pair.fitting([way for way in CONVERSIONS if way.quantity in known], by_name=True)
    likely = {way: left for way, left in fits.items() if pair.usual(way)}
    if not known:
        bare = {way.factor for way in BARE}
        likely = pair.fitting([way for way in CONVERSIONS if pair.usual(way) and way.factor not in bare])
    fits = likely or fits or pair.fitting(BARE)
    ways = {(*way.units, way.how): left for way, left in fits.items()} or pair.logarithms()
    if not ways:
        return None
    tie = min(ways.values()) + TIE if known else 1.0
    alike = sorted((left, way) for way, left in ways.items() if left <= tie)
    return Relation(tuple(way for _, way in alike), pair.before >= FAR)


@final
class Pair:
    """Quantiles of two columns, the smaller first, and what chance leaves between two that are alike."""

    def __init__(self, low: np.ndarray, high: np.ndarray, luck: float) -> None:
        self.low, self.high, self.luck = low, high, luck
        self.parts = low[low != 0], high[high != 0]  # no factor moves a zero
        self.before = distance(*map(np.abs, self.parts))
        self.ratio = size(high) / size(low)

    def usual(self, way: Conversion) -> bool:
        """Whether both columns are as large as such columns are."""
        middle = float(np.median(self.low)), float(np.median(self.high))
        return way.usual(middle[0], 0) and way.usual(middle[1], 1)

    def fitting(self, ways: Iterable[Conversion], *, by_name: bool = False) -> dict[Conversion, float]:
        """The distance that each conversion leaves, of those that fit or nearly do; none where none fits."""
        left = {way: self.left(way) for way in ways if way.offset or _near(self.ratio / way.factor, AROUND)}
        room = {way: self.room(way, by_name) for way in left}
        if not any(left[way] <= room[way] for way in left):
            return {}
        return {way: d for way, d in left.items() if d <= room[way] + TIE}

    def left(self, way: Conversion) -> float:
        """The distance after a conversion; 1 where one column varies much more than the other."""
        low, high = (self.low, self.high) if way.offset else self.parts
        low = low * way.factor + way.offset
        spreads = [float(np.subtract(*np.quantile(values, (0.84, 0.16)))) for values in (low, high)]
        return distance(low, high) if all(spreads) and _near(spreads[0] / spreads[1], AROUND) else 1.0

    def room(self, way: Conversion, by_name: bool) -> float:
        """The distance that a conversion may leave; -1 where the columns are too near before it."""
        usual = by_name and self.usual(way)
        likely = usual or way.factor >= LARGE
        if self.before >= (FAR if likely else FARTHER):
            return (CLOSE if likely else CLOSER) + min(self.luck, CHANCE)
        sized = way.quantity is not None and way.quantity.typical is not None
        perfect = by_name and way.factor >= AROUND and (usual or not sized)
        return self.luck if perfect else -1.0

    def logarithms(self) -> dict[tuple[str, str, str], float]:
        """Logarithms of the greater values that fit, and the distance that each leaves."""
        least, low, high = np.quantile(self.high, (0, 0.02, 0.98))
        if self.before < FARTHER or least < 0 or high < WIDE * low:
            return {}
        kinds = LOGARITHMS if least > 0 else {}
        kinds = {**kinds, "logarithms of 1 + the value": np.log1p} if least < 1 else kinds
        left = {
            (name, "the values themselves", "a logarithm"): distance(self.low, of(self.high))
            for name, of in kinds.items()
        }
        return {way: d for way, d in left.items() if d <= CLOSER + min(self.luck, CHANCE)}


def _near(ratio: float, most: float) -> bool:
    return 1 / most < ratio < most


def size(values: np.ndarray) -> float:
    """How large the values are: the median of those that are not zero, without their sign."""
    return float(np.median(np.abs(values[values != 0])))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of two columns by their quantiles."""
    at = np.concatenate([a, b])
    below = [np.searchsorted(np.sort(grid), at, side="right") / len(grid) for grid in (a, b)]
    return float(np.abs(below[0] - below[1]).max())


def _varied(view: View) -> bool:
    return view.known >= 20 and len(np.unique(view.quantiles)) > 10
