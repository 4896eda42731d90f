"""The nodes' reports about their columns, and measures that compare them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
from scipy.special import chdtrc

from talkoot.data.contract.column import MAX_DISTINCT, RANKS
from talkoot.data.tables.columns import NUMBER, TEXT
from talkoot.data.tables.strays import is_number

DECILES = np.linspace(0, 1, 11)[1:-1]
NONE = np.zeros(1)


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class ColumnProfile:
    """The summary of one column at one node."""

    kind: str  # "number", "text", "empty" or the name of a type that cannot be used
    rows: int = 0
    missing: int = 0  # rows without a value
    infinite: int = 0  # rows with an infinite number
    grid: np.ndarray | None = None  # quantiles at `RANKS`; None for text and without finite values
    # the count of each value: of text, of few distinct numbers; else None
    values: Mapping[Any, int] | None = None
    complete: bool = True  # whether `values` has all of them
    # texts that are no numbers in a column of numbers, with counts
    strays: Mapping[str, int] = field(default_factory=dict)
    place: str = ""  # the row of a text that is not a number
    least: int = 1  # of what fewer rows have, the node reports nothing; see `thresholds`
    width: float = 0.0  # share of the values that each mean is of, where quantiles are means
    stray_rows: int = 0  # with a text that is no number, where thresholds hide the texts

    @property
    def known(self) -> int:
        """Rows with a finite value."""
        return self.rows - self.missing - self.infinite

    @property
    def absent(self) -> float:
        """Share of rows without a value."""
        return self.missing / self.rows if self.rows else 0.0

    @property
    def described(self) -> bool:
        """Whether there is something to compare."""
        return bool(self.known and (self.grid is not None or self.values))

    @property
    def every(self) -> str:
        """What has the only value that is known, in words."""
        few = f"all values but those of at most {self.least - 1} rows are"
        return "every value is" if self.least == 1 else few

    @property
    def quantiles(self) -> np.ndarray:
        """`grid`, of a column of numbers."""
        assert self.grid is not None
        return self.grid

    @property
    def extended(self) -> np.ndarray:
        """`quantiles`, with straight lines on in place of the flat ends that thresholds leave."""
        grid, last = self.quantiles, len(RANKS) - 1
        first = round(self.end * last)
        step = min(round(self.width * last), last - 2 * first)
        if self.least == 1 or step < 1:
            return grid
        ranks, ends = np.arange(len(RANKS)), (first, last - first)
        slopes = [
            (grid[ends[0] + step] - grid[ends[0]]) / step,
            (grid[ends[1]] - grid[ends[1] - step]) / step,
        ]
        made = grid + slopes[0] * np.minimum(ranks - ends[0], 0) + slopes[1] * np.maximum(ranks - ends[1], 0)
        return np.asarray(np.maximum(made, 0.0) if grid[0] >= 0 else made)

    def below(self, edges: np.ndarray, usual: np.ndarray | None = None) -> np.ndarray:
        """Share of the known values up to each edge; near `usual` where thresholds leave it open."""
        if self.values is not None and self.complete:
            at = np.array(list(self.values), dtype=np.float64)
            counts = np.array(list(self.values.values()), dtype=np.float64)
            shares = (counts * (at <= edges[:, None])).sum(axis=1) / counts.sum()
            hidden = (self.least - 1) / self.known
            low, high = shares - hidden, shares + hidden
        else:
            shares = np.searchsorted(self.quantiles, edges, side="right") / len(RANKS)
            low = np.searchsorted(self.quantiles, edges, side="left") / len(RANKS) - 1.5 * self.width
            low = np.where(edges >= self.quantiles[-1], 1 - self.end - self.width / 2, low)
            high = np.where(edges < self.quantiles[0], self.end + self.width / 2, shares + 1.5 * self.width)
        if self.least == 1 or usual is None:
            return np.asarray(shares)
        return np.asarray(np.clip(usual, low, high).clip(0, 1))

    @property
    def end(self) -> float:
        """The share of the values that is less than the first quantile that thresholds leave."""
        first = np.searchsorted(self.quantiles, self.quantiles[0], side="right") - 1
        return float(first) / (len(RANKS) - 1)

    def share(self, value: float | str) -> float:
        """Share of the known values that equal `value`; the least possible where thresholds hide it."""
        if self.values is not None:
            return self.values.get(value, 0) / self.known
        first = np.searchsorted(self.quantiles, float(value), side="left")
        return float(np.searchsorted(self.quantiles, float(value), side="right") - first) / len(RANKS)

    def share_at_most(self, value: float) -> float:
        """The greatest share that `value` can have where thresholds hide it; `share` elsewhere."""
        if self.least == 1:
            return self.share(value)
        if self.values is not None:
            return max(self.values.get(value, 0), self.least - 1) / self.known
        first, last = self.quantiles[0], self.quantiles[-1]
        if not first <= value <= last:
            return self.end + self.width / 2
        return min(1.0, self.share(value) + 2 * self.width + self.end * (value in (first, last)))

    def as_number(self) -> ColumnProfile:
        """A text column read as numbers; other texts count as missing."""
        assert self.values is not None
        if self.least > 1:
            odd = {text: count for text, count in self.values.items() if not is_number(text)}
            lost = self.missing + self.stray_rows
            return replace(self, kind=NUMBER, missing=lost, values=None, complete=True, strays=odd)
        numbers = {float(text): count for text, count in self.values.items() if is_number(text)}
        strays = {text: count for text, count in self.values.items() if not is_number(text)}
        lost = self.known - sum(numbers.values())
        return replace(
            self,
            kind=NUMBER,
            missing=self.missing + lost,
            grid=_weighted(numbers) if numbers else None,
            values=numbers if numbers and len(numbers) <= MAX_DISTINCT else None,
            strays=strays,
        )


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class NodeProfile:
    """The report of one node."""

    rows: int
    least: int  # of what fewer rows have, it says nothing
    named: bool  # whether its columns have names
    columns: Mapping[str, ColumnProfile]  # its features
    target: ColumnProfile | None  # its target, if it is one-dimensional
    has_target: bool
    hashes: np.ndarray  # sorted distinct hashes of its rows
    repeats: np.ndarray  # how many rows have each
    left_out: Mapping[str, str]  # columns that are not features, with the reason


def node_profile(leaves: Mapping[str, np.ndarray]) -> NodeProfile:
    """The report of a node, from the leaves of its update."""
    kinds = zip(leaves["names"].tolist(), leaves["kinds"].tolist(), strict=True)
    places = leaves["places"].tolist()
    columns = {
        name: replace(_column_profile(leaves, str(j), kind), place=places[j])
        for j, (name, kind) in enumerate(kinds)
    }
    text = leaves.get("target.values", RANKS).dtype.kind == "U"
    target = _column_profile(leaves, "target", TEXT if text else NUMBER)
    return NodeProfile(
        rows=int(leaves["rows"][0]),
        least=int(leaves["least"][0]),
        named=bool(leaves["named"][0]),
        columns=columns,
        target=target if target.rows else None,
        has_target=bool(leaves["target"][0]),
        hashes=leaves["hashes"],
        repeats=leaves["repeats"],
        left_out=dict(zip(leaves["left_out"].tolist(), leaves["reasons"].tolist(), strict=True)),
    )


def _column_profile(leaves: Mapping[str, np.ndarray], name: str, kind: str) -> ColumnProfile:
    if f"{name}.facts" not in leaves:
        return ColumnProfile(kind=kind)
    rows, missing, infinite = leaves[f"{name}.facts"].tolist()
    values = None
    if f"{name}.values" in leaves:
        pairs = zip(leaves[f"{name}.values"].tolist(), leaves[f"{name}.counts"].tolist(), strict=True)
        values = dict(pairs)
    return ColumnProfile(
        kind=kind,
        rows=rows,
        missing=missing,
        infinite=infinite,
        grid=leaves.get(f"{name}.grid"),
        values=values,
        complete=values is None or len(values) == leaves[f"{name}.distinct"][0],
        least=int(leaves["least"][0]),
        width=float(leaves.get(f"{name}.width", NONE)[0]),
        stray_rows=int(leaves.get(f"{name}.strays", NONE)[0]),
    )


def _weighted(numbers: Mapping[float, int]) -> np.ndarray:
    at = np.array(sorted(numbers))
    ends = np.cumsum([numbers[value] for value in at])
    return np.asarray(at[np.searchsorted(ends, RANKS * ends[-1]).clip(max=len(at) - 1)])


def contingency_table(profiles: Iterable[ColumnProfile]) -> np.ndarray:
    """The counts of a column's values by node, (profiles, bins).

    Where all nodes have few distinct values, each value is a bin; other numbers are binned at the deciles of
    all nodes' values together.
    """
    here = list(profiles)
    if all(profile.values is not None and profile.complete for profile in here):
        every = sorted({value for profile in here for value in profile.values or ()})
        counts = [[float((profile.values or {}).get(value, 0)) for value in every] for profile in here]
        return _with_hidden(np.array(counts), np.array([profile.least for profile in here]))
    grids = np.concatenate([profile.grid for profile in here if profile.grid is not None])
    weights = np.concatenate([np.full(len(v.grid), v.known) for v in here if v.grid is not None])
    order = np.argsort(grids, kind="stable")
    ends = np.cumsum(weights[order])
    edges = np.unique(grids[order][np.searchsorted(ends, DECILES * ends[-1])])
    rows = np.array([profile.known for profile in here])
    usual = np.average([profile.below(edges) for profile in here], axis=0, weights=rows)
    apart = _apart(usual, 3 * max(profile.width for profile in here))
    edges, usual = edges[apart], usual[apart]
    below = np.array([[0.0, *profile.below(edges, usual), 1.0] for profile in here])
    return np.asarray(np.diff(below, axis=1) * rows[:, None])


def _apart(shares: np.ndarray, gap: float) -> list[int]:
    """Which of increasing shares are far enough from 0, from 1 and from each other."""
    chosen: list[int] = []
    for index, share in enumerate(shares):
        if share - (shares[chosen[-1]] if chosen else 0.0) >= gap and 1 - share >= gap:
            chosen.append(index)
    return chosen


def _with_hidden(counts: np.ndarray, least: np.ndarray) -> np.ndarray:
    """Counts (profiles, values) in which what thresholds hide is as usual, as far as it may be.

    Nodes count what they hide with their most frequent value.
    """
    usual = counts.sum(axis=0) / max(counts.sum(), 1) * counts.sum(axis=1, keepdims=True)
    hidden = np.where(counts == 0, np.minimum(least[:, None] - 1, usual), 0.0)
    filled = counts + hidden
    filled[np.arange(len(counts)), counts.argmax(axis=1)] -= hidden.sum(axis=1)
    return np.asarray(np.maximum(filled, 0.0))


def stability_index(here: np.ndarray, rest: np.ndarray) -> float:
    """Population stability index of two histograms: sum (p - q) log(p / q), half a row added to each bin."""
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (here, rest))
    return float(((p - q) * np.log(p / q)).sum())


def total_variation(here: np.ndarray, rest: np.ndarray) -> float:
    """Total variation distance of two histograms."""
    return float(np.abs(here / here.sum() - rest / rest.sum()).sum() / 2)


def p_value(counts: np.ndarray) -> float:
    """The p-value of the chi-square test that all nodes of a table (nodes, bins) have one distribution."""
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(counts.shape) < 2:
        return 1.0
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    freedom = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    return float(chdtrc(freedom, ((counts - expected) ** 2 / expected).sum()))
