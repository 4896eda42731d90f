# mypy: disable-error-code="no-any-return"
"""A Hoeffding tree goes through a batch of rows: route, vote, learn, try to split."""

from __future__ import annotations

import math

from talkoot.kernels.compiled import kernel
from talkoot.kernels.trees import layout as at
from talkoot.kernels.trees.growth import activate, attempt, carry, crowded, new_leaf, release, room
from talkoot.kernels.trees.layout import Array, Rules, Tree
from talkoot.kernels.trees.leaves import add, count, observe, vote, weight_of


@kernel
def branch(links: Array, values: Array, node: int, x: Array, z: Array, i: int) -> int:
    """The child a row goes to; NONE where its value is missing or has no branch."""
    feature, child = links[node, at.FEATURE], links[node, at.CHILD]
    if links[node, at.KIND] == at.NUMBER:
        value = x[i, feature]
        if not math.isfinite(value):
            return at.NONE
        return child if value <= values[node, at.THRESHOLD] else child + 1
    code = z[i, feature - x.shape[1]]
    if links[node, at.KIND] == at.EQUAL:
        if code == 0:
            return at.NONE
        return child if code == int(values[node, at.THRESHOLD]) else child + 1
    while child != at.NONE and links[child, at.CODE] != code:
        child = links[child, at.SIBLING]
    return child


@kernel
def heaviest(links: Array, values: Array, node: int) -> int:
    """The child that most weight went to, the first of equals."""
    best = child = links[node, at.CHILD]
    while child != at.NONE:
        if values[child, at.WEIGHT] > values[best, at.WEIGHT]:
            best = child
        child = links[child, at.SIBLING]
    return best


@kernel
def descend(links: Array, values: Array, node: int, x: Array, z: Array, i: int) -> tuple[int, bool]:
    """The leaf of row `i` below a node, and whether a missing or unseen value was met on the way."""
    lost = False
    while links[node, at.FEATURE] != at.NONE:
        child = branch(links, values, node, x, z, i)
        if child == at.NONE:
            lost = True
            child = heaviest(links, values, node)
        node = child
    return node, lost


@kernel
def settle(tree: Tree, rules: Rules, node: int, x: Array, z: Array, i: int) -> int:
    """The leaf below a node in which a row with a missing or unseen value is learned.

    An unseen category gets a branch.
    """
    while tree.links[node, at.FEATURE] != at.NONE:
        child = branch(tree.links, tree.values, node, x, z, i)
        code = (
            z[i, tree.links[node, at.FEATURE] - x.shape[1]] if tree.links[node, at.KIND] == at.MULTIWAY else 0
        )
        room = tree.head[at.NODES] < min(tree.links.shape[0], rules.nodes)
        if child == at.NONE and code > 0 and room:
            child = new_leaf(tree, node)
            tree.links[child, at.CODE] = code
            last = tree.links[node, at.CHILD]
            while tree.links[last, at.SIBLING] != at.NONE:
                last = tree.links[last, at.SIBLING]
            tree.links[last, at.SIBLING] = child
            activate(tree, rules, child)
        elif child == at.NONE:
            child = heaviest(tree.links, tree.values, node)
        node = child
    return node


@kernel
def consider(tree: Tree, rules: Rules, leaf: int, total: float) -> None:
    """Try to split a leaf whose grace is over; an inactive one asks for a block."""
    if tree.links[leaf, at.DEPTH] >= rules.depth:
        if tree.links[leaf, at.BLOCK] >= 0:
            release(tree, leaf)
    elif tree.links[leaf, at.BLOCK] >= 0:
        attempt(tree, rules, leaf)
    else:
        activate(tree, rules, leaf)
    tree.values[leaf, at.ATTEMPT] = total


@kernel
def teach(
    tree: Tree,
    rules: Rules,
    top: int,
    found: tuple[int, bool],
    chosen: tuple[int, int],
    x: Array,
    z: Array,
    i: int,
    k: int,
    w: float,
) -> None:
    """Learn row `i` below `top`, whose leaf was `found` and chose the classes `chosen` as `vote` returns."""
    leaf, lost = found
    majority, bayes = chosen
    if lost:
        settled = settle(tree, rules, top, x, z, i)
        if settled != leaf:
            leaf, majority, bayes = settled, at.NONE, at.NONE
    block = tree.links[leaf, at.BLOCK]
    if block >= 0:
        if majority == k or tree.order[leaf, 0] == at.NONE:
            tree.values[leaf, at.MAJORITY] += w
        if bayes == k:
            tree.values[leaf, at.BAYES] += w
        observe(tree.numbers, tree.mask, block, x, i, k, w)
        count(tree.tables, tree.seen, tree.mask, block, z, i, k, w)
    add(tree.counts, tree.order, leaf, k, w)
    carry(tree.links, tree.values, leaf, w)
    total = weight_of(tree.counts, tree.order, leaf)
    due = total - tree.values[leaf, at.ATTEMPT] >= rules.grace or tree.links[leaf, at.DEPTH] >= rules.depth
    if due and not lost:
        consider(tree, rules, leaf, total)


@kernel
def learn_rows(
    tree: Tree, rules: Rules, numbers: Array, codes: Array, y: Array, w: Array, start: int, votes: Array
) -> int:
    """Learn rows from `start` on in their order; where it stopped, for want of room or at the end."""
    need, nodes, blocks = room(tree, rules)
    for i in range(start, y.size):
        if crowded(tree.head, need, nodes, blocks):
            return i
        found = descend(tree.links, tree.values, 0, numbers, codes, i)
        chosen = vote(tree, rules, found[0], numbers, codes, i, votes)
        if not math.isnan(y[i]) and w[i] != 0.0:
            teach(tree, rules, 0, found, chosen, numbers, codes, i, int(y[i]), w[i])
    return y.size


@kernel
def vote_rows(tree: Tree, rules: Rules, numbers: Array, codes: Array, votes: Array) -> None:
    """The votes of a tree for each row."""
    for i in range(numbers.shape[0]):
        leaf, _ = descend(tree.links, tree.values, 0, numbers, codes, i)
        vote(tree, rules, leaf, numbers, codes, i, votes)
