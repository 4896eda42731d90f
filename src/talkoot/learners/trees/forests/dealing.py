"""How many trees each node grows, and of how many rows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence

SHOWN = 5  # nodes named in a warning


def dealt(trees: int, shares: Mapping[str, float]) -> dict[str, tuple[int, int]]:
    """The index of the first tree and the number of trees of each node, in proportion to its share.

    Whole parts first; the trees that are left go to the largest remainders, of equal ones to the first names.

    >>> dealt(10, {"b": 50.0, "a": 25.0, "c": 25.0})
    {'a': (0, 3), 'b': (3, 5), 'c': (8, 2)}
    """
    total, names = math.fsum(shares.values()), sorted(shares)
    exact = {name: trees * shares[name] / total for name in names}
    counts = {name: int(exact[name]) for name in names}
    left = trees - sum(counts.values())
    for name in sorted(names, key=lambda name: counts[name] - exact[name])[:left]:
        counts[name] += 1
    firsts, parts = 0, {}
    for name in names:
        parts[name] = firsts, counts[name]
        firsts += counts[name]
    return parts


def rows_of_most(rows: Mapping[str, int]) -> int:
    """The most rows such that nodes with at least so many have nine tenths of all rows or more.

    >>> rows_of_most({"a": 10, "b": 400, "c": 300})
    300
    """
    sizes, seen = sorted(rows.values(), reverse=True), 0
    for size in sizes:
        seen += size
        if 10 * seen >= 9 * sum(sizes):
            return size
    raise AssertionError("some node has rows")


def warn_idle(name: str, nodes: Sequence[str], why: str, cure: str) -> None:
    """Warn of nodes whose rows are in no tree."""
    if nodes:
        shown = ", ".join(map(repr, sorted(nodes)[:SHOWN]))
        more = f" and {len(nodes) - SHOWN} more" if len(nodes) > SHOWN else ""
        warnings.warn(
            f"{name}: the rows of {shown}{more} are in no tree, as they are {why}; to learn from "
            f"them, {cure}",
            UserWarning,
            stacklevel=2,
        )
