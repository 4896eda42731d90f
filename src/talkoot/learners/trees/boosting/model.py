"""The state of boosting between two rounds, and the questions that come of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import islice
from typing import final

import numpy as np

from talkoot.core.shard import Schema
from talkoot.learners.sums.coarse_selection import CoarseSelection
from talkoot.learners.sums.selection import Selection
from talkoot.learners.trees.boosting import rows as node
from talkoot.learners.trees.boosting.bins import Bins
from talkoot.learners.trees.boosting.categories import Coding
from talkoot.learners.trees.boosting.growing import Grower, Tree, sought
from talkoot.learners.trees.boosting.record import Record
from talkoot.learners.trees.boosting.stopping import Stopping
from talkoot.learners.trees.boosting.validation import Validation
from talkoot.learners.trees.weights import Weights


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Boosted:
    """A fit between two rounds.

    Args:
        schema: what the nodes agreed on.
        columns: those of categories.
        coding: how nodes read their rows; None before categories are agreed on, or where there is no need.
        seed: of the draw of validation rows.
        stopping: the scores so far; None where the fit does not stop early.
        validation: the rows that are held out; None where none are, and before they are counted.
        search: of thresholds; None before, and once the bins are there.
        few: for each column its distinct values, None where there are many; empty before the first round.
        missing: (features,) whether some value is missing.
        weights: of the rows.
        sampled: whether some node has sample weights.
        bins: of the columns.
        grower: the rules that trees grow by, once the bins are there.
        baseline: (outputs,) the prediction before the first tree.
        bits: of whole gradients, once it is known how large they are.
        past: the iterations that ended.
        records: their trees.
        trees: that grow now.
        known: for each of them, how many splits the nodes know.
        step: number of the step that comes next.
        ended: the iteration that ended with the step before, without the splits that nodes know.
        behind: whether some node needs all that is past.
    """

    schema: Schema
    columns: tuple[int, ...] = ()
    coding: Coding | None = None
    seed: int = 0
    stopping: Stopping | None = None
    validation: Validation | None = None
    search: Selection | CoarseSelection | None = None
    few: tuple[np.ndarray | None, ...] = ()
    missing: np.ndarray | None = None
    weights: Weights = field(default_factory=Weights)
    sampled: bool = False
    bins: Bins | None = None
    grower: Grower | None = None
    baseline: np.ndarray | None = None
    bits: node.Bits | None = None
    past: tuple[node.Iteration, ...] = ()
    records: tuple[tuple[Record, ...], ...] = ()
    trees: tuple[Tree, ...] = ()
    known: tuple[int, ...] = ()
    step: int = 0
    ended: node.Iteration | None = None
    behind: bool = False
    done: bool = False

    @property
    def scored(self) -> bool:
        """Whether the step that comes next brings scores: those before the trees that grow."""
        return self.stopping is not None and self.bits is not None and not self.trees[0].parts

    def start(self) -> node.Start | None:
        """What nodes need to begin, where they do."""
        if self.step and not self.behind:
            return None
        assert self.bins is not None
        assert self.baseline is not None
        past = self.past if self.behind else ()
        return node.Start(self.bins, self.weights, self.baseline, past, self.validation)

    def growth(self, *, whole: bool) -> node.Grow:
        """How the trees grow; no histograms are wanted where all trees of the fit are `whole`."""
        start = self.start()
        pairs = zip(self.trees, self.known, strict=True)
        splits = tuple(splits_of(tree, 0 if start else known) for tree, known in pairs)
        wanted = tuple(
            np.array([] if whole or tree.chosen is not None else sought(tree), dtype=np.int64)
            for tree in self.trees
        )
        return node.Grow(
            self.step, self.bits, None if start else self.ended, splits, wanted, start, self.scored
        )


def outputs_of(schema: Schema) -> int:
    """Trees of an iteration."""
    return 1 if schema.classes is None or len(schema.classes) == 2 else len(schema.classes)


def splits_of(tree: Tree, known: int) -> np.ndarray:
    """The splits behind the first `known`, as nodes read them."""
    rows = [
        [split.left, at, split.feature, split.bin, int(split.missing_left), *node.words_of(split.bins)]
        for at, split in islice(tree.splits.items(), known, None)
    ]
    return np.array(rows, dtype=np.int64).reshape(-1, node.SPLIT)
