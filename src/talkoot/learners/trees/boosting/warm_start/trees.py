"""Trees of an earlier fit as arrays that travel, and what they predict for a node's rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.learners.trees.boosting import sklearn_private as private
from talkoot.learners.trees.boosting.bins import Bins
from talkoot.learners.trees.boosting.sound import leads_to_leaves

THRESHOLD, BIN = "num_threshold", "bin"  # where a node divides its column; the number of that edge of bins
FIELDS = (  # of a node, besides one of these, without what is only to be looked at
    "value",
    "feature_idx",
    "missing_go_to_left",
    "left",
    "right",
    "is_leaf",
    "is_categorical",
    "bitset_idx",
)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Trees, one behind the other.

    Args:
        nodes: for each of `FIELDS`, and for `THRESHOLD` or `BIN`, (nodes,) those of all trees.
        sizes: (iterations, outputs) how many nodes each tree has.
        sets: (sets, 8) the categories that go to the left, of all trees.
        set_sizes: (iterations, outputs) how many sets each tree has.
    """

    nodes: Mapping[str, np.ndarray]
    sizes: np.ndarray
    sets: np.ndarray
    set_sizes: np.ndarray

    @classmethod
    def of(cls, predictors: Sequence[Sequence[Any]]) -> Trees:
        """The trees of a fitted estimator; for each iteration one for each output."""
        every = [tree for trees in predictors for tree in trees]
        shape = len(predictors), len(predictors[0])
        return cls(
            nodes={
                name: np.concatenate([tree.nodes[name] for tree in every]) for name in (*FIELDS, THRESHOLD)
            },
            sizes=np.array([len(tree.nodes) for tree in every]).reshape(shape),
            sets=np.concatenate([tree.raw_left_cat_bitsets for tree in every]).reshape(-1, 8),
            set_sizes=np.array([len(tree.raw_left_cat_bitsets) for tree in every]).reshape(shape),
        )

    def in_bins(self, bins: Bins) -> Trees:
        """The same trees, by the numbers of edges of bins in place of thresholds.

        Raises:
            DataError: some threshold is no edge.
        """
        found = np.zeros(len(self.nodes[THRESHOLD]), np.int64)
        inner, columns = self.nodes["is_leaf"] == 0, self.nodes["feature_idx"]
        for j, edges in enumerate(map(_edges, bins.thresholds)):
            own = np.flatnonzero(inner & (columns == j))
            same = self.nodes[THRESHOLD][own, None] == edges
            if not same.any(axis=1).all():
                raise DataError(
                    "warm_start=True goes on from trees that divide columns at other values than all nodes "
                    "agree on behind tk.fixed()",
                    cure="Go on from a fit behind tk.fixed() of the same rows, weights and max_bins=.",
                )
            found[own] = same.argmax(axis=1)
        return replace(self, nodes={BIN: found, **{name: self.nodes[name] for name in FIELDS}})

    def require_bins(self) -> None:
        """Refuse thresholds of its own, by which single rows might be singled out.

        Raises:
            DataError: it has some.
        """
        if BIN not in self.nodes:
            raise DataError("behind tk.fixed() trees are read by edges that all nodes agree on")

    def _thresholds(self, bins: Bins) -> np.ndarray:
        """(nodes,) where they divide columns."""
        if BIN not in self.nodes:
            return self.nodes[THRESHOLD]
        found = np.zeros(len(self.nodes[BIN]))
        for j, edges in enumerate(map(_edges, bins.thresholds)):
            own = self.nodes["feature_idx"] == j
            found[own] = edges[np.clip(self.nodes[BIN][own], 0, len(edges) - 1)]
        return found

    def predictors(self, bins: Bins) -> list[list[Any]]:
        """What predicts rows of such columns.

        Raises:
            DataError: some tree does not lead to leaves.
        """
        nodes = np.zeros(int(self.sizes.sum()), private.NODE)
        for name in FIELDS:
            nodes[name] = self.nodes[name]
        nodes[THRESHOLD] = self._thresholds(bins)
        parts = np.split(nodes, np.cumsum(self.sizes)[:-1])
        sets = np.split(self.sets, np.cumsum(self.set_sizes)[:-1])
        made = [private.predictor(*each) for each in zip(parts, sets, sets, strict=True)]
        categories = private.are_categories(bins.thresholds, bins.categories)
        if not all(leads_to_leaves(tree, categories) for tree in made):
            raise DataError("the trees to go on from do not lead to leaves")
        outputs = self.sizes.shape[1]
        return [made[i : i + outputs] for i in range(0, len(made), outputs)]

    def raw(self, X: Any, baseline: np.ndarray, bins: Bins) -> np.ndarray:
        """(rows, outputs) what they predict for rows, (rows, features), from a `baseline` (outputs,) on."""
        raw: np.ndarray = np.zeros((len(X), len(baseline)), order="F") + baseline
        rows = np.ascontiguousarray(X, np.float64)
        known = private.known_categories(bins.thresholds, bins.categories)
        for trees in self.predictors(bins):
            for k, tree in enumerate(trees):
                raw[:, k] += tree.predict(rows, *known, 1)
        return raw


def _edges(thresholds: np.ndarray) -> np.ndarray:
    """The edges of a column's bins, with those beyond which no value lies."""
    return np.concatenate([thresholds, [np.inf, -np.inf]])
