"""Columns that one node records in another unit."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import final

import numpy as np

from talkoot.data.contract.checks.quantities import BARE, CONVERSIONS, Conversion, quantities_of
from talkoot.data.contract.node_profile import ColumnProfile

LOGARITHMS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "natural logarithms": np.log,
    "logarithms to base 10": np.log10,
    "logarithms to base 2": np.log2,
}
# Kolmogorov-Smirnov distance that two columns need before a conversion: where the factor is large, or the
# column's name and size support it; for any other conversion. Where only its name and a close fit support it,
# this multiple of the critical distance.
MIN_BEFORE, MIN_BEFORE_UNLIKELY, LARGE_FACTOR, NAME_MULTIPLE = 0.7, 0.9, 9.0, 2.5
# Distance allowed after it in the same two cases, as people differ by place; the coefficient of the
# critical distance at 5%, and the largest one that is added.
MAX_AFTER, MAX_AFTER_UNLIKELY, KS_CRITICAL, MAX_CRITICAL = 0.25, 0.1, 1.36, 0.1
TIE = 0.1  # difference in distance below which two conversions fit equally well
SPREAD_RATIO = 1.4  # largest ratio of size or spread between two columns after a conversion
MIN_RANGE_RATIO = 5.0  # ratio of the largest to the smallest values from which logarithms can be recognised
SHOWN = 3  # candidate units that are named


@final
@dataclass(frozen=True, slots=True)
class Relation:
    """How two columns differ."""

    # for each that fits, the unit of the smaller values, the unit of the larger ones (or two empty texts),
    # and the conversion in words
    conversions: tuple[tuple[str, str, str], ...]
    sure: bool  # False where only the column's name and a close fit support it

    def text(self, below: bool) -> str:
        """The relation in words, for the column with the smaller values (`below`) or for the other."""
        meanings = []
        for low, high, how in self.conversions[:SHOWN]:
            here, there = (low, high) if below else (high, low)
            meanings.append(f"{here} here and {there} there ({how})" if here else how)
        return ", or ".join(dict.fromkeys(meanings))


@final
@dataclass(frozen=True, slots=True)
class OtherUnit:
    """A node that records a column in another unit than most."""

    meaning: str  # the difference in words
    against: list[str]  # the nodes that it differs from
    sure: bool = True  # False where only the column's name and a close fit support it


def other_units(name: str, profiles: Mapping[str, ColumnProfile]) -> dict[str, OtherUnit]:
    """The nodes that record a column in another unit than most, and the difference.

    The column's name decides between units that fit equally well.
    """
    numbers = {node: v for node, v in profiles.items() if v.grid is not None and v.known >= 20}
    usable = {node: v for node, v in numbers.items() if len(np.unique(v.quantiles)) > 10}
    found: dict[str, dict[str, Relation]] = {node: {} for node in usable}
    for a in usable:
        for b in usable:
            if a < b and (seen := relation(name, usable[a], usable[b])) is not None:
                found[a][b] = found[b][a] = seen
    odd: dict[str, OtherUnit] = {}
    # The node that differs from most others is reported; of two, the smaller.
    for node in sorted(found, key=lambda n: (-len(found[n]), usable[n].rows)):
        meanings: dict[tuple[bool, str], list[str]] = {}
        for other, seen in found[node].items():
            if other not in odd:
                below = size(usable[node].quantiles) < size(usable[other].quantiles)
                meanings.setdefault((seen.sure, seen.text(below)), []).append(other)
        if meanings:
            (sure, meaning), against = max(meanings.items(), key=lambda item: (item[0][0], len(item[1])))
            odd[node] = OtherUnit(meaning, against, sure)
    return odd


def relation(name: str, a: ColumnProfile, b: ColumnProfile) -> Relation | None:
    """The conversions between two columns, if a known one fits; else None.

    Candidates are the conversions of the quantities that the column's name mentions; without any, those for
    which both columns have a typical size; without these, bare factors and logarithms. The result has the
    best fit and those that fit equally well; where the name mentions no quantity, all that fit.
    """
    low, high = sorted((a.extended, b.extended), key=size)
    pair = Pair(low, high, KS_CRITICAL * float(1 / a.known + 1 / b.known) ** 0.5)
    known = quantities_of(name)
    if pair.before < (min(MIN_BEFORE, NAME_MULTIPLE * pair.critical) if known else MIN_BEFORE):
        return None
    fits = pair.fitting([c for c in CONVERSIONS if c.quantity in known], by_name=True)
    likely = {c: after for c, after in fits.items() if pair.usual(c)}
    if not known:
        bare = {c.factor for c in BARE}
        likely = pair.fitting([c for c in CONVERSIONS if pair.usual(c) and c.factor not in bare])
    fits = likely or fits or pair.fitting(BARE)
    distances = {(*c.units, c.how): after for c, after in fits.items()} or pair.logarithms()
    if not distances:
        return None
    tie = min(distances.values()) + TIE if known else 1.0
    alike = sorted((after, meaning) for meaning, after in distances.items() if after <= tie)
    return Relation(tuple(meaning for _, meaning in alike), pair.before >= MIN_BEFORE)


@final
class Pair:
    """Quantiles of two columns, the smaller first, and the critical distance between equal distributions."""

    def __init__(self, low: np.ndarray, high: np.ndarray, critical: float) -> None:
        self.low, self.high, self.critical = low, high, critical
        self.parts = low[low != 0], high[high != 0]  # a factor does not change zeros
        self.before = distance(*map(np.abs, self.parts))
        self.ratio = size(high) / size(low)

    def usual(self, conversion: Conversion) -> bool:
        """Whether both columns have a typical size."""
        middle = float(np.median(self.low)), float(np.median(self.high))
        return conversion.usual(middle[0], 0) and conversion.usual(middle[1], 1)

    def fitting(self, conversions: Iterable[Conversion], *, by_name: bool = False) -> dict[Conversion, float]:
        """The distance after each conversion that fits or nearly fits; empty where none fits."""
        near = [c for c in conversions if c.offset or _near(self.ratio / c.factor, SPREAD_RATIO)]
        after = {c: self.distance_after(c) for c in near}
        allowed = {c: self.allowed(c, by_name) for c in near}
        if not any(after[c] <= allowed[c] for c in near):
            return {}
        return {c: after[c] for c in near if after[c] <= allowed[c] + TIE}

    def distance_after(self, conversion: Conversion) -> float:
        """The distance after a conversion; 1 where the spreads differ too much."""
        low, high = (self.low, self.high) if conversion.offset else self.parts
        low = low * conversion.factor + conversion.offset
        spreads = [float(np.subtract(*np.quantile(values, (0.84, 0.16)))) for values in (low, high)]
        return distance(low, high) if all(spreads) and _near(spreads[0] / spreads[1], SPREAD_RATIO) else 1.0

    def allowed(self, conversion: Conversion, by_name: bool) -> float:
        """The distance allowed after a conversion; -1 where the columns are too similar before it."""
        usual = by_name and self.usual(conversion)
        likely = usual or conversion.factor >= LARGE_FACTOR
        if self.before >= (MIN_BEFORE if likely else MIN_BEFORE_UNLIKELY):
            return (MAX_AFTER if likely else MAX_AFTER_UNLIKELY) + min(self.critical, MAX_CRITICAL)
        sized = conversion.quantity is not None and conversion.quantity.typical is not None
        perfect = by_name and conversion.factor >= SPREAD_RATIO and (usual or not sized)
        return self.critical if perfect else -1.0

    def logarithms(self) -> dict[tuple[str, str, str], float]:
        """The distance after each logarithm of the larger values that fits."""
        least, low, high = np.quantile(self.high, (0, 0.02, 0.98))
        if self.before < MIN_BEFORE_UNLIKELY or least < 0 or high < MIN_RANGE_RATIO * low:
            return {}
        kinds = LOGARITHMS if least > 0 else {}
        kinds = {**kinds, "logarithms of 1 + the value": np.log1p} if least < 1 else kinds
        allowed = MAX_AFTER_UNLIKELY + min(self.critical, MAX_CRITICAL)
        after = {
            (name, "the values themselves", "a logarithm"): distance(self.low, logarithm(self.high))
            for name, logarithm in kinds.items()
        }
        return {meaning: d for meaning, d in after.items() if d <= allowed}


def _near(ratio: float, most: float) -> bool:
    return 1 / most < ratio < most


def size(values: np.ndarray) -> float:
    """The median magnitude of the values that are not zero."""
    return float(np.median(np.abs(values[values != 0])))


def distance(a: np.ndarray, b: np.ndarray) -> float:
    """Kolmogorov-Smirnov distance of two columns by their quantiles."""
    at = np.concatenate([a, b])
    below = [np.searchsorted(np.sort(grid), at, side="right") / len(grid) for grid in (a, b)]
    return float(np.abs(below[0] - below[1]).max())
