"""The state of a tree between two rounds, and the questions that come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import final

import numpy as np

from talkoot.core.shard import Schema
from talkoot.learners.sums.coarse_selection import CoarseSelection
from talkoot.learners.sums.selection import Search, Selection
from talkoot.learners.trees.decision.growing import Grower, Tree, splits_of
from talkoot.learners.trees.decision.rows import Entries, Grow, Start
from talkoot.learners.trees.decision.units import Units
from talkoot.learners.trees.weights import Weights


@final
@dataclass(frozen=True, slots=True)
class Survey:
    """The question what the rows are like."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class Count:
    """What nodes count in a round of the search for thresholds, of which rows."""

    search: Search
    weights: Weights


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Growing:
    """A fit between two rounds.

    Args:
        schema: what the nodes agreed on.
        search: of thresholds; None before, and once the bins are there.
        few: for each column its distinct values, None where there are many; empty before the first round.
        missing: (features,) whether some value is missing.
        weights: of the rows.
        weight: of all rows.
        units: what whole sums count.
        grower: the rules that the tree grows by, once the bins are there.
        tree: as far as it has grown.
        known: how many splits the nodes know.
        step: number of the step that comes next.
        behind: whether some node needs all splits.
    """

    schema: Schema
    search: Selection | CoarseSelection | None = None
    few: tuple[np.ndarray | None, ...] = ()
    missing: np.ndarray | None = None
    weights: Weights = field(default_factory=Weights)
    weight: float = 0.0
    units: Units | None = None
    grower: Grower | None = None
    tree: Tree = field(default_factory=Tree)
    known: int = 0
    step: int = 0
    behind: bool = False
    done: bool = False

    def question(self) -> Survey | Count | Grow:
        """What to look at, what to count, or how the tree grows."""
        if not self.few:
            return Survey()
        if self.search is not None:
            return Count(self.search.search, self.weights)
        assert self.grower is not None
        start = None
        if self.behind or not self.step:
            start = Start(self.grower.bins, self.weights, self.grower.units)
        splits = splits_of(self.tree, 0 if start else self.known)
        entries = (
            [self.tree.unseen[at] for at in self.tree.wanted] if self.tree.parts else [self.grower.root()]
        )
        return Grow(self.step, splits, np.array(self.tree.wanted), joined(entries), start)


def joined(entries: Sequence[Entries]) -> Entries:
    """The bins of several leaves, one after the other."""
    counts = [np.diff(each.spans) for each in entries]
    return Entries(
        np.concatenate([each.bins for each in entries]), np.append(0, np.cumsum(np.concatenate(counts)))
    )
