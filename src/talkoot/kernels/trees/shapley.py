"""Exact Shapley values of trees: what each column adds to a prediction, averaged over all orders of columns.

A column that is not known sends a row down both branches, by the share of the training rows that went each
way (Lundberg et al. 2020, Nature Machine Intelligence 2, "tree path dependent"). The average over orders is
an integral over [0, 1] (Owen 1972, Management Science 18) of a polynomial, which a few points of
Gauss-Legendre give exactly; one walk over the nodes does it, as in Linear TreeSHAP (Yu et al. 2022, NeurIPS).
All factors are positive, so deep trees lose no digits.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from talkoot.kernels.compiled import inlined, kernel

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
States = npt.NDArray[np.int64]

ROWS = 16  # that go through a tree together
# a row at a node: it passed all splits above by the same column, it left at the last of them, or before
HOT, COLD, COLD_BEFORE = 1, 0, -1


class Nodes(NamedTuple):
    """The nodes of a tree, parents before children, a left child next to its parent; n nodes.

    `feature` is that of a node's own split, -1 at a leaf. `earlier` is the nearest node above whose parent
    splits by the same column as the node's parent, 0 where there is none; `zero` is the share of training
    rows that pass all such splits above the node; `distinct` counts columns that split above, and `reached`
    is the share of rows that reach the node where no column is known.
    """

    feature: Ints
    depth: Ints
    parent: Ints
    earlier: Ints
    zero: Floats
    share: Floats
    distinct: Ints
    reached: Floats


class Factors(NamedTuple):
    """For each node and each point of the integral, what a row multiplies and adds as it passes; (n, points).

    A row is hot at a node where it passes all splits above that read the column of its parent's, else cold.
    """

    hot: Floats
    cold: Floats
    hot_gain: Floats
    cold_gain: Floats


class Splits(NamedTuple):
    """How nodes decide: left where a number is at most `threshold`, or where its table has the category."""

    threshold: Floats
    missing_left: Flags
    table: Ints
    tables: Flags


@kernel
def preorder(left: Ints, right: Ints) -> Ints:
    """The nodes that the root leads to, each before its children and the left ones first; -1 is no child."""
    order, stack = np.empty(left.size, np.int64), np.empty(left.size + 1, np.int64)
    stack[0], waiting, found = 0, 1, 0
    while waiting > 0:
        waiting -= 1
        node = stack[waiting]
        order[found] = node
        found += 1
        if left[node] >= 0:
            stack[waiting], stack[waiting + 1] = right[node], left[node]
            waiting += 2
    return order[:found]


@kernel
def linked(feature: Ints, cover: Floats) -> Nodes:
    """The links between nodes in preorder."""
    n = feature.size
    depth, parent, earlier = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, np.int64)
    zero, share, reached, distinct = np.ones(n), np.ones(n), np.ones(n), np.zeros(n, np.int64)
    open_at = np.empty(n + 1, np.int64)  # nodes whose right child is still to come
    waiting = 0
    for i in range(1, n):
        if feature[i - 1] >= 0:
            up = i - 1
            open_at[waiting] = up
            waiting += 1
        else:
            waiting -= 1
            up = open_at[waiting]
        parent[i], depth[i] = up, depth[up] + 1
        at = up
        while at > 0 and feature[parent[at]] != feature[up]:
            at = parent[at]
        earlier[i] = at
        share[i] = cover[i] / cover[up] if cover[up] > 0.0 else 0.5
        zero[i], reached[i] = zero[at] * share[i], reached[up] * share[i]
        distinct[i] = distinct[up] + int(at == 0)
    return Nodes(feature, depth, parent, earlier, zero, share, distinct, reached)


@inlined
def goes_left(splits: Splits, node: int, x: float) -> bool:
    """Where a value goes; a category that is no code goes where missing values go."""
    if math.isnan(x):
        return bool(splits.missing_left[node])
    table = splits.table[node]
    if table < 0:
        return bool(x <= splits.threshold[node])
    if x < 0.0 or x >= splits.tables.shape[1]:
        return bool(splits.missing_left[node])
    return bool(splits.tables[table, int(x)])


@inlined
def enter(nodes: Nodes, factors: Factors, at: int, state: States, left: Flags, product: Floats) -> None:
    """Where rows stand at a node, and what their leaves below are multiplied by."""
    depth, before = nodes.depth[at], nodes.depth[nodes.earlier[at]]
    is_left = nodes.parent[at] == at - 1
    for r in range(ROWS):
        here = HOT if left[depth - 1, r] == is_left else COLD
        state[depth, r] = here if state[before, r] == HOT else COLD_BEFORE
    for p in range(product.shape[1]):
        for r in range(ROWS):
            factor = factors.hot[at, p] if state[depth, r] == HOT else factors.cold[at, p]
            factor = nodes.share[at] if state[depth, r] == COLD_BEFORE else factor
            product[depth, p, r] = product[depth - 1, p, r] * factor


@inlined
def leave(factors: Factors, at: int, depth: int, state: States, sums: Floats, c: int, gained: Floats) -> None:
    """What the split above a node gives to its column for output `c`; its parent gets the node's sums."""
    gained[:] = 0.0
    for p in range(sums.shape[2]):
        for r in range(ROWS):
            gain = factors.hot_gain[at, p] if state[depth, r] == HOT else factors.cold_gain[at, p]
            gain = 0.0 if state[depth, r] == COLD_BEFORE else gain
            gained[r] += gain * sums[depth, c, p, r]
            sums[depth - 1, c, p, r] += sums[depth, c, p, r]


