# mypy: disable-error-code="no-any-return"
"""How leaves become branches, within the tree's budget of nodes and blocks."""

from __future__ import annotations

import math

import numpy as np

from talkoot.kernels.compiled import kernel
from talkoot.kernels.trees import layout as at
from talkoot.kernels.trees.draws import subset
from talkoot.kernels.trees.layout import Array, Rules, Tree
from talkoot.kernels.trees.leaves import add, clear, weight_of
from talkoot.kernels.trees.splits import best_test, divide, tally


@kernel
def crowded(head: Array, need: int, nodes: int, blocks: int) -> bool:
    """Whether so many nodes and blocks are too few for another row and the split it may cause."""
    return head[at.NODES] + need > nodes or head[at.BLOCKS] - head[at.FREE] + need > blocks


@kernel
def room(tree: Tree, rules: Rules) -> tuple[int, int, int]:
    """Nodes a split may need, and nodes and blocks there are; endless where no more are allowed."""
    nodes, blocks = tree.links.shape[0], tree.numbers.shape[0]
    endless = 2**62
    need = max(2, tree.tables.shape[3]) + 1
    return need, nodes if nodes < rules.nodes else endless, blocks if blocks < rules.blocks else endless


@kernel
def promise(tree: Tree, node: int) -> float:
    """How much a leaf may gain by being refined: the weight outside its largest class."""
    return weight_of(tree.counts, tree.order, node) - tree.counts[node].max()


@kernel
def take_block(tree: Tree, rules: Rules, worth: float) -> int:
    """A block for a leaf worth so much: a free one, or that of the leaf that is worth least."""
    if tree.head[at.FREE] > 0:
        tree.head[at.FREE] -= 1
        return tree.free[tree.head[at.FREE]]
    if tree.head[at.BLOCKS] < min(tree.numbers.shape[0], rules.blocks):
        tree.head[at.BLOCKS] += 1
        return tree.head[at.BLOCKS] - 1
    least, poorest = worth, at.NONE
    for node in range(tree.head[at.NODES]):
        if tree.links[node, at.FEATURE] == at.NONE and tree.links[node, at.BLOCK] >= 0:
            value = promise(tree, node)
            if value < least:
                least, poorest = value, node
    if poorest == at.NONE:
        return at.NONE
    block = tree.links[poorest, at.BLOCK]
    tree.links[poorest, at.BLOCK] = at.NONE
    tree.head[at.INACTIVE] += 1
    return block


@kernel
def activate(tree: Tree, rules: Rules, node: int) -> None:
    """Give a leaf a block, if one is to be had."""
    block = take_block(tree, rules, promise(tree, node))
    if block != at.NONE:
        clear(tree, rules, block)
        tree.links[node, at.BLOCK] = block
        tree.head[at.INACTIVE] -= 1


@kernel
def release(tree: Tree, node: int) -> None:
    """Stop refining a leaf, and free its block."""
    tree.free[tree.head[at.FREE]] = tree.links[node, at.BLOCK]
    tree.head[at.FREE] += 1
    tree.links[node, at.BLOCK] = at.NONE
    tree.head[at.INACTIVE] += 1


@kernel
def new_leaf(tree: Tree, parent: int) -> int:
    """An inactive leaf without rows."""
    node = tree.head[at.NODES]
    tree.head[at.NODES] += 1
    tree.head[at.INACTIVE] += 1
    tree.links[node] = at.NONE
    tree.links[node, at.PARENT] = parent
    tree.links[node, at.DEPTH] = tree.links[parent, at.DEPTH] + 1 if parent >= 0 else 0
    tree.values[node] = 0.0
    tree.counts[node] = 0.0
    tree.order[node] = at.NONE
    return node


@kernel
def plant(tree: Tree, rules: Rules) -> None:
    """Begin again with one active leaf."""
    tree.head[: at.SEED] = 0
    if rules.patch:
        subset(tree.head, rules.subspace, tree.mask[0])
    new_leaf(tree, at.NONE)
    activate(tree, rules, 0)


@kernel
def carry(links: Array, values: Array, node: int, change: float) -> None:
    """Add weight to a node and to all above it."""
    while node >= 0:
        values[node, at.WEIGHT] += change
        node = links[node, at.PARENT]


@kernel
def fill(tree: Tree, node: int, part: Array, order: Array) -> None:
    """Give a fresh leaf its class weights, the classes in `order`."""
    for i in range(order.size):
        k = order[i]
        if k != at.NONE and part[k] > 0.0:
            add(tree.counts, tree.order, node, k, part[k])
    total = weight_of(tree.counts, tree.order, node)
    tree.values[node, at.ATTEMPT] = total
    carry(tree.links, tree.values, node, total)


@kernel
def attempt(tree: Tree, rules: Rules, leaf: int) -> None:
    """Split a leaf if its best test is better than the second by the Hoeffding bound, or both are as good."""
    total = weight_of(tree.counts, tree.order, leaf)
    known = np.sum(tree.order[leaf] != at.NONE)
    if np.sum(tree.counts[leaf] > 0.0) < 2:
        return
    parts = np.zeros((max(2, tree.tables.shape[3]), tree.counts.shape[1]))
    best, second, feature, kind, place = best_test(tree, rules, leaf, parts)
    spread = math.log2(max(2, known))
    bound = math.sqrt(spread * spread * math.log(1.0 / rules.delta) / (2.0 * total))
    if feature == at.NONE:
        if bound < rules.tau:
            clear(tree, rules, tree.links[leaf, at.BLOCK])
    elif best - second > bound or bound < rules.tau:
        split(tree, rules, leaf, feature, kind, place, parts)


@kernel
def split(tree: Tree, rules: Rules, leaf: int, feature: int, kind: int, place: float, parts: Array) -> None:
    """Make a leaf a branch on `feature`, with a leaf for each part."""
    block = tree.links[leaf, at.BLOCK]
    column = feature - tree.numbers.shape[3]
    used = 2
    if kind == at.NUMBER:
        divide(tree, block, feature, place, parts)
    else:
        used = tally(tree, block, column, int(place), parts)
    if tree.head[at.NODES] + used > min(tree.links.shape[0], rules.nodes):
        return
    order = tree.seen[block].copy()
    codes = np.empty(used, np.int32)
    if kind == at.MULTIWAY:
        order[:] = np.arange(order.size)
        codes[:] = np.nonzero(tree.tables[block, column, :, 1:].sum(axis=0))[0] + 1
    release(tree, leaf)
    tree.head[at.INACTIVE] -= 1
    tree.head[at.SPLITS] += 1
    tree.links[leaf, at.FEATURE], tree.links[leaf, at.KIND] = feature, kind
    tree.links[leaf, at.CHILD], tree.values[leaf, at.THRESHOLD] = tree.head[at.NODES], place
    carry(tree.links, tree.values, leaf, -tree.values[leaf, at.WEIGHT])
    for i in range(used):
        child = new_leaf(tree, leaf)
        fill(tree, child, parts[i], order)
        if kind == at.MULTIWAY:
            tree.links[child, at.CODE] = codes[i]
        tree.links[child, at.SIBLING] = child + 1 if i + 1 < used else at.NONE
    for i in range(used):
        activate(tree, rules, tree.links[leaf, at.CHILD] + i)
