# mypy: disable-error-code="no-any-return"
"""A member of a forest goes through a batch: bagging, drift detection, background trees."""

from __future__ import annotations

import math

from talkoot.kernels.compiled import kernel
from talkoot.kernels.trees.draws import poisson
from talkoot.kernels.trees.growth import crowded, plant, room
from talkoot.kernels.trees.hoeffding import descend, teach
from talkoot.kernels.trees.layout import Array, Rules, Tree
from talkoot.kernels.trees.leaves import largest, vote
from talkoot.kernels.trees.watch import Window, alarmed, empty

# head of a member; SEED and DRAWS stand where a tree has them
CURRENT, BACKGROUND, DRIFTS, SEEN, RIGHT = range(5)
WARNINGS = 7
UNPROVEN = 0.01  # the weight of a member that was never right


@kernel
def react(
    one: Tree,
    two: Tree,
    rules: Rules,
    head: Array,
    warning: Window,
    drift: Window,
    deltas: Array,
    wrong: float,
) -> None:
    """Tell the detectors of an error: a warning grows a background tree, a drift makes it the member's."""
    if alarmed(warning, deltas[0], wrong):
        head[WARNINGS] += 1
        head[BACKGROUND] = 1
        plant(two if head[CURRENT] == 0 else one, rules)
        empty(warning)
    if alarmed(drift, deltas[1], wrong):
        head[DRIFTS] += 1
        if head[BACKGROUND] == 1:
            head[CURRENT] = 1 - head[CURRENT]
            empty(warning)
        else:
            plant(one if head[CURRENT] == 0 else two, rules)
        head[BACKGROUND] = head[SEEN] = head[RIGHT] = 0
        empty(drift)


@kernel
def learn_member(
    one: Tree, two: Tree, rules: Rules, head: Array, warning: Window, drift: Window, deltas: Array,
    rate: float, x: Array, z: Array, y: Array, w: Array, start: int, votes: Array, total: Array,
) -> int:  # fmt: skip
    """Vote on rows and learn them from `start` on; where it stopped, for want of room or at the end."""
    need, nodes, blocks = room(one, rules)
    need, nodes_two, blocks_two = room(two, rules)
    for i in range(start, y.size):
        if crowded(one.head, need, nodes, blocks) or crowded(two.head, need, nodes_two, blocks_two):
            return i
        tree = one if head[CURRENT] == 0 else two
        found = descend(tree.links, tree.values, 0, x, z, i)
        chosen = vote(tree, rules, found[0], x, z, i, votes)
        trust = head[RIGHT] / head[SEEN] if head[RIGHT] > 0 else UNPROVEN
        for c in range(votes.shape[1]):
            total[i, c] += trust * votes[i, c]
        if math.isnan(y[i]) or w[i] == 0.0:
            continue
        k = int(y[i])
        head[SEEN] += 1
        head[RIGHT] += int(largest(votes, i) == k)
        times = poisson(head, rate)
        if times == 0:
            continue
        teach(tree, rules, 0, found, chosen, x, z, i, k, w[i] * times)
        if head[BACKGROUND] == 1:
            other = two if head[CURRENT] == 0 else one
            found = descend(other.links, other.values, 0, x, z, i)
            chosen = vote(other, rules, found[0], x, z, i, votes)
            teach(other, rules, 0, found, chosen, x, z, i, k, w[i] * times)
        leaf, _ = descend(tree.links, tree.values, 0, x, z, i)
        vote(tree, rules, leaf, x, z, i, votes)
        wrong = 0.0 if largest(votes, i) == k else 1.0
        react(one, two, rules, head, warning, drift, deltas, wrong)
    return y.size


@kernel
def vote_member(
    one: Tree, two: Tree, rules: Rules, head: Array, x: Array, z: Array, votes: Array, total: Array
) -> None:
    """Add a member's votes to `total`, weighted by how often it was right."""
    tree = one if head[CURRENT] == 0 else two
    trust = head[RIGHT] / head[SEEN] if head[RIGHT] > 0 else UNPROVEN
    for i in range(x.shape[0]):
        leaf, _ = descend(tree.links, tree.values, 0, x, z, i)
        vote(tree, rules, leaf, x, z, i, votes)
        for c in range(votes.shape[1]):
            total[i, c] += trust * votes[i, c]
