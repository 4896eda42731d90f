"""How many trees each node grows, and of how many rows."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

from talkoot.core.errors import DataError

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


def rows_of_half(rows: Mapping[str, int]) -> int:
    """The most rows such that nodes with at least so many have half of all rows or more.

    >>> rows_of_half({"a": 10, "b": 400, "c": 300})
    400
    """
    sizes, seen = sorted(rows.values(), reverse=True), 0
    for size in sizes:
        seen += size
        if 2 * seen >= sum(sizes):
            return size
    raise DataError("no node has rows")


def warn_idle(parts: Mapping[str, tuple[int, int]], name: str) -> None:
    """Warn of nodes with rows that grow no tree."""
    idle = [repr(node) for node, (_, count) in parts.items() if not count]
    if idle:
        more = f" and {len(idle) - SHOWN} more" if len(idle) > SHOWN else ""
        warnings.warn(
            f"{name}: no tree is grown of the rows of {', '.join(idle[:SHOWN])}{more}, which are too few for "
            "one of n_estimators; take a larger n_estimators to learn from them",
            UserWarning,
            stacklevel=2,
        )
