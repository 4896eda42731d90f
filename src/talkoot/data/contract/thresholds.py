"""A column between organisations: nothing is reported that fewer than `least` rows have.

Quantiles are means of at least `least` rows that are next to each other in order of size, without as many at
either end (microaggregation: Domingo-Ferrer, Mateo-Sanz 2002, Practical data-oriented microaggregation for
statistical disclosure control, IEEE TKDE 14).
"""

from __future__ import annotations

import math

import numpy as np

from talkoot.data.contract.column import MAX_CATEGORIES, RANKS, Column

MAX_STORED = 2048  # values that a summary stores at least, of so many
MAX_GROUPS = 100  # means of a column
MIN_GROUPS = 2


def thresholded(column: Column, name: str, least: int) -> dict[str, np.ndarray]:
    """The column as leaves of an update, as `Column.leaves`.

    Counts below `least` are reported as zero, and a reader cannot subtract to find them: what rows are left
    over counts with the most frequent value, or is `least` or more.
    """
    infinite = _or_zero(column.infinite, least)
    missing = _or_zero(column.missing + column.infinite - infinite, least)
    strays = _or_zero(column.strays, least)
    known = column.rows - missing - infinite  # as a reader reckons: up to `least` - 1 of them are missing
    leaves = {
        f"{name}.facts": np.array([column.rows, missing, infinite]),
        f"{name}.strays": np.array([strays]),
        **_values(column, name, known, least),
    }
    numbers = column.rows - column.missing - column.infinite - column.strays
    if numbers > column.strays and not column.summary.empty:
        hidden = (2 if column.text else 1) * (least - 1)  # rows at most that are no numbers in spite of it
        found = means(*column.summary.stored(), known - strays - hidden, least)
        if found is not None:
            leaves |= {f"{name}.grid": found[0], f"{name}.width": np.array([found[1]])}
    return leaves


def means(values: np.ndarray, weights: np.ndarray, rows: int, least: int) -> tuple[np.ndarray, float] | None:
    """Quantiles at `RANKS` of ordered values, between means of groups of at least `least`; None for too few.

    Where the groups begin follows from `rows`, the least number of values that there can be. The second
    part is the share of the values in each group.

    >>> grid, width = means(np.arange(100.0), np.ones(100), 100, 10)
    >>> [float(grid[rank]) for rank in (0, 100, 200)], round(width, 2)
    ([15.5, 51.0, 84.0], 0.11)
    """
    reach = min(rows, MAX_STORED)
    groups = min(MAX_GROUPS, (reach - 2 * least - 2) // least)
    if groups < MIN_GROUPS or len(values) < reach:
        return None
    end = least / reach
    cut = math.ceil(end * len(values))
    inner = slice(cut, len(values) - cut)
    parts = zip(np.array_split(values[inner], groups), np.array_split(weights[inner], groups), strict=True)
    found = [np.clip((here * (w / w.sum())).sum(), here[0], here[-1]) for here, w in parts]
    at = end + (np.arange(groups) + 0.5) / groups * (1 - 2 * end)
    return np.asarray(np.interp(RANKS, at, found)), (1 - 2 * end) / groups


def _values(column: Column, name: str, known: int, least: int) -> dict[str, np.ndarray]:
    """The values that enough rows have; of numbers all of them or none."""
    if column.counts is None or not (column.counts or column.text):
        return {}
    enough = [(value, count) for value, count in column.counts.items() if count >= least]
    top = sorted(enough, key=lambda pair: (-pair[1], pair[0]))[:MAX_CATEGORIES]
    values, counts = [value for value, _ in top], np.array([count for _, count in top], dtype=np.int64)
    rest = known - int(counts.sum())
    complete = bool(top) and rest < least
    if complete:
        counts[0] += rest
    elif not column.text:
        return {}
    return {
        f"{name}.values": np.array(values, dtype=str if column.text else float),
        f"{name}.counts": counts,
        f"{name}.distinct": np.array([len(top) + (not complete)]),
    }


def _or_zero(count: int, least: int) -> int:
    return count if count >= least else 0
