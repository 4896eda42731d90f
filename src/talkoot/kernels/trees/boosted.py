# mypy: disable-error-code="no-any-return"
"""Boosted regression trees go through a batch: predict, learn step by step, split, restart after a change.

Values of a column are observed by cells: bins of numbers, codes of categories. All trees share the bins, so a
row's cells are found once. Trees are stacked: the first axis of their arrays is the tree.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from talkoot.kernels.compiled import inlined, kernel
from talkoot.kernels.trees.layout import Array

# heads: counts of a tree
NODES, LEAVES, SPLITS, RESTARTS = range(4)
# links: integers of a node
FEATURE, CHILD, BLOCK = range(3)
# values: numbers of a node; MEAN is what a leaf predicts
THRESHOLD, WEIGHT, MEAN, ATTEMPT = range(4)
# sums: targets and errors of a tree, and the Page-Hinkley test of its errors
COUNT, AVERAGE, SPREAD, ERROR, HEIGHT, LOWEST = range(6)
LEAST = 5.0  # weight on either side of a test
RAREST = 0.01  # what a chance counts as at least where a target is divided by it
ALPHA, ALARM = 0.005, 50.0  # Page-Hinkley


class Boosted(NamedTuple):
    """The arrays of an ensemble; `cells[tree, block, cell]` holds weight and sum of targets."""

    heads: Array
    links: Array
    values: Array
    sums: Array
    cells: Array
    mask: Array
    edges: Array
    ring: Array
    seen: Array


class Steps(NamedTuple):
    """What boosting depends on."""

    rate: float
    grace: float
    delta: float
    tau: float
    leaves: int
    codes: int


@inlined
def descend(links: Array, values: Array, t: int, x: Array, z: Array, i: int, w: float) -> int:
    """The leaf of row `i` in tree `t`, counting `w` on the way; missing values follow the heavier branch."""
    node = 0
    values[t, 0, WEIGHT] += w
    while links[t, node, FEATURE] >= 0:
        feature, child = links[t, node, FEATURE], links[t, node, CHILD]
        if feature < x.shape[1]:
            lost = not math.isfinite(x[i, feature])
            right = not x[i, feature] <= values[t, node, THRESHOLD]
        else:
            code = z[i, feature - x.shape[1]]
            lost = code == 0
            right = code != values[t, node, THRESHOLD]
        if lost:
            right = values[t, child + 1, WEIGHT] > values[t, child, WEIGHT]
        node = child + int(right)
        values[t, node, WEIGHT] += w
    return node


@inlined
def find_cells(edges: Array, codes: int, x: Array, z: Array, i: int, found: Array) -> None:
    """The cell of each column of row `i`; -1 where its value is missing."""
    bins, columns = edges.shape[1] + 1, x.shape[1]
    for j in range(columns):
        found[j] = -1
        if math.isfinite(x[i, j]):
            low, high = 0, bins - 1
            while low < high:
                middle = (low + high) // 2
                if edges[j, middle] < x[i, j]:
                    low = middle + 1
                else:
                    high = middle
            found[j] = j * bins + low
    for j in range(z.shape[1]):
        found[columns + j] = columns * bins + j * codes + z[i, j] if z[i, j] > 0 else -1


@inlined
def merit(n: float, s: float, total: float, whole: float) -> float:
    """The squared error that a test takes away: `n` of `total` rows have the sum `s` of `whole`."""
    m = total - n
    if n < LEAST or m < LEAST:
        return 0.0
    return s * s / n + (whole - s) * (whole - s) / m - whole * whole / total


@kernel
def best_test(
    cells: Array, mask: Array, edges: Array, codes: int, t: int, block: int
) -> tuple[float, float, int, float]:
    """The two highest merits at a leaf, and column and place of the best; each category is a column."""
    best, second, feature, place = 0.0, 0.0, -1, 0.0
    bins, columns, width = edges.shape[1] + 1, edges.shape[0], mask.shape[1]
    for j in range(width):
        if not mask[t, j]:
            continue
        size = bins if j < columns else codes
        first = j * bins if j < columns else columns * bins + (j - columns) * codes
        total, whole = 0.0, 0.0
        for c in range(first, first + size):
            total += cells[t, block, c, 0]
            whole += cells[t, block, c, 1]
        if j < columns:
            n, s, top, where = 0.0, 0.0, 0.0, 0.0
            for c in range(size - 1):
                n += cells[t, block, first + c, 0]
                s += cells[t, block, first + c, 1]
                found = merit(n, s, total, whole)
                if found > top:
                    top, where = found, edges[j, c]
            if top > best:
                best, second, feature, place = top, best, j, where
            elif top > second:
                second = top
        else:
            for c in range(1, size):
                found = merit(cells[t, block, first + c, 0], cells[t, block, first + c, 1], total, whole)
                if found > best:
                    best, second, feature, place = found, best, j, float(c)
                elif found > second:
                    second = found
    return best, second, feature, place


@kernel
def split(e: Boosted, steps: Steps, t: int, leaf: int) -> None:
    """Make a leaf a branch, if its best test is surely better than the second.

    The new leaves are empty, and predict what the old one did until a row comes.
    """
    weight, block = e.values[t, leaf, WEIGHT], e.links[t, leaf, BLOCK]
    e.values[t, leaf, ATTEMPT] = weight
    if e.heads[t, LEAVES] >= min(steps.leaves, e.cells.shape[1]):
        return
    best, second, feature, place = best_test(e.cells, e.mask, e.edges, steps.codes, t, block)
    bound = math.sqrt(math.log(1.0 / steps.delta) / (2.0 * weight))
    if best <= 0.0 or not (second < best * (1.0 - bound) or bound < steps.tau):
        return
    child = e.heads[t, NODES]
    e.links[t, leaf, FEATURE], e.links[t, leaf, CHILD], e.links[t, leaf, BLOCK] = feature, child, -1
    e.values[t, leaf, THRESHOLD] = place
    for side in range(2):
        new = block if side == 0 else e.heads[t, LEAVES]
        e.links[t, child + side, FEATURE] = -1
        e.links[t, child + side, BLOCK] = new
        e.values[t, child + side] = 0.0
        e.values[t, child + side, MEAN] = e.values[t, leaf, MEAN]
        e.cells[t, new] = 0.0
    e.heads[t, NODES] += 2
    e.heads[t, LEAVES] += 1
    e.heads[t, SPLITS] += 1


@kernel
def restart(e: Boosted, t: int) -> None:
    """Begin tree `t` again with one empty leaf."""
    e.heads[t, NODES] = e.heads[t, LEAVES] = 1
    e.heads[t, RESTARTS] += 1
    e.links[t, 0, FEATURE], e.links[t, 0, BLOCK] = -1, 0
    e.values[t, 0] = 0.0
    e.cells[t, 0] = 0.0
    e.sums[t] = 0.0


@inlined
def changed(sums: Array, t: int, target: float, error: float, w: float) -> bool:
    """Add a target and the error of its prediction to a tree's sums; whether errors have risen."""
    deviation = math.sqrt(sums[t, SPREAD] / sums[t, COUNT]) if sums[t, COUNT] > 1.0 else 0.0
    scaled = abs(error) / deviation if deviation > 0.0 else 0.0
    sums[t, COUNT] += w
    gap = target - sums[t, AVERAGE]
    sums[t, AVERAGE] += w / sums[t, COUNT] * gap
    sums[t, SPREAD] += w * gap * (target - sums[t, AVERAGE])
    sums[t, ERROR] += w / sums[t, COUNT] * (scaled - sums[t, ERROR])
    sums[t, HEIGHT] += w * (scaled - sums[t, ERROR] - ALPHA)
    sums[t, LOWEST] = min(sums[t, LOWEST], sums[t, HEIGHT])
    return sums[t, HEIGHT] - sums[t, LOWEST] > ALARM


