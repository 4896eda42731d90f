"""Shapley values by their definition: every set of columns, and trees to try it on."""

from __future__ import annotations

from fractions import Fraction
from itertools import combinations
from math import factorial

import numpy as np
from hypothesis import strategies as st

from talkoot.learners.explain.trees import NO_TABLES, Tree

FEATURES = 4
VALUES = st.sampled_from([0.0, 1.0, 2.0, 3.0, np.nan])


def expectation(tree: Tree, x: np.ndarray, known: frozenset[int], node: int = 0) -> np.ndarray:
    """What a tree predicts where some columns are known; the others go both ways, as training rows did."""
    left, right = int(tree.left[node]), int(tree.right[node])
    if left < 0:
        return np.asarray(tree.value[node], dtype=np.float64)
    if int(tree.feature[node]) in known:
        return expectation(tree, x, known, left if goes_left(tree, x, node) else right)
    share = tree.cover[left] / tree.cover[node] if tree.cover[node] > 0 else 0.5
    return np.asarray(
        share * expectation(tree, x, known, left) + (1 - share) * expectation(tree, x, known, right)
    )


def goes_left(tree: Tree, x: np.ndarray, node: int) -> bool:
    """Where a row goes."""
    value, table = x[tree.feature[node]], int(tree.table[node])
    if np.isnan(value):
        return bool(tree.missing_left[node])
    return bool(value <= tree.threshold[node] if table < 0 else tree.tables[table, int(value)])


def shapley(tree: Tree, x: np.ndarray) -> np.ndarray:
    """(features, outputs) Shapley values, from the expectations of all sets of columns."""
    columns = range(len(x))
    worth = {
        frozenset(known): expectation(tree, x, frozenset(known))
        for size in range(len(x) + 1)
        for known in combinations(columns, size)
    }
    values = np.zeros((len(x), tree.value.shape[1]))
    for j in columns:
        for known in worth:
            if j not in known:
                share = factorial(len(known)) * factorial(len(x) - len(known) - 1) / factorial(len(x))
                values[j] += share * (worth[known | {j}] - worth[known])
    return values


@st.composite
def trees(draw: st.DrawFn, most: int = 9, outputs: int = 2) -> Tree:
    """Trees of any shape with up to `most` splits, of categories too, with leaves that no row reached."""
    left, right = [-1], [-1]
    for _ in range(draw(st.integers(0, most))):
        at = draw(st.sampled_from([node for node, child in enumerate(left) if child < 0]))
        left[at], right[at] = len(left), len(left) + 1
        left += [-1, -1]
        right += [-1, -1]
    n = len(left)
    cover = [draw(st.integers(0, 5)) if child < 0 else 0 for child in left]
    for node in range(n - 1, -1, -1):
        if left[node] >= 0:
            cover[node] = cover[left[node]] + cover[right[node]]

    def each(values: st.SearchStrategy[float]) -> np.ndarray:
        return np.array(draw(st.lists(values, min_size=n, max_size=n)))

    return Tree(
        feature=each(st.integers(0, FEATURES - 1)).astype(np.int64),
        threshold=each(st.sampled_from([0.5, 1.0, 2.5, np.inf])),
        left=np.array(left),
        right=np.array(right),
        value=np.stack([each(st.integers(-9, 9)).astype(np.float64) for _ in range(outputs)], axis=1),
        cover=np.array(cover, dtype=np.float64),
        missing_left=each(st.booleans()).astype(np.bool_),
        table=each(st.sampled_from([-1, -1, 0])).astype(np.int64),
        tables=np.array([[True, False, False, True]]),
    )


ROWS = st.lists(st.lists(VALUES, min_size=FEATURES, max_size=FEATURES), min_size=1, max_size=4).map(np.array)


def chain(depth: int) -> Tree:
    """A tree that splits by another column at each level, one leaf a level."""
    place = np.arange(2 * depth + 1)
    leaf = (place % 2 == 1) | (place == 2 * depth)
    return Tree(
        feature=place // 2,
        threshold=np.full(len(place), 0.5),
        left=np.where(leaf, -1, place + 1),
        right=np.where(leaf, -1, place + 2),
        value=np.where(leaf, place, 0.0)[:, np.newaxis],
        cover=np.where(leaf, 1.0, depth + 1 - place / 2),
        missing_left=np.zeros(len(place), bool),
        table=np.full(len(place), -1),
        tables=NO_TABLES,
    )


def exactly(tree: Tree, x: np.ndarray) -> list[float]:
    """Shapley values of a `chain`, in whole fractions: each leaf is a product of factors, one a column."""
    depth, values = len(x), [Fraction(0)] * len(x)
    for leaf in np.flatnonzero(tree.left < 0).tolist():
        above = min(leaf // 2 + 1, depth)  # columns that split above the leaf
        zero = [Fraction(depth - j, depth + 1 - j) for j in range(above)]
        warm = [bool(x[j] > 0.5) for j in range(above)]
        if leaf < 2 * depth:
            zero[-1], warm[-1] = 1 - zero[-1], not warm[-1]
        for j in range(above):
            product = [Fraction(1)]
            for i in set(range(above)) - {j}:  # times zero + (warm - zero) t
                rest = warm[i] - zero[i]
                raised, none = [Fraction(0), *product], [*product, Fraction(0)]
                product = [zero[i] * a + rest * b for a, b in zip(none, raised, strict=True)]
            whole = sum(a / (power + 1) for power, a in enumerate(product))
            values[j] += int(tree.value[leaf, 0]) * (warm[j] - zero[j]) * whole
    return [float(value) for value in values]
