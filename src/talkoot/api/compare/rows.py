"""A node's scores with their intervals, and what it gains: one row of a comparison."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from talkoot.api.compare.comparison import VARIANTS, Row
from talkoot.api.compare.intervals import bounds_of, difference_interval, score_interval


class NodeScores(NamedTuple):
    """A node's scores, in the order of `VARIANTS`, as far as there are some.

    Args:
        scores: (models,), NaN for none.
        covariance: (models, models) of them.
        groups: of the jackknife.
        effective: rows that their precision depends on.
    """

    scores: np.ndarray
    covariance: np.ndarray
    groups: int
    effective: int


def row_of(node: str, rows: int, found: NodeScores, scoring: Any, why: str) -> Row:
    """The row of a node; `why` says what is missing."""
    scores, covariance, groups, effective = found
    bounds = bounds_of(scoring)
    shown = {
        variant: score_interval(
            float(score), float(covariance[at, at]), groups=groups, bounds=bounds, rows=effective
        )
        for at, (variant, score) in enumerate(zip(VARIANTS, scores, strict=False))
        if not np.isnan(score)
    }
    gain = None
    if {"alone", "together"} <= shown.keys():
        pair = covariance[np.ix_([1, 0], [1, 0])]
        gain = difference_interval(shown["together"], shown["alone"], pair, groups=groups, bounds=bounds)
    why = why or "has no score: no fold of its rows has every label"
    return Row(node=node, rows=rows, scores=shown, gain=gain, why=why)
