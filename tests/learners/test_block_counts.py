"""Counts of blocks in compiled code are those of sorted values, and bins are scikit-learn's."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import csr_array

from examples import examples
from talkoot.kernels.intervals import bins_of, tables
from talkoot.learners.sums import counting
from talkoot.learners.sums.counting import Leaves, counted
from talkoot.learners.sums.selection import Selection, Totals
from talkoot.learners.trees.boosting.sklearn_private import bin_mapper

LEVELS = np.linspace(0, 1, 12)
SPECIAL = [0.0, -0.0, 1.0, -1.0, 5e-324, -5e-324, 1.8e308 / 2, -1e308, np.nan]


def column(rng: np.random.Generator, rows: int, kind: str) -> np.ndarray:
    """Numbers that are even, far apart, equal, odd or infinite."""
    match kind:
        case "normal":
            return rng.normal(size=rows)
        case "wide":
            return rng.normal(size=rows) * 10.0 ** rng.integers(-300, 300, rows)
        case "few":
            return rng.integers(-2, 3, rows).astype(float)
        case "near":
            return 1e9 + rng.integers(0, 50, rows) * 2.0**-22
        case "infinite":
            return np.where(
                rng.random(rows) < 0.2, rng.choice([np.inf, -np.inf], rows), rng.normal(size=rows)
            )
    return rng.choice(SPECIAL, rows)


def searched(parts: list[Any], features: int, scale: float | None) -> tuple[list[np.ndarray], list[Leaves]]:
    """The values at some ranks, and what was counted in each round."""

    def wanted(totals: Totals) -> list[np.ndarray]:
        return [np.floor((mass - 1) * LEVELS).astype(np.int64) if mass else NONE for mass in totals.mass]

    search, cached, rounds = Selection.start(features, 100), None, []
    while not search.done:
        update, cached = counted(
            iter(parts), search.ranges, cached, features=features, nodes=1, zeros=scale is None
        )
        rounds.append(dict(update.values))
        search = search.narrow(update.values, wanted)
    return [search.at(j, ranks) for j, ranks in enumerate(search.ranks)], rounds


NONE = np.zeros(0, np.int64)


@examples(120)
@given(
    kinds=st.lists(
        st.sampled_from(["normal", "wide", "few", "near", "infinite", "special"]), min_size=1, max_size=3
    ),
    rows=st.integers(1, 90),
    form=st.sampled_from(["C", "F", "float32", "sparse", "weighted"]),
    limit=st.sampled_from([1, 200, 1000]),
    batch=st.sampled_from([1, 10**6]),
    seed=st.integers(0, 999),
)
def test_blocks_are_counted_as_sorted_values(
    kinds: list[str], rows: int, form: str, limit: int, batch: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    X: Any = np.column_stack([column(rng, rows, kind) for kind in kinds])
    with np.errstate(over="ignore"):
        X = np.asarray(X, np.float32 if form == "float32" else np.float64, order="F" if form == "F" else "C")
    w = rng.integers(0, 4, rows) if form == "weighted" else None
    step = rng.integers(1, rows + 1)
    pieces = [slice(a, a + step) for a in range(0, rows, step)]
    make = csr_array if form == "sparse" else np.asarray
    parts = [(make(X[part]), None if w is None else w[part]) for part in pieces]
    scale = None if w is None else 1.0
    want, sums = searched(parts, len(kinds), scale)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "KEY_BYTES", limit)
        patch.setattr(counting, "BATCH_BYTES", batch)
        got, again = searched(parts, len(kinds), scale)
    for one, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(one, other)
    for ours, theirs in zip(again, sums, strict=True):
        assert ours.keys() == theirs.keys()
        assert all(ours[name].tolist() == theirs[name].tolist() for name in ours)


@examples(120)
@given(
    kind=st.sampled_from(["normal", "wide", "few", "near", "special"]),
    edges=st.integers(0, 254),
    categories=st.integers(0, 255),
    seed=st.integers(0, 999),
)
def test_bins_are_scikit_learns(kind: str, edges: int, categories: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, thresholds = column(rng, 400, kind), np.unique(column(rng, edges, kind))
    thresholds = thresholds[~np.isnan(thresholds)]
    values[::7] = np.resize(thresholds, len(values[::7])) if len(thresholds) else 0.0
    codes = np.where(rng.random(400) < 0.1, np.nan, rng.integers(0, max(1, categories), 400).astype(float))
    X, every = np.column_stack([codes, values]), [np.arange(categories, dtype=float), thresholds]
    flat, spans, found = np.concatenate(every), np.cumsum([0, *map(len, every)]), np.empty((2, 400), np.uint8)
    bins_of(np.ascontiguousarray(X.T), flat, spans, tables(flat, spans), 255, found)
    np.testing.assert_array_equal(found.T, bin_mapper(every, 256, 1).transform(X))
