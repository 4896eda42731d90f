"""Bins of numeric columns, from the last rows, for all trees of an ensemble."""

from __future__ import annotations

import numpy as np

from talkoot.learners.online.model import Floats

ROWS, BINS = 512, 32
FIRST_RENEWALS = (32, 128, ROWS)
WORSE = 3  # times as many rows in the fullest bin as new bins would have


def edges_of(values: Floats) -> Floats:
    """Upper edges of the bins but the last, by ranks of finite values; infinite where there are fewer values.

    >>> edges_of(np.array([3.0, 1.0, 1.0, 2.0]))[:3]
    array([ 1.,  2., inf])
    """
    edges = np.full(BINS - 1, np.inf)
    kinds = np.unique(values)
    if len(kinds) > BINS:
        ranks = np.arange(1, BINS) * len(values) // BINS
        kinds = np.unique(np.append(np.sort(values)[ranks - 1], kinds[-1]))
    edges[: max(0, len(kinds) - 1)] = kinds[:-1]
    return edges


def renewed(edges: Floats, ring: Floats, seen: int) -> list[int]:
    """Renew the edges of columns in place where it is due; these columns.

    Early on all are renewed, later those of whose values too many have come to lie in one bin.
    """
    early = seen in FIRST_RENEWALS
    if not early and (seen == 0 or seen % ROWS):
        return []
    changed = []
    for j in range(ring.shape[1]):
        values = ring[: min(seen, ROWS), j]
        values = values[np.isfinite(values)]
        fresh = edges_of(values)
        if early or _fullest(edges[j], values) > WORSE * _fullest(fresh, values):
            edges[j] = fresh
            changed.append(j)
    return changed


def _fullest(edges: Floats, values: Floats) -> int:
    return int(np.bincount(np.searchsorted(edges, values), minlength=1).max())
