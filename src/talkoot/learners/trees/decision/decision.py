"""DecisionTree over nodes: scikit-learn's own tree, from sums of classes or targets in bins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.learner import Kind, Learner, SolvingLearner
from talkoot.core.shard import Schema, Shard
from talkoot.core.transform import Chain
from talkoot.core.update import Update
from talkoot.guards.fixed import FixedPoint
from talkoot.learners.common.columnwise import require_numbers
from talkoot.learners.common.rows import require_dense
from talkoot.learners.sums.ranges import Ranges
from talkoot.learners.sums.selection import Search
from talkoot.learners.trees.boosting.bins import Bins
from talkoot.learners.trees.decision.accepted import accept, require_one_target
from talkoot.learners.trees.decision.model import Count, Growing, Survey
from talkoot.learners.trees.decision.result import example, finished
from talkoot.learners.trees.decision.rows import SUMS, Entries, Grow, Rows, Start, begun
from talkoot.learners.trees.decision.search import begun_search, counted_values, narrowed, surveyed
from talkoot.learners.trees.decision.units import Units
from talkoot.learners.trees.weights import Weights, listed_weights

BEHIND = "behind"  # a leaf: how many nodes have not done the step before
NO_ROWS = "no rows"  # the state of a node without any


@final
@dataclass(frozen=True, slots=True)
class DecisionTree(SolvingLearner):
    """DecisionTreeClassifier and DecisionTreeRegressor.

    Each round sums what rows weigh in each class, or their targets and their squares, in the bins of
    each column, for the leaves of a level. In a column of 255 values at most each value is a bin; where
    all are such, the splits are those of scikit-learn on all rows. Sums are of whole numbers, so the tree
    is the same whichever node has which rows, behind `fixed` and `mask` too.

    Args:
        estimator: whose tree it is.
        agreed: the edges of bins come from counts alone, as only sums of all nodes may be read.

    >>> import talkoot as tk
    >>> X = np.arange(40.0).reshape(20, 2)
    >>> sites = {"low": (X[:12], X[:12, 0] > 20), "high": (X[12:], X[12:, 0] > 20)}
    >>> tree = tk.fit(DecisionTreeClassifier(), sites).model
    >>> float(tree.tree_.threshold[0]), int(tree.get_n_leaves())
    (21.0, 2)
    """

    estimator: Any
    agreed: bool = False

    kind: ClassVar[Kind] = "exact"
    ends: ClassVar[bool] = True

    @property
    def question_types(self) -> tuple[type, ...]:
        """Of the search for thresholds, and of growth."""
        return (Survey, Count, Search, Ranges, Weights, Bins, Units, Start, Grow, Entries)

    def for_chain(self, chain: Chain) -> DecisionTree:
        """With agreed edges where sums are whole numbers, as under masks."""
        return replace(self, agreed=any(isinstance(link, FixedPoint) for link in chain))

    def init(self, schema: Schema, rng: np.random.Generator) -> Growing:
        """Refuse columns and parameters that cannot be used."""
        require_dense(schema, self.estimator)
        require_numbers(schema, self.estimator)
        require_one_target(schema, self.estimator)
        listed_weights(self.estimator, schema)
        example(self.estimator, schema)
        return Growing(schema=schema)

    def question(self, model: Growing) -> Any:
        """What to look at, what to count, or how the tree grows."""
        return model.question()

    def work(self, question: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """Values, counts of them, or sums of leaves."""
        if isinstance(question, Survey):
            return surveyed(shard, ctx.schema, self.estimator, distinct=not self.agreed), None
        if isinstance(question, Count):
            return counted_values(question, local, shard, ctx, self.estimator, agreed=self.agreed)
        if question.start is not None:
            local = begun(question.start, shard, ctx.schema, self.estimator) or NO_ROWS
        if isinstance(local, str):
            return Update(), local
        if not isinstance(local, Rows) or (
            question.start is None and local.step not in (question.step - 1, question.step)
        ):
            return Update(values={BEHIND: np.ones(1)}), None
        rows = local.advanced(question)
        return rows.sums(question.wanted, question.entries), rows

    def step(self, model: Growing, update: Update) -> Growing:
        """Narrower ranges, or a larger tree.

        Raises:
            DataError: no node has rows.
        """
        if not update.values:
            raise DataError(f"no node has rows, so {self.name} has nothing to learn from")
        if not model.few:
            return begun_search(self.estimator, model, update, agreed=self.agreed)
        if model.search is not None:
            return narrowed(self.estimator, model, update)
        if BEHIND in update.values:
            return replace(model, behind=True)
        assert model.grower is not None
        tree = model.grower.grown(model.tree, update.values[SUMS])
        return replace(
            model,
            tree=tree,
            known=len(model.tree.splits),
            step=model.step + 1,
            behind=False,
            done=tree.chosen is not None,
        )

    def finish(self, model: Growing) -> Any:
        """The estimator with the tree."""
        return finished(self.estimator, model)


def _decision(estimator: Any) -> Learner:
    accept(estimator)
    return DecisionTree(estimator)


FITS: Mapping[type, Callable[[Any], Learner]] = {
    DecisionTreeClassifier: _decision,
    DecisionTreeRegressor: _decision,
}
