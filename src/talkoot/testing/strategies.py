"""Hypothesis strategies: updates, and splits of rows over nodes."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from talkoot.core.update import Leaf, Update

_NUMBERS = st.integers(-1000, 1000).map(float)  # whole, so that sums do not depend on their order


def _vector(size: int) -> st.SearchStrategy[np.ndarray]:
    return st.lists(_NUMBERS, min_size=size, max_size=size).map(np.array)


@st.composite
def updates(draw: st.DrawFn, *, sums_only: bool = False, zero: bool = True) -> Update:
    """Updates of one shape: two SUM leaves, and unless `sums_only` a MIN, a MAX and a UNION leaf.

    Args:
        draw: passed by Hypothesis.
        sums_only: leave out the leaves that have no inverse.
        zero: sometimes draw ``Update()``, what a node without rows sends.
    """
    if zero and draw(st.integers(0, 4)) == 0:
        return Update()
    values = {"w": draw(_vector(3)), "b": draw(_vector(1))}
    weight = float(draw(st.integers(1, 50)))
    if sums_only:
        return Update(values=values, weight=weight)
    values |= {"low": draw(_vector(2)), "high": draw(_vector(2))}
    values["seen"] = np.unique(np.array(draw(st.lists(st.sampled_from("abcde"), min_size=1)), dtype=str))
    return Update(values=values, weight=weight, kinds={"low": Leaf.MIN, "high": Leaf.MAX, "seen": Leaf.UNION})


@st.composite
def deals(draw: st.DrawFn, rows: int, *, most: int = 7) -> list[np.ndarray]:
    """Row indices by node: each row belongs to one of up to `most` nodes, of which some may be empty."""
    nodes = draw(st.integers(1, most))
    seed = draw(st.integers(0, 2**32 - 1))
    empty = draw(st.integers(0, nodes - 1))  # number of empty nodes
    owner = np.random.default_rng(seed).integers(empty, nodes, rows)
    return [np.flatnonzero(owner == node) for node in range(nodes)]
