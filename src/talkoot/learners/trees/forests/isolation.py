"""IsolationForest over nodes: trees of all nodes, and a threshold from the scores of all rows."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import IsolationForest

from talkoot.core.context import Ctx
from talkoot.core.learner import Learner
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.sums.counting import Values, counted
from talkoot.learners.sums.quantile import Places, places
from talkoot.learners.sums.ranges import Ranges
from talkoot.learners.sums.selection import Search, Selection, Totals
from talkoot.learners.trees.forests import forest_private as private
from talkoot.learners.trees.forests.bagged import (
    BaggedTrees,
    CountRows,
    Grow,
    Growth,
    accept,
    fitted_example,
)
from talkoot.learners.trees.forests.dealing import dealt, rows_of_most, warn_idle
from talkoot.learners.trees.forests.grown import Trees
from talkoot.learners.trees.single_precision import as_single
from talkoot.learners.trees.weights import Weights

AUTO = 256  # rows of a tree at most, where the estimator leaves it open


@final
@dataclass(frozen=True, slots=True, eq=False)
class Score:
    """Which scores of rows nodes count.

    Args:
        search: for the threshold.
        trees: of all nodes.
        seed: of the forest.
        rows: of a tree.
    """

    search: Search
    trees: Trees
    seed: int
    rows: int


@final
@dataclass(frozen=True, slots=True)
class Isolation(BaggedTrees):
    """IsolationForest.

    All trees have as many rows, as depths are compared: scikit-learn's number, where nodes with nine tenths
    of all rows have as many, else fewer. Nodes with fewer still grow no tree. With `contamination` the
    threshold is a percentile of the scores of all rows of all nodes.

    >>> import talkoot as tk
    >>> X = np.append(np.linspace(0, 1, 59), 9.0).reshape(-1, 1)
    >>> model = tk.fit(IsolationForest(contamination=0.02, random_state=0), {"a": X[:30], "b": X[30:]}).model
    >>> np.flatnonzero(model.predict(X) < 0).tolist()
    [0, 59]
    """

    @property
    def question_types(self) -> tuple[type, ...]:
        """Of growth, and of the search for the threshold."""
        return (CountRows, Grow, Weights, Score, Search, Ranges, Trees)

    def question(self, model: Growth) -> Any:
        """What to grow, then which scores to count."""
        if model.search is None:
            return BaggedTrees.question(self, model)
        assert model.grow is not None
        assert model.trees is not None
        return Score(model.search.search, model.trees, model.seed, model.grow.rows)

    def work(self, question: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """Trees, or counts of scores."""
        if not isinstance(question, Score):
            return BaggedTrees.work(self, question, None, shard, ctx)
        parts = self._scores(question, shard, ctx.schema)
        cached = local if isinstance(local, Values) else None
        return counted(parts, question.search.ranges, cached, features=1, nodes=len(ctx.cohort), zeros=False)

    def _scores(self, question: Score, shard: Shard, schema: Schema) -> Iterator[tuple[np.ndarray, None]]:
        """(rows, 1) scores, block by block."""
        forest = self._joined(schema, question.trees, question.seed, question.rows)
        for block in shard.blocks():
            if len(block):
                yield private.isolation_scores(forest, as_single(block.X)).reshape(-1, 1), None

    def dealt(
        self, model: Growth, rows: Mapping[str, np.ndarray], sampled: bool, classes: np.ndarray
    ) -> Grow:
        """Trees in proportion to what rows weigh, at nodes that have the rows of a tree."""
        sizes = {node: int(found[2]) for node, found in rows.items()}
        each = self._rows_of_tree(rows_of_most(sizes))
        weights = {node: float(found[1]) for node, found in rows.items() if sizes[node] >= each}
        parts = dealt(self.estimator.n_estimators, weights)
        few = [node for node in sizes if node not in parts]
        warn_idle(self.name, few, f"fewer than the {each} of a tree", "take a smaller max_samples")
        idle = [node for node, (_, count) in parts.items() if not count]
        warn_idle(self.name, idle, "too few for one of n_estimators", "take a larger n_estimators")
        return Grow(model.seed, parts, Weights(sampled), each)

    def _rows_of_tree(self, most: int) -> int:
        """The rows of each tree, by scikit-learn's rule for so many rows."""
        given = self.estimator.max_samples
        if given == "auto":
            return min(AUTO, most)
        if not isinstance(given, int | np.integer):
            return max(1, int(given * most))
        if given > most:
            warnings.warn(
                f"{self.name}: max_samples={given} is more than nodes with nine tenths of all rows have, so "
                f"trees have {most}",
                UserWarning,
                stacklevel=2,
            )
        return min(int(given), most)

    def grown(self, own: Any, X: np.ndarray, y: Any, w: Any, grow: Grow, first: int, schema: Schema) -> Trees:
        """Trees that isolate rows."""
        made = private.isolating(own, X, w, grow.seed, first, grow.rows)
        return Trees.of(made.estimators_, made.estimators_features_, np.zeros(1, dtype=np.intp), 1)

    def after(self, model: Growth) -> Growth:
        """The search for a threshold, if there is one."""
        if self.estimator.contamination == "auto":
            return replace(model, done=True)
        return replace(model, search=Selection.start(features=1, rows=model.schema.rows))

    def step(self, model: Growth, update: Update) -> Growth:
        """What to grow, the forest, or narrower ranges."""
        if model.search is None:
            return BaggedTrees.step(self, model, update)
        search = model.search.narrow(update.values, lambda totals: [self._place(totals).ranks])
        return replace(model, search=search, done=search.done)

    def _place(self, totals: Totals) -> Places:
        level = 100.0 * self.estimator.contamination / 100  # as numpy.percentile takes it
        return places(int(totals.counts[0]), np.array([level]))

    def example(self, schema: Schema) -> Any:
        """Fitted to two rows."""
        made = clone(self.estimator).set_params(
            n_estimators=1, n_jobs=None, verbose=0, max_samples="auto", contamination="auto"
        )
        made = fitted_example(made, schema, None)
        return made.set_params(**self.estimator.get_params(deep=False))

    def _joined(self, schema: Schema, trees: Trees, seed: int, rows: int) -> Any:
        made = self.example(schema)
        columns = list(trees.columns.astype(np.intp))
        grown = list(trees.fitted(made.estimators_[0]))
        return private.with_isolating_trees(made, grown, columns, seed, rows)

    def finish(self, model: Growth) -> Any:
        """The estimator with the trees of all nodes, and its threshold."""
        assert model.grow is not None
        assert model.trees is not None
        made = self._joined(model.schema, model.trees, model.seed, model.grow.rows)
        if model.search is not None:
            place = self._place(model.search.known_totals)
            left, right = model.search.at(0, place.left), model.search.at(0, place.right)
            made.offset_ = place.between(left, right)[0]
        return made


def _isolation(estimator: Any) -> Learner:
    accept(estimator)
    return Isolation(estimator)


FITS: Mapping[type, Callable[[Any], Learner]] = {IsolationForest: _isolation}
