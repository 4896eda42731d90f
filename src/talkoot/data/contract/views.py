"""What nodes said about their columns, read back so that nodes can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
from scipy.special import chdtrc

from talkoot.data.contract.profile import FEW, RANKS
from talkoot.data.tables.columns import NUMBER, TEXT
from talkoot.data.tables.strays import is_number

DECILES = np.linspace(0, 1, 11)[1:-1]


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class View:
    """One column at one node.

    Args:
        kind: "number", "text", "empty" or the name of a type that cannot be used.
        rows: number of rows.
        missing: rows without a value.
        infinite: rows with an infinite number.
        grid: quantiles at `RANKS`; None for text and where nothing is known.
        values: how often each value occurs, where they are few or text; None otherwise.
        complete: whether `values` has all of them.
        strays: texts that are no numbers, of a column that is read as numbers in spite of them.
        place: in which row a text that is no number stands.
    """

    kind: str
    rows: int = 0
    missing: int = 0
    infinite: int = 0
    grid: np.ndarray | None = None
    values: Mapping[Any, int] | None = None
    complete: bool = True
    strays: Mapping[str, int] = field(default_factory=dict)
    place: str = ""

    @property
    def known(self) -> int:
        """Rows with a finite value."""
        return self.rows - self.missing - self.infinite

    @property
    def absent(self) -> float:
        """Share of rows without a value."""
        return self.missing / self.rows if self.rows else 0.0

    @property
    def quantiles(self) -> np.ndarray:
        """The quantiles of a column of numbers."""
        assert self.grid is not None
        return self.grid

    def below(self, edges: np.ndarray) -> np.ndarray:
        """Share of the known values that are at most each edge."""
        if self.values is not None and self.complete:
            at = np.array(list(self.values), dtype=np.float64)
            counts = np.array(list(self.values.values()), dtype=np.float64)
            return np.asarray((counts * (at <= edges[:, None])).sum(axis=1) / counts.sum())
        return np.searchsorted(self.quantiles, edges, side="right") / len(RANKS)

    def share(self, value: float) -> float:
        """Share of the known values that equal `value`."""
        if self.values is not None:
            return self.values.get(value, 0) / self.known
        first = np.searchsorted(self.quantiles, value, side="left")
        return float(np.searchsorted(self.quantiles, value, side="right") - first) / len(RANKS)

    def as_number(self) -> View:
        """A text column as the numbers it holds; what is no number counts as missing."""
        assert self.values is not None
        numbers = {float(text): count for text, count in self.values.items() if is_number(text)}
        strays = {text: count for text, count in self.values.items() if not is_number(text)}
        lost = self.known - sum(numbers.values())
        return replace(
            self,
            kind=NUMBER,
            missing=self.missing + lost,
            grid=_weighted(numbers) if numbers else None,
            values=numbers if numbers and len(numbers) <= FEW else None,
            strays=strays,
        )


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Said:
    """All that one node said.

    Args:
        rows: number of rows.
        named: whether its columns have names.
        columns: its features.
        target: its target, if it has a one-dimensional one.
        has_target: whether it has any.
        hashes: sorted distinct hashes of its rows.
        repeats: how many rows have each.
        left_out: columns that are no features, with the reason.
    """

    rows: int
    named: bool
    columns: Mapping[str, View]
    target: View | None
    has_target: bool
    hashes: np.ndarray
    repeats: np.ndarray
    left_out: Mapping[str, str]


def said(leaves: Mapping[str, np.ndarray]) -> Said:
    """What a node said, from the leaves of its update."""
    kinds = zip(leaves["names"].tolist(), leaves["kinds"].tolist(), strict=True)
    places = leaves["places"].tolist()
    columns = {
        name: replace(_view(leaves, str(j), kind), place=places[j]) for j, (name, kind) in enumerate(kinds)
    }
    text = leaves.get("target.values", RANKS).dtype.kind == "U"
    target = _view(leaves, "target", TEXT if text else NUMBER)
    return Said(
        rows=int(leaves["rows"][0]),
        named=bool(leaves["named"][0]),
        columns=columns,
        target=target if target.rows else None,
        has_target=bool(leaves["target"][0]),
        hashes=leaves["hashes"],
        repeats=leaves["repeats"],
        left_out=dict(zip(leaves["left_out"].tolist(), leaves["reasons"].tolist(), strict=True)),
    )


def _view(leaves: Mapping[str, np.ndarray], name: str, kind: str) -> View:
    if f"{name}.facts" not in leaves:
        return View(kind=kind)
    rows, missing, infinite = leaves[f"{name}.facts"].tolist()
    values = None
    if f"{name}.values" in leaves:
        pairs = zip(leaves[f"{name}.values"].tolist(), leaves[f"{name}.counts"].tolist(), strict=True)
        values = dict(pairs)
    return View(
        kind=kind,
        rows=rows,
        missing=missing,
        infinite=infinite,
        grid=leaves.get(f"{name}.grid"),
        values=values,
        complete=values is None or len(values) == leaves[f"{name}.distinct"][0],
    )


def _weighted(numbers: Mapping[float, int]) -> np.ndarray:
    at = np.array(sorted(numbers))
    ends = np.cumsum([numbers[value] for value in at])
    return np.asarray(at[np.searchsorted(ends, RANKS * ends[-1]).clip(max=len(at) - 1)])


def table(views: Iterable[View]) -> np.ndarray:
    """(views, bins) how often each value, or each tenth of all, occurs in a column at each node.

    A column whose values are few at every node has a bin for each of them; other numbers are cut at the
    deciles of all nodes' values together.
    """
    here = list(views)
    if all(view.values is not None and view.complete for view in here):
        every = sorted({value for view in here for value in view.values or ()})
        counts = [[float((view.values or {}).get(value, 0)) for value in every] for view in here]
        return np.array(counts)
    grids = np.concatenate([view.grid for view in here if view.grid is not None])
    weights = np.concatenate([np.full(len(v.grid), v.known) for v in here if v.grid is not None])
    order = np.argsort(grids, kind="stable")
    ends = np.cumsum(weights[order])
    edges = np.unique(grids[order][np.searchsorted(ends, DECILES * ends[-1])])
    below = np.array([[0.0, *view.below(edges), 1.0] for view in here])
    return np.asarray(np.diff(below, axis=1) * np.array([view.known for view in here])[:, None])


def stability(here: np.ndarray, rest: np.ndarray) -> float:
    """Population stability index of two histograms: sum (p - q) log(p / q), half a row added to each bin."""
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (here, rest))
    return float(((p - q) * np.log(p / q)).sum())


def apart(here: np.ndarray, rest: np.ndarray) -> float:
    """Total variation distance of two histograms: the share of rows that would have to change."""
    return float(np.abs(here / here.sum() - rest / rest.sum()).sum() / 2)


def chance(counts: np.ndarray) -> float:
    """The probability of a table (nodes, bins) at least this uneven, were all nodes alike (chi-square)."""
    counts = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    if min(counts.shape) < 2:
        return 1.0
    expected = counts.sum(axis=1, keepdims=True) * counts.sum(axis=0) / counts.sum()
    freedom = (counts.shape[0] - 1) * (counts.shape[1] - 1)
    return float(chdtrc(freedom, ((counts - expected) ** 2 / expected).sum()))
