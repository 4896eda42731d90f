"""HistGradientBoosting over nodes: scikit-learn's own trees, from sums of gradients in bins."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.learner import Kind, Learner, SolvingLearner
from talkoot.core.shard import Schema, Shard
from talkoot.core.transform import Chain
from talkoot.core.update import Update
from talkoot.guards.fixed import FixedPoint
from talkoot.learners.common.columnwise import require_numbers
from talkoot.learners.common.rows import require_dense
from talkoot.learners.solvers.target_stats import target_mean, two_classes
from talkoot.learners.sums.ranges import Ranges
from talkoot.learners.sums.selection import Search
from talkoot.learners.trees.boosting import rows as node
from talkoot.learners.trees.boosting import sklearn_private as private
from talkoot.learners.trees.boosting.accepted import (
    accept,
    require_order,
    require_sums_of_all,
    warn_of_constraints,
)
from talkoot.learners.trees.boosting.bins import Bins
from talkoot.learners.trees.boosting.categories import (
    Categories,
    Coded,
    Coding,
    agreed_coding,
    chosen_schema,
    coded,
    found_categories,
)
from talkoot.learners.trees.boosting.growing import Tree, sought
from talkoot.learners.trees.boosting.model import (
    Boosted,
    ended,
    interim,
    outputs_of,
    require_same,
    resumed,
    rooted,
    valued,
)
from talkoot.learners.trees.boosting.quantiles.leaves import LeafCount, leaves_of
from talkoot.learners.trees.boosting.result import category_columns, dummy, example_of, finished
from talkoot.learners.trees.boosting.search import (
    Count,
    begun_search,
    counted_values,
    narrowed,
    with_baseline,
)
from talkoot.learners.trees.boosting.sets import Sets, begun
from talkoot.learners.trees.boosting.stopping import Stopping, measure_of, require_sums, stops
from talkoot.learners.trees.boosting.survey import (
    ROWS,
    WEIGHTED,
    RowCounts,
    Survey,
    counted_rows,
    surveyed,
)
from talkoot.learners.trees.boosting.validation import Validation, drawn, training_rows
from talkoot.learners.trees.boosting.warm_start.earlier_fit import EarlierFit
from talkoot.learners.trees.boosting.warm_start.trees import Trees
from talkoot.learners.trees.weights import Weights, listed_weights

BEHIND = "behind"  # a leaf: how many nodes have not done the step before
NO_ROWS = "no rows"  # the state of a node without any


@final
@dataclass(frozen=True, slots=True)
class Boosting(SolvingLearner):
    """HistGradientBoostingClassifier and HistGradientBoostingRegressor.

    The bins are scikit-learn's, of all rows (it takes 200 000 of more by chance). Each round sums histograms
    of the leaves that the trees need next, for a level of each tree at once. Gradients are whole multiples of
    a power of two, so trees are the same whichever node has which rows, behind `fixed` and `mask` too.

    Args:
        estimator: whose trees they are.
        agreed: the edges of bins come from counts alone, as only sums of all nodes may be read.
        earlier: the fit that it goes on from, of an estimator with warm_start=True.
        loss: of a node's rows, in place of the estimator's own.
    """

    estimator: Any
    agreed: bool = False
    earlier: EarlierFit | None = field(default=None, repr=False)
    loss: Any = None

    kind: ClassVar[Kind] = "exact"
    ends: ClassVar[bool] = True
    resumes: ClassVar[bool] = True

    @property
    def continues(self) -> bool:
        """Where there is an earlier fit."""
        return self.earlier is not None

    @property
    def question_types(self) -> tuple[type, ...]:
        """Of the search for thresholds, and of growth."""
        common = (Survey, Count, Search, Ranges, Weights, Bins, node.Start, node.Grow, node.Iteration, Trees)
        others = (Categories, Coding, Coded, RowCounts, Validation, LeafCount)
        return common if self.agreed else (*common, *others)

    @property
    def large_integers(self) -> bool:
        """Where they may be categories."""
        return not self.agreed

    def for_chain(self, chain: Chain) -> Boosting:
        """With agreed edges where sums are whole numbers, as under masks."""
        return replace(self, agreed=any(isinstance(link, FixedPoint) for link in chain))

    def init(self, schema: Schema, rng: np.random.Generator) -> Boosted:
        """Search for the thresholds first."""
        require_dense(schema, self.estimator)
        columns = category_columns(self.estimator, schema)
        require_order(columns, schema, self.estimator)
        if self.agreed:
            require_sums_of_all(columns, schema, self.estimator, stops=stops(self.estimator, schema))
        others = [j for j in range(schema.features) if j not in columns]
        require_numbers(chosen_schema(schema, others), self.estimator)
        if is_classifier(self.estimator):
            two_classes(schema, self.estimator)
            listed_weights(self.estimator, schema)
        else:
            target_mean(schema, self.estimator)
        made = dummy(self.estimator, schema, example_of(columns, schema))
        if self.earlier is not None:
            self.earlier.require_same_columns(made, schema)
        warn_of_constraints(self.estimator, schema)
        coding = Coding() if schema.mixed and not columns else None
        model = Boosted(schema=schema, columns=columns, coding=coding, warm_start=self.earlier)
        if not stops(self.estimator, schema):
            return model
        require_sums(self.estimator, classifier=schema.classes is not None)
        if self.earlier is not None:
            self.earlier.require_unseen(
                self.estimator, held_out=self.estimator.validation_fraction is not None
            )
            return replace(model, seed=self.earlier.fitted._random_seed, stopping=self.earlier.scores)
        return replace(model, seed=private.seed_of(self.estimator, rng), stopping=Stopping())

    def question(self, model: Boosted) -> Any:
        """Which categories there are, what to look at, what to count, or how the trees grow."""
        if model.columns and model.coding is None:
            return Categories(model.columns)
        question = self._question(model)
        if model.coding is None or (isinstance(question, node.Grow) and question.start is None):
            return question
        return Coded(model.coding, question)

    def _question(self, model: Boosted) -> Any:
        if self._counts_rows(model):
            return RowCounts()
        if not model.few:
            return Survey(model.validation)
        if model.baseline is None:
            assert model.quantiles is not None
            return Count(model.quantiles.search, model.weights, model.validation, target=True)
        if model.search is not None:
            return Count(model.search.search, model.weights, model.validation)
        return model.growth(whole=self._is_whole(model))

    def _is_whole(self, model: Boosted) -> bool:
        """Whether all trees are there."""
        return bool(model.iterations == self.estimator.max_iter)

    def _counts_rows(self, model: Boosted) -> bool:
        """Whether the rows that are held out are still to be drawn."""
        draws = model.stopping is not None and self.estimator.validation_fraction is not None
        return draws and model.validation is None

    def work(self, question: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """Values, counts of them, or histograms."""
        if isinstance(question, Categories):
            return found_categories(question, shard, ctx, self.estimator), None
        if isinstance(question, Coded):
            shard, ctx = coded(shard, ctx, question.coding)
            question = question.question
        if isinstance(question, RowCounts):
            return counted_rows(shard, ctx, self.estimator), None
        if isinstance(question, Survey):
            rows = training_rows(shard, question.validation, ctx)
            return surveyed(rows, ctx.schema, self.estimator, distinct=not self.agreed), None
        if isinstance(question, Count):
            rows = training_rows(shard, question.validation, ctx)
            return counted_values(question, local, rows, ctx, self.estimator, totals=not self.agreed)
        if question.start is None and local == NO_ROWS:
            return Update(), local
        if question.start is not None:
            if self.agreed and question.start.earlier is not None:
                question.start.earlier.require_bins()
            outputs, weighted = len(question.sought), question.start.weights.some
            loss = self.loss or private.loss_of(self.estimator, outputs, weighted=weighted)
            local = begun(question, shard, ctx, loss)
            if local is None:
                return Update(), NO_ROWS
        elif not isinstance(local, Sets) or local.step not in (question.step - 1, question.step):
            return Update(values={BEHIND: np.ones(1)}), local
        sets: Sets = local.advanced(question)
        if question.bits is None:
            return sets.magnitudes(), sets
        if question.counted is not None:
            return sets.counted(question.counted)
        update = sets.sums(question.sought)
        if question.scored:
            update += sets.scored(measure_of(self.estimator, ctx.schema), ctx.schema)
        return update, sets

    def step(self, model: Boosted, update: Update) -> Boosted:
        """Narrower ranges, or larger trees.

        Raises:
            DataError: no node has rows.
        """
        if not update.values:
            raise DataError(f"no node has rows, so {type(self.estimator).__name__} has nothing to learn from")
        if model.columns and model.coding is None:
            coding = agreed_coding(model.columns, update, model.schema, self.estimator)
            if self.earlier is not None:
                self.earlier.require_same_categories(coding, model.schema)
            return replace(model, coding=coding)
        if self._counts_rows(model):
            rows, sampled = update.values[ROWS], bool(update.values[WEIGHTED][0])
            validation = drawn(rows, model.schema, self.estimator.validation_fraction, model.seed)
            return replace(model, validation=validation, sampled=sampled)
        if not model.few:
            return begun_search(self.estimator, model, update, agreed=self.agreed)
        if model.baseline is None:
            return with_baseline(model, update)
        if model.search is not None:
            found = narrowed(self.estimator, model, model.search, update)
            return found if found.search is not None else self._next(self._with_first(found))
        if BEHIND in update.values:
            return replace(model, behind=True)
        if model.bits is None:
            model = replace(model, bits=node.enough_bits(update), step=model.step + 1)
            return model if model.earlier is None else require_same(model)
        return self._grown(model, update) if model.counted is None else self._valued(model, update)

    def _with_first(self, model: Boosted) -> Boosted:
        """The model with the trees of the earlier fit as nodes read them, where there is one."""
        if self.earlier is None:
            return model
        assert model.bins is not None
        trees = self.earlier.trees
        return replace(model, first=trees.in_bins(model.bins) if self.agreed else trees)

    def _next(self, model: Boosted) -> Boosted:
        """An iteration that begins, or the end."""
        outputs = outputs_of(model.schema)
        done = self._is_whole(model) and model.stopping is None
        return replace(model, trees=(Tree(),) * outputs, known=(0,) * outputs, done=done)

    def _grown(self, model: Boosted, update: Update) -> Boosted:
        """Larger trees; where all are whole, the next iteration."""
        bits = model.bits
        assert bits is not None
        model = rooted(model, update)
        if model.stopping is not None and model.scored:
            model = self._scored(model, update)
            if model.done:
                return model
        assert model.grower is not None
        trees = list(model.trees)
        for k, tree in enumerate(trees):
            if tree.chosen is None:
                found = node.merged(update, k, bits)
                trees[k] = model.grower.grown(tree, dict(zip(sought(tree), found, strict=True)))
        model = replace(model.stepped(), trees=tuple(trees))
        if any(tree.chosen is None for tree in trees):
            return model
        if model.quantiles is not None:
            return replace(model, quantiles=model.quantiles.again(len(leaves_of(trees[0]))))
        return self._next(ended(model, self.estimator.learning_rate))

    def _valued(self, model: Boosted, update: Update) -> Boosted:
        """Narrower ranges of residuals; where the values of all leaves are found, the next iteration."""
        model = valued(model, update)
        return model if model.counted else self._next(ended(model, self.estimator.learning_rate))

    def _scored(self, model: Boosted, update: Update) -> Boosted:
        """The model with the scores before the trees that grow; it may be done."""
        assert model.stopping is not None
        stopping, whole = model.stopping, self._is_whole(model)
        found = stopping.scored(update.values, measure_of(self.estimator, model.schema))
        if self.earlier is not None and not model.records:  # these are there already, or were not taken
            self.earlier.require_same_scores(found)
            return replace(model, done=whole)
        return replace(model, stopping=found, done=whole or found.stop(self.estimator))

    def interim(self, model: Boosted) -> Mapping[str, np.ndarray] | None:
        """The trees so far."""
        return interim(model)

    def resumed(self, model: Boosted, found: Mapping[str, np.ndarray]) -> Boosted:
        """The model that goes on from trees of `interim`."""
        return resumed(model, found)

    def finish(self, model: Boosted) -> Any:
        """The estimator with the trees."""
        return finished(self.estimator, model)


def _boosting(estimator: Any) -> Learner:
    accept(estimator)
    earlier = EarlierFit.of(estimator)
    return Boosting(estimator if earlier is None else clone(estimator), earlier=earlier)


FITS: Mapping[type, Callable[[Any], Learner]] = {
    HistGradientBoostingClassifier: _boosting,
    HistGradientBoostingRegressor: _boosting,
}
