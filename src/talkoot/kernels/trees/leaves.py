"""What an active leaf observes of each column and class, and how it votes.

Rows are passed as whole batches and a row's number, and arrays are read cell by cell: views cost as much as
the sums.
"""

from __future__ import annotations

import math

import numpy as np

from talkoot.kernels.compiled import kernel
from talkoot.kernels.trees import layout as at
from talkoot.kernels.trees.draws import subset
from talkoot.kernels.trees.layout import Array, Rules, Tree

HALF_LOG_TAU = 0.5 * math.log(math.tau)
IMPOSSIBLE = 1000.0


@kernel
def clear(tree: Tree, rules: Rules, block: int) -> None:
    """Forget what a block observed, and choose the columns it may observe."""
    tree.numbers[block] = 0.0
    tree.numbers[block, :, at.LOW] = np.inf
    tree.numbers[block, :, at.HIGH] = -np.inf
    tree.tables[block] = 0.0
    tree.seen[block] = at.NONE
    if rules.patch:
        tree.mask[block] = tree.mask[0]
    elif rules.subspace > 0:
        subset(tree.head, rules.subspace, tree.mask[block])


@kernel
def observe(numbers: Array, mask: Array, block: int, x: Array, i: int, k: int, w: float) -> None:
    """Add the numbers of row `i`, of class `k`, to a block; those that are not finite are missing."""
    for j in range(x.shape[1]):
        value = x[i, j]
        if not (mask[block, j] and math.isfinite(value)):
            continue
        n = numbers[block, k, at.COUNT, j] + w
        old = numbers[block, k, at.MEAN, j]
        mean = old + (w / n) * (value - old)
        spread = numbers[block, k, at.SPREAD, j] + w * (value - old) * (value - mean)
        numbers[block, k, at.COUNT, j] = n
        numbers[block, k, at.MEAN, j] = mean
        numbers[block, k, at.SPREAD, j] = spread
        numbers[block, k, at.LOW, j] = min(numbers[block, k, at.LOW, j], value)
        numbers[block, k, at.HIGH, j] = max(numbers[block, k, at.HIGH, j], value)
        if n > 1.0 and spread > 0.0:
            variance = spread / (n - 1.0)
            numbers[block, k, at.SCALE, j] = -0.5 / variance
            numbers[block, k, at.LOG, j] = -HALF_LOG_TAU - 0.5 * math.log(variance)


@kernel
def count(tables: Array, seen: Array, mask: Array, block: int, z: Array, i: int, k: int, w: float) -> None:
    """Add the categories of row `i`, of class `k`, to a block, and the class to those seen there."""
    place = 0
    while seen[block, place] != k:
        if seen[block, place] == at.NONE:
            seen[block, place] = k
        else:
            place += 1
    columns = mask.shape[1] - z.shape[1]
    for j in range(z.shape[1]):
        if mask[block, columns + j] and z[i, j] > 0:
            tables[block, j, k, z[i, j]] += w
            tables[block, j, k, 0] += w


@kernel
def likelihood(tree: Tree, block: int, x: Array, z: Array, i: int, k: int, extra: float) -> float:
    """The log-likelihood of row `i` under class `k`, each category `extra` heavier than it was seen.

    Without that, what the class never had counts nothing; with it, a number other than the only one that it
    had is next to impossible.
    """
    numbers, tables, mask = tree.numbers, tree.tables, tree.mask
    total = 0.0
    for j in range(x.shape[1]):
        if mask[block, j] and math.isfinite(x[i, j]):
            far, scale = x[i, j] - numbers[block, k, at.MEAN, j], numbers[block, k, at.SCALE, j]
            total += far * far * scale + numbers[block, k, at.LOG, j]
            if extra > 0.0 and scale == 0.0 and far != 0.0:
                total -= IMPOSSIBLE
    for j in range(z.shape[1]):
        code = z[i, j]
        if mask[block, x.shape[1] + j] and code > 0 and tables[block, j, k, code] + extra > 0.0:
            weight = tables[block, j, k, 0] + extra * (tables.shape[3] - 1)
            total += math.log((tables[block, j, k, code] + extra) / weight)
    return total


@kernel
def weight_of(counts: Array, order: Array, node: int) -> float:
    """The weight of a leaf, its classes summed in the order in which they arrived."""
    total, i = 0.0, 0
    while i < order.shape[1] and order[node, i] != at.NONE:
        total += counts[node, order[node, i]]
        i += 1
    return total


@kernel
def add(counts: Array, order: Array, node: int, k: int, w: float) -> None:
    """Count class `k` at a node; the first time it joins the end of the node's order."""
    place = 0
    while order[node, place] != k:
        if order[node, place] == at.NONE:
            order[node, place] = k
        else:
            place += 1
    counts[node, k] += w


@kernel
def vote(tree: Tree, rules: Rules, leaf: int, x: Array, z: Array, i: int, votes: Array) -> tuple[int, int]:
    """Fill `votes[i]` with the leaf's probabilities; the classes that majority and naive Bayes choose."""
    block = tree.links[leaf, at.BLOCK]
    total = weight_of(tree.counts, tree.order, leaf)
    majority = bayes = at.NONE
    most, best = -1.0, -np.inf
    for k in range(votes.shape[1]):
        votes[i, k] = 0.0
    if total <= 0.0:
        return majority, bayes
    for place in range(votes.shape[1]):
        k = tree.order[leaf, place]
        if k == at.NONE:
            break
        if tree.counts[leaf, k] > most:
            most, majority = tree.counts[leaf, k], k
        if block >= 0 and rules.leaf != at.BY_MAJORITY and tree.counts[leaf, k] > 0.0:
            chance = math.log(tree.counts[leaf, k] / total) + likelihood(
                tree, block, x, z, i, k, rules.smoothing
            )
            votes[i, k] = chance
            if chance > best:
                best, bayes = chance, k
    adaptive = rules.leaf == at.BY_BAYES or tree.values[leaf, at.BAYES] >= tree.values[leaf, at.MAJORITY]
    share = 0.0
    for k in range(votes.shape[1]):
        if not (bayes >= 0 and adaptive):
            votes[i, k] = tree.counts[leaf, k]
        elif tree.counts[leaf, k] > 0.0:
            votes[i, k] = math.exp(votes[i, k] - best)
        share += votes[i, k]
    for k in range(votes.shape[1]):
        votes[i, k] /= share
    return majority, bayes


@kernel
def largest(votes: Array, i: int) -> int:
    """The first class with the most votes."""
    best = 0
    for k in range(1, votes.shape[1]):
        if votes[i, k] > votes[i, best]:
            best = k
    return best
