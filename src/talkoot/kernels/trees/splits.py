"""The best test of a leaf: information gain over ten cuts of each numeric column and over categories."""

from __future__ import annotations

import math

import numpy as np

from talkoot.kernels.compiled import inlined
from talkoot.kernels.trees import layout as at
from talkoot.kernels.trees.layout import Array, Rules, Tree

CUTS = 10


@inlined
def entropy(dist: Array, order: Array, known: int) -> tuple[float, float]:
    """The entropy in bits of a class distribution, and its weight."""
    found, total = 0.0, 0.0
    for i in range(known):
        d = dist[order[i]]
        if d > 0.0:
            found -= d * math.log2(d)
            total += d
    if total <= 0.0:
        return 0.0, 0.0
    return (found + total * math.log2(total)) / total, total


@inlined
def gain(before: float, parts: Array, used: int, order: Array, known: int, fraction: float) -> float:
    """Information gain of a division into `parts`; minus infinity where fewer than two parts are large."""
    total, after, large = 0.0, 0.0, 0
    for p in range(used):
        h, weight = entropy(parts[p], order, known)
        total += weight
        after += weight * h
    for p in range(used):
        weight = 0.0
        for i in range(known):
            weight += parts[p, order[i]]
        if total > 0.0 and weight / total > fraction:
            large += 1
    return before - after / total if large >= 2 else -np.inf


@inlined
def divide(tree: Tree, block: int, j: int, cut: float, parts: Array) -> None:
    """Expected class weights at or below `cut` of numeric column `j`, and above it."""
    parts[:2] = 0.0
    for i in range(tree.seen.shape[1]):
        k = tree.seen[block, i]
        if k == at.NONE:
            return
        stats = tree.numbers[block, k]
        n = stats[at.COUNT, j]
        if n <= 0.0:
            continue
        if cut < stats[at.LOW, j]:
            parts[1, k] = n
        elif cut >= stats[at.HIGH, j]:
            parts[0, k] = n
        else:
            sigma = math.sqrt(stats[at.SPREAD, j] / (n - 1.0)) if n > 1.0 else 0.0
            below = 0.0
            if sigma > 0.0:
                below = 0.5 * (1.0 + math.erf((cut - stats[at.MEAN, j]) / sigma / math.sqrt(2.0)))
            parts[0, k] = below * n
            parts[1, k] = n - parts[0, k]


@inlined
def tally(tree: Tree, block: int, j: int, code: int, parts: Array) -> int:
    """Class weights of category `code` and of all others; of each category where `code` is 0."""
    parts[:] = 0.0
    used = 0 if code == 0 else 2
    for value in range(1, tree.tables.shape[3]):
        filled = False
        for k in range(tree.tables.shape[2]):
            weight = tree.tables[block, j, k, value]
            if weight > 0.0:
                part = used if code == 0 else int(value != code)
                parts[part, k] += weight
                filled = True
        if code == 0 and filled:
            used += 1
    return used


@inlined
def cut_of(tree: Tree, rules: Rules, block: int, j: int, before: float, parts: Array) -> tuple[float, float]:
    """The best cut of numeric column `j`: its gain and its place."""
    order = tree.seen[block]
    low, high, known = np.inf, -np.inf, 0
    while known < order.size and order[known] != at.NONE:
        low = min(low, tree.numbers[block, order[known], at.LOW, j])
        high = max(high, tree.numbers[block, order[known], at.HIGH, j])
        known += 1
    best, place = -np.inf, 0.0
    if not low < high:
        return best, place
    step = (high - low) / (CUTS + 1.0)
    for i in range(CUTS):
        cut = low + step * (i + 1)
        if low < cut < high:
            divide(tree, block, j, cut, parts)
            merit = gain(before, parts, 2, order, known, rules.fraction)
            if merit > best:
                best, place = merit, cut
    return best, place


@inlined
def category_of(
    tree: Tree, rules: Rules, block: int, j: int, before: float, parts: Array
) -> tuple[float, int]:
    """The best test of category column `j`: its gain and the category, 0 for a branch for each."""
    order = tree.seen[block]
    known = 0
    while known < order.size and order[known] != at.NONE:
        known += 1
    best, code = -np.inf, 0
    used = tally(tree, block, j, 0, parts)
    if not rules.binary:
        best = gain(before, parts, used, order, known, rules.fraction)
    for value in range(1, tree.tables.shape[3]):
        if tree.tables[block, j, :, value].sum() > 0.0 and (used > 2 or rules.binary):
            tally(tree, block, j, value, parts)
            merit = gain(before, parts, 2, order, known, rules.fraction)
            if merit > best:
                best, code = merit, value
    return best, code


@inlined
def best_test(tree: Tree, rules: Rules, leaf: int, parts: Array) -> tuple[float, float, int, int, float]:
    """The two highest gains at a leaf, and the column, kind and place of the best; column NONE: no test."""
    block = tree.links[leaf, at.BLOCK]
    before, _ = entropy(tree.counts[leaf], tree.order[leaf], np.sum(tree.order[leaf] != at.NONE))
    best, second = -np.inf, -np.inf
    feature, kind, place = at.NONE, at.NUMBER, 0.0
    columns = tree.numbers.shape[3]
    for j in range(columns + tree.tables.shape[1]):
        if not tree.mask[block, j]:
            continue
        if j < columns:
            merit, where = cut_of(tree, rules, block, j, before, parts)
            sort = at.NUMBER
        else:
            merit, code = category_of(tree, rules, block, j - columns, before, parts)
            where, sort = float(code), at.EQUAL if code > 0 else at.MULTIWAY
        if merit >= best and merit > -np.inf:
            best, second = merit, best
            feature, kind, place = j, sort, where
        else:
            second = max(second, merit)
    return best, second, feature, kind, place
