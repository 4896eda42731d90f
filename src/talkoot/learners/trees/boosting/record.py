"""A finished tree as the arrays that scikit-learn predicts by."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import final

import numpy as np

from talkoot.learners.trees.boosting.bins import Bins
from talkoot.learners.trees.boosting.growing import Tree
from talkoot.learners.trees.boosting.sklearn_private import NODE, WORD


@final
@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A finished tree.

    Args:
        nodes: each node, its left branch, its right one.
        binned: (splits, 8) the bins of categories that go to the left.
        raw: (splits, 8) the categories that do.
        hessians: (nodes,) sums of each node's rows.
    """

    nodes: np.ndarray
    binned: np.ndarray
    raw: np.ndarray
    hessians: np.ndarray


@final
@dataclass(slots=True)
class _Writer:
    tree: Tree
    bins: Bins
    rate: float
    nodes: np.ndarray
    hessians: np.ndarray
    sets: list[tuple[np.ndarray, np.ndarray]] = field(default_factory=list)

    def write(self, place: int, at: int) -> int:
        """Write a part and all below it; the next free place."""
        part, node = self.tree.parts[at], self.nodes[place]
        self.hessians[place] = part.hessians
        node["count"], node["depth"], node["value"] = part.rows, part.depth, part.value
        node["gain"] = self.tree.found[at].gain if at in self.tree.found else -1
        if self.tree.chosen is None or at not in self.tree.chosen:
            node["is_leaf"], node["value"] = True, part.value * self.rate
            return place + 1
        split = self.tree.splits[at]
        thresholds = self.bins.thresholds[split.feature]
        node["feature_idx"], node["bin_threshold"] = split.feature, max(split.bin, 0)
        node["missing_go_to_left"] = split.missing_left
        if split.bins is not None:
            node["is_categorical"], node["bitset_idx"] = True, len(self.sets)
            self.sets.append((split.bins, _first_bits(split.bins, len(thresholds))))
        else:
            node["num_threshold"] = np.array([*thresholds, np.inf, -np.inf])[split.bin]
        node["left"] = place + 1
        node["right"] = self.write(place + 1, split.left)
        return self.write(int(node["right"]), split.left + 1)


def record(tree: Tree, bins: Bins, rate: float) -> Record:
    """The record of a finished tree."""
    assert tree.chosen is not None
    count = 2 * len(tree.chosen) + 1
    writer = _Writer(tree, bins, rate, np.zeros(count, dtype=NODE), np.zeros(count))
    writer.write(0, 0)
    binned, raw = (np.array([each[i] for each in writer.sets], dtype=WORD).reshape(-1, 8) for i in range(2))
    return Record(writer.nodes, binned, raw, writer.hessians)


def _first_bits(words: np.ndarray, count: int) -> np.ndarray:
    """The words with the first bits only."""
    first = np.packbits(np.arange(256) < count, bitorder="little").view("<u4")
    return np.asarray(words & first, dtype=WORD)
