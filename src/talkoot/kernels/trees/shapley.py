"""Exact Shapley values of trees: what each column adds to a prediction, averaged over all orders of columns.

A column that is not known sends a row down both branches, by the share of the training rows that went each
way (Lundberg et al. 2020, Nature Machine Intelligence 2, "tree path dependent"). The average over orders is
an integral over [0, 1] (Owen 1972, Management Science 18) of a polynomial, which a few points of
Gauss-Legendre give exactly; one walk over the nodes does it, as in Linear TreeSHAP (Yu et al. 2022, NeurIPS).
All factors are positive, so deep trees lose no digits.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from talkoot.kernels.compiled import inlined, kernel

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Nodes(NamedTuple):
    """The nodes of a tree, parents before children, a left child next to its parent; n nodes.

    `feature` is that of a node's own split, -1 at a leaf. `earlier` is the nearest node above whose parent
    splits by the same column as the node's parent, 0 where there is none; `zero` is the share of training
    rows that pass all such splits above the node; `distinct` counts columns that split above.
    """

    feature: Ints
    depth: Ints
    parent: Ints
    earlier: Ints
    zero: Floats
    share: Floats
    distinct: Ints


class Factors(NamedTuple):
    """For each node and each point of the integral, what a row multiplies and adds as it passes; (n, points).

    A row is warm at a node where it passes all splits above that read the same column as its parent does.
    """

    warm: Floats
    cold: Floats
    warm_gain: Floats
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
    zero, share, distinct = np.ones(n), np.ones(n), np.zeros(n, np.int64)
    open_ = np.empty(n + 1, np.int64)  # nodes whose right child is still to come
    waiting = 0
    for i in range(1, n):
        if feature[i - 1] >= 0:
            up = i - 1
            open_[waiting] = up
            waiting += 1
        else:
            waiting -= 1
            up = open_[waiting]
        parent[i], depth[i] = up, depth[up] + 1
        at = up
        while at > 0 and feature[parent[at]] != feature[up]:
            at = parent[at]
        earlier[i] = at
        share[i] = cover[i] / cover[up] if cover[up] > 0.0 else 0.5
        zero[i] = zero[at] * share[i]
        distinct[i] = distinct[up] + int(at == 0)
    return Nodes(feature, depth, parent, earlier, zero, share, distinct)


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
def leave(
    nodes: Nodes,
    factors: Factors,
    at: int,
    depth: int,
    state: Ints,
    sums: Floats,
    out: Floats,
    i: int,
    k: int,
) -> None:
    """Add what the split above a node gives to its column, and hand the node's sums to its parent."""
    feature = nodes.feature[nodes.parent[at]]
    for c in range(sums.shape[1]):
        if state[depth] >= 0:
            gained = 0.0
            for p in range(sums.shape[2]):
                gain = factors.warm_gain[at, p] if state[depth] == 1 else factors.cold_gain[at, p]
                gained += gain * sums[depth, c, p]
            out[i, feature, k + c] += gained
        for p in range(sums.shape[2]):
            sums[depth - 1, c, p] += sums[depth, c, p]


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
    n, points, outputs = nodes.feature.size, factors.warm.shape[1], value.shape[1]
    deepest = nodes.depth.max()
    product, sums = np.ones((deepest + 1, points)), np.zeros((deepest + 1, outputs, points))
    # by depth: 1 a row is warm there, 0 it left at the last split, -1 at an earlier one of the same column
    state, path = np.ones(deepest + 1, np.int64), np.zeros(deepest + 1, np.int64)
    left = np.zeros(deepest + 1, np.bool_)
    for i in range(X.shape[0]):
        for at in range(n):
            d = nodes.depth[at]
            path[d] = at
            if at > 0:
                if state[nodes.depth[nodes.earlier[at]]] != 1:
                    state[d] = -1
                    for p in range(points):
                        product[d, p] = product[d - 1, p] * nodes.share[at]
                elif left[d - 1] == (nodes.parent[at] == at - 1):
                    state[d] = 1
                    for p in range(points):
                        product[d, p] = product[d - 1, p] * factors.warm[at, p]
                else:
                    state[d] = 0
                    for p in range(points):
                        product[d, p] = product[d - 1, p] * factors.cold[at, p]
            if nodes.feature[at] >= 0:
                left[d] = goes_left(splits, at, X[i, nodes.feature[at]])
                sums[d] = 0.0
                continue
            for c in range(outputs):
                for p in range(points):
                    sums[d, c, p] = value[at, c] * product[d, p]
            last = nodes.depth[at + 1] if at + 1 < n else 1
            for e in range(d, last - 1, -1):
                leave(nodes, factors, path[e], e, state, sums, out, i, k)


def factors_of(nodes: Nodes) -> Factors:
    """The factors of a tree's nodes, at as many points as make the integral exact."""
    points = max(1, -(-int(nodes.distinct.max()) // 2))
    t, weight = np.polynomial.legendre.leggauss(points)
    t, weight = (t + 1) / 2, weight / 2
    zero = nodes.zero[:, np.newaxis]
    passed = zero + (1 - zero) * t
    before, above = zero[nodes.earlier], passed[nodes.earlier]
    return Factors(
        warm=passed / above,
        cold=zero * (1 - t) / above,
        warm_gain=weight * (before - zero) / (passed * above),
        cold_gain=-weight / ((1 - t) * above),
    )


def expected(nodes: Nodes, value: Floats) -> Any:
    """(outputs,) the prediction where no column is known."""
    reached = np.ones(len(value))
    for at in range(1, len(value)):
        reached[at] = reached[nodes.parent[at]] * nodes.share[at]
    leaves = nodes.feature < 0
    return reached[leaves] @ value[leaves]