@inlined
def teach(
    e: Boosted, steps: Steps, t: int, x: Array, z: Array, i: int, found: Array, target: float, w: float
) -> float:
    """Learn the target of row `i` in tree `t`; what the tree predicts for it then."""
    leaf = descend(e.links, e.values, t, x, z, i, w)
    error = target - e.values[t, leaf, MEAN]
    e.values[t, leaf, MEAN] += w / e.values[t, leaf, WEIGHT] * error
    block = e.links[t, leaf, BLOCK]
    for j in range(found.size):
        if found[j] >= 0 and e.mask[t, j]:
            e.cells[t, block, found[j], 0] += w
            e.cells[t, block, found[j], 1] += w * target
    if changed(e.sums, t, target, error, w):
        restart(e, t)
        return 0.0
    score = e.values[t, leaf, MEAN]
    if e.values[t, leaf, WEIGHT] - e.values[t, leaf, ATTEMPT] >= steps.grace:
        split(e, steps, t, leaf)
    return score


@inlined
def vote(e: Boosted, rate: float, x: Array, z: Array, i: int, chances: Array) -> None:
    """Fill `chances[i]` with the probabilities of row `i`."""
    committees = chances.shape[1] if chances.shape[1] > 2 else 1
    each, total = e.heads.shape[0] // committees, 0.0
    for k in range(committees):
        score = 0.0
        for t in range(k * each, (k + 1) * each):
            score += rate * e.values[t, descend(e.links, e.values, t, x, z, i, 0.0), MEAN]
        chances[i, k] = 1.0 / (1.0 + math.exp(-score))
        total += chances[i, k]
    if chances.shape[1] == 2:
        chances[i, 1] = chances[i, 0]
        chances[i, 0] = 1.0 - chances[i, 0]
    else:
        for k in range(committees):
            chances[i, k] /= total


@kernel
def vote_rows(e: Boosted, rate: float, x: Array, z: Array, chances: Array) -> None:
    """The probabilities of each row."""
    for i in range(x.shape[0]):
        vote(e, rate, x, z, i, chances)


@kernel
def learn_rows(
    e: Boosted, steps: Steps, x: Array, z: Array, y: Array, w: Array, start: int, chances: Array
) -> int:
    """Predict and learn rows from `start` on; where it stopped, for new bins, more room or at the end."""
    committees = chances.shape[1] if chances.shape[1] > 2 else 1
    each, found = e.heads.shape[0] // committees, np.empty(e.mask.shape[1], np.int64)
    for i in range(start, y.size):
        vote(e, steps.rate, x, z, i, chances)
        if math.isnan(y[i]) or w[i] == 0.0:
            continue
        find_cells(e.edges, steps.codes, x, z, i, found)
        full = False
        for k in range(committees):
            yes = y[i] == (k if committees > 1 else 1)
            score = 0.0
            for t in range(k * each, (k + 1) * each):
                chance = 1.0 / (1.0 + math.exp(-score))
                target = 1.0 / max(chance, RAREST) if yes else -1.0 / max(1.0 - chance, RAREST)
                score += steps.rate * teach(e, steps, t, x, z, i, found, target, w[i])
                full |= e.heads[t, LEAVES] == e.cells.shape[1]
        e.ring[e.seen[0] % e.ring.shape[0]] = x[i]
        e.seen[0] += 1
        if e.seen[0] % 32 == 0 or (full and e.cells.shape[1] < steps.leaves):
            return i + 1
    return y.size
