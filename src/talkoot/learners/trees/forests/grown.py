"""Trees as arrays of whole numbers, so that every engine and every transform passes on their bits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, final

import numpy as np

from talkoot.learners.trees import tree_private as private


@final
@dataclass(frozen=True, slots=True, eq=False)
class Trees:
    """Grown trees, one after the other.

    Args:
        whole: (nodes, 5) int32, the columns `tree_private.WHOLE` of all trees.
        bits: (nodes, 3 + outputs * classes) int64, the bits of the columns `tree_private.REAL` and values.
        facts: (trees, 2) int64, the number of nodes and the random state of each.
        columns: (trees, features) int32, the columns that each reads.
    """

    whole: np.ndarray
    bits: np.ndarray
    facts: np.ndarray
    columns: np.ndarray

    @staticmethod
    def of(trees: Sequence[Any], columns: Sequence[np.ndarray], classes: np.ndarray, count: int) -> Trees:
        """Fitted trees, of which each knows `classes` among so many."""
        wholes, bits, facts = [], [], []
        for tree in trees:
            whole, real, values = private.arrays_of(tree)
            wide = np.zeros((*values.shape[:2], count))
            wide[:, :, classes] = values
            wholes.append(whole)
            bits.append(np.concatenate([real, wide.reshape(len(wide), -1)], axis=1).view(np.int64))
            facts.append([len(whole), tree.random_state])
        return Trees(
            np.concatenate(wholes),
            np.concatenate(bits),
            np.array(facts, dtype=np.int64),
            np.array(columns, dtype=np.int32),
        )

    def leaves(self, first: int) -> dict[str, np.ndarray]:
        """Leaves of an update, under the index of the first tree."""
        return {f"{first}/{field.name}": getattr(self, field.name) for field in fields(self)}

    @staticmethod
    def joined(leaves: Mapping[str, np.ndarray]) -> Trees:
        """The trees of all nodes in the order of their indices."""
        firsts = sorted({int(name.partition("/")[0]) for name in leaves})
        return Trees(
            *(np.concatenate([leaves[f"{at}/{field.name}"] for at in firsts]) for field in fields(Trees))
        )

    def fitted(self, like: Any) -> Iterator[Any]:
        """scikit-learn's trees, each a copy of the fitted tree `like` with other nodes."""
        shape = like.tree_.value.shape[1:]
        ends = np.cumsum(self.facts[:, 0])
        for (count, seed), end in zip(self.facts.tolist(), ends.tolist(), strict=True):
            own = slice(end - count, end)
            numbers = np.ascontiguousarray(self.bits[own]).view(np.float64)
            real, values = np.split(numbers, [len(private.REAL)], axis=1)
            values = values.reshape(count, *shape)
            yield private.fitted_tree(like, self.whole[own], real, values, seed)