@kernel
def add_shapley(
    nodes: Nodes, factors: Factors, splits: Splits, value: Floats, X: Floats, out: Floats, k: int
) -> None:
    """Add the Shapley values of one tree to those of all rows.

    Args:
        nodes: of the tree.
        factors: of the nodes.
        splits: of the nodes.
        value: (n, outputs) of the leaves.
        X: (rows, features).
        out: (rows, features, all outputs), changed in place.
        k: the tree's first output among all.
    """
    n, points, outputs, deep = nodes.depth.size, factors.hot.shape[1], value.shape[1], nodes.depth.max() + 1
    product, sums = np.ones((deep, points, ROWS)), np.zeros((deep, outputs, points, ROWS))
    state, left = np.full((deep, ROWS), HOT, np.int64), np.zeros((deep, ROWS), np.bool_)
    path, gained = np.zeros(deep, np.int64), np.zeros(ROWS)
    for first in range(0, X.shape[0], ROWS):
        rows = min(ROWS, X.shape[0] - first)
        for at in range(n):
            d = nodes.depth[at]
            path[d] = at
            if at > 0:
                enter(nodes, factors, at, state, left, product)
            feature = nodes.feature[at]
            if feature >= 0:
                for r in range(rows):
                    left[d, r] = goes_left(splits, at, X[first + r, feature])
                sums[d] = 0.0
                continue
            for c in range(outputs):
                for p in range(points):
                    for r in range(ROWS):
                        sums[d, c, p, r] = value[at, c] * product[d, p, r]
            last = nodes.depth[at + 1] if at + 1 < n else 1
            for e in range(d, last - 1, -1):
                column = nodes.feature[nodes.parent[path[e]]]
                for c in range(outputs):
                    leave(factors, path[e], e, state, sums, c, gained)
                    for r in range(rows):
                        out[first + r, column, k + c] += gained[r]


@functools.cache
def gauss_legendre(points: int) -> tuple[Floats, Floats]:
    """Points and weights of an integral over [0, 1]."""
    t, weight = np.polynomial.legendre.leggauss(points)
    return (t + 1) / 2, weight / 2


def factors_of(nodes: Nodes) -> Factors:
    """The factors of a tree's nodes, at as many points as make the integral exact."""
    t, weight = gauss_legendre(max(1, -(-int(nodes.distinct.max()) // 2)))
    zero = nodes.zero[:, np.newaxis]
    passed = zero + (1 - zero) * t
    before, above = zero[nodes.earlier], passed[nodes.earlier]
    return Factors(
        hot=passed / above,
        cold=zero * (1 - t) / above,
        hot_gain=weight * (before - zero) / (passed * above),
        cold_gain=-weight / ((1 - t) * above),
    )
