# mypy: disable-error-code="no-any-return"
"""A Hoeffding adaptive tree goes through a batch: a branch whose errors rise grows an alternate subtree.

The alternate learns beside its branch, and takes its place once it is better than chance allows. What was
replaced is marked as dead; the kernel returns after that row, so that the dead can be taken out.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from talkoot.kernels.compiled import kernel
from talkoot.kernels.trees import layout as at
from talkoot.kernels.trees.draws import poisson
from talkoot.kernels.trees.growth import activate, carry, crowded, new_leaf, release, room
from talkoot.kernels.trees.hoeffding import branch, descend, heaviest, teach
from talkoot.kernels.trees.layout import Array, Rules, Tree
from talkoot.kernels.trees.leaves import largest, vote
from talkoot.kernels.trees.watch import Window, alarmed, empty

# events: counts of what became of alternates
BEGUN, SWITCHED, PRUNED = range(3)
DEAD = -2  # the feature of a node that is no longer in the tree
DELTA = 0.002  # significance of a change of a branch's errors
LEAST = 300  # errors that both have seen before an alternate is compared
DOUBT = 0.001  # probability of a switch to an alternate that is no better
SPLITS = 4  # room for so many splits and alternates is there before a row


class Watch(NamedTuple):
    """Of each node its alternate, a row of `alternates`, and its ADWIN window; `events` count."""

    events: Array
    alternates: Array
    ints: Array
    reals: Array
    counts: Array
    sums: Array
    squares: Array


@kernel
def window_of(watch: Watch, node: int) -> Window:
    """The window of a node."""
    return Window(
        watch.ints[node], watch.reals[node], watch.counts[node], watch.sums[node], watch.squares[node]
    )


@kernel
def begin(watch: Watch, node: int) -> None:
    """A window without errors, and no alternate."""
    empty(window_of(watch, node))
    watch.alternates[node] = at.NONE


@kernel
def bury(tree: Tree, watch: Watch, doomed: Array) -> None:
    """Mark doomed nodes, all below them and their alternates as dead; children stand behind their parent."""
    for node in range(doomed.size):
        parent = tree.links[node, at.PARENT]
        if tree.links[node, at.FEATURE] != DEAD and (doomed[node] or (parent >= 0 and doomed[parent])):
            doomed[node] = True
            if tree.links[node, at.FEATURE] == at.NONE:
                if tree.links[node, at.BLOCK] >= 0:
                    release(tree, node)
                tree.head[at.INACTIVE] -= 1
            elif watch.alternates[node] >= 0:
                doomed[watch.alternates[node]] = True
            tree.links[node, at.FEATURE] = DEAD
            tree.head[at.DEAD] += 1


@kernel
def prune(tree: Tree, watch: Watch, node: int) -> None:
    """Give up the alternate of a branch."""
    doomed = np.zeros(tree.head[at.NODES], np.bool_)
    doomed[watch.alternates[node]] = True
    bury(tree, watch, doomed)
    watch.alternates[node] = at.NONE
    watch.events[PRUNED] += 1


@kernel
def switch(tree: Tree, watch: Watch, node: int) -> None:
    """Put the alternate of a branch into its place."""
    links, other = tree.links, watch.alternates[node]
    doomed = np.zeros(tree.head[at.NODES], np.bool_)
    child = links[node, at.CHILD]
    while child != at.NONE:
        doomed[child] = True
        child = links[child, at.SIBLING]
    bury(tree, watch, doomed)
    carry(
        links,
        tree.values,
        links[node, at.PARENT],
        tree.values[other, at.WEIGHT] - tree.values[node, at.WEIGHT],
    )
    for column in (at.FEATURE, at.KIND, at.CHILD, at.BLOCK):
        links[node, column] = links[other, column]
    tree.values[node], tree.counts[node] = tree.values[other], tree.counts[other]
    tree.order[node] = tree.order[other]
    watch.ints[node], watch.reals[node], watch.counts[node] = (
        watch.ints[other], watch.reals[other], watch.counts[other]
    )  # fmt: skip
    watch.sums[node], watch.squares[node] = watch.sums[other], watch.squares[other]
    child = links[node, at.CHILD]
    while child != at.NONE:
        links[child, at.PARENT] = node
        child = links[child, at.SIBLING]
    links[other, at.FEATURE], links[other, at.PARENT] = DEAD, at.NONE
    tree.head[at.DEAD] += 1
    watch.alternates[node] = at.NONE
    watch.events[SWITCHED] += 1


@kernel
def grow_alternate(tree: Tree, rules: Rules, watch: Watch, node: int) -> None:
    """Begin an alternate of a branch, if there is room."""
    if tree.head[at.NODES] < min(tree.links.shape[0], rules.nodes):
        fresh = new_leaf(tree, at.NONE)
        tree.links[fresh, at.DEPTH] = tree.links[node, at.DEPTH]
        activate(tree, rules, fresh)
        begin(watch, fresh)
        watch.alternates[node] = fresh
        watch.events[BEGUN] += 1


@kernel
def compare(tree: Tree, watch: Watch, node: int) -> None:
    """Switch to the alternate of a branch, or give it up, where one is better than chance allows."""
    other = watch.alternates[node]
    n, m = float(watch.ints[node, 0]), float(watch.ints[other, 0])
    if n <= LEAST or m <= LEAST:
        return
    own, rival = watch.reals[node, 0] / n, watch.reals[other, 0] / m
    bound = math.sqrt(2.0 * own * (1.0 - own) * math.log(2.0 / DOUBT) * (1.0 / n + 1.0 / m))
    if own - rival > bound:
        switch(tree, watch, node)
    elif rival - own > bound:
        prune(tree, watch, node)


@kernel
def learn_below(
    tree: Tree, rules: Rules, watch: Watch, top: int,
    x: Array, z: Array, i: int, k: int, w: float, votes: Array,
) -> float:  # fmt: skip
    """Learn row `i` in the leaf below `top`; 1 where it had voted for another class."""
    found = descend(tree.links, tree.values, top, x, z, i)
    chosen = vote(tree, rules, found[0], x, z, i, votes)
    wrong = 0.0 if largest(votes, i) == k else 1.0
    teach(tree, rules, top, found, chosen, x, z, i, k, w)
    if tree.links[found[0], at.FEATURE] != at.NONE:
        begin(watch, found[0])
    return wrong


@kernel
def learn_row(
    tree: Tree, rules: Rules, watch: Watch, wrong: float,
    x: Array, z: Array, i: int, k: int, w: float, votes: Array,
) -> None:  # fmt: skip
    """Tell the branches above a row's leaf whether it was wrong, then teach alternates and the leaf."""
    node = 0
    while tree.links[node, at.FEATURE] != at.NONE:
        risen = alarmed(window_of(watch, node), DELTA, wrong)
        if watch.alternates[node] >= 0:
            compare(tree, watch, node)
            if tree.links[node, at.FEATURE] == at.NONE:
                break
        elif risen:
            grow_alternate(tree, rules, watch, node)
        other = watch.alternates[node]
        if other >= 0:
            error = learn_below(tree, rules, watch, other, x, z, i, k, w, votes)
            alarmed(window_of(watch, other), DELTA, error)
        child = branch(tree.links, tree.values, node, x, z, i)
        node = child if child != at.NONE else heaviest(tree.links, tree.values, node)
    learn_below(tree, rules, watch, 0, x, z, i, k, w, votes)


@kernel
def learn_rows(
    tree: Tree, rules: Rules, watch: Watch,
    numbers: Array, codes: Array, y: Array, w: Array, start: int, votes: Array,
) -> int:  # fmt: skip
    """Learn rows from `start` on; where it stopped: at dead nodes, for want of room, or at the end."""
    need, nodes, blocks = room(tree, rules)
    scratch = np.empty_like(votes)
    for i in range(start, y.size):
        if crowded(tree.head, SPLITS * need, nodes, blocks):
            return i
        leaf, _ = descend(tree.links, tree.values, 0, numbers, codes, i)
        vote(tree, rules, leaf, numbers, codes, i, votes)
        if not math.isnan(y[i]) and w[i] != 0.0:
            k = int(y[i])
            wrong = 0.0 if largest(votes, i) == k else 1.0
            weight = w[i] * max(1, poisson(tree.head, 1.0))
            learn_row(tree, rules, watch, wrong, numbers, codes, i, k, weight, scratch)
            if tree.head[at.DEAD] > 0:
                return i + 1
    return y.size
