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
from talkoot.learners.sums.coarse_selection import CoarseSelection
from talkoot.learners.sums.counting import TOTAL, Values, counted
from talkoot.learners.sums.exact import exact_fraction, exact_total
from talkoot.learners.sums.ranges import Ranges
from talkoot.learners.sums.selection import Search, Selection, Totals
from talkoot.learners.trees import rows as node
from talkoot.learners.trees import sklearn_private as private
from talkoot.learners.trees.accepted import accept, require_plain, require_positive
from talkoot.learners.trees.bins import (
    Bins,
    agreed_bins,
    agreed_few,
    agreed_ranks,
    edges,
    few_values,
    made_bins,
)
from talkoot.learners.trees.growing import Grower, Tree, leaf_values, record, sought
from talkoot.learners.trees.survey import (
    CLASSES,
    MISSING,
    TARGET,
    WEIGHT,
    WEIGHTED,
    Survey,
    checked,
    surveyed,
)
from talkoot.learners.trees.weights import Weights, agreed_weights, listed_weights, scale_of

BEHIND = "behind"  # a leaf: how many nodes have not done the step before
NO_ROWS = "no rows"  # the state of a node without any
NOTHING = np.zeros(0, np.int64)


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Boosted:
    """A fit between two rounds.

    Args:
        schema: what the nodes agreed on.
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
    records: tuple[tuple[np.ndarray, ...], ...] = ()
    trees: tuple[Tree, ...] = ()
    known: tuple[int, ...] = ()
    step: int = 0
    ended: node.Iteration | None = None
    behind: bool = False
    done: bool = False


@final
@dataclass(frozen=True, slots=True, eq=False)
class Count:
    """What nodes count in a round of the search for thresholds, and what their rows weigh."""

    search: Search
    weights: Weights


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
    """

    estimator: Any
    agreed: bool = False

    kind: ClassVar[Kind] = "exact"
    ends: ClassVar[bool] = True

    @property
    def question_types(self) -> tuple[type, ...]:
        """Of the search for thresholds, and of growth."""
        return (Survey, Count, Search, Ranges, Weights, Bins, node.Start, node.Grow, node.Iteration)

    def for_chain(self, chain: Chain) -> Boosting:
        """With agreed edges where sums are whole numbers, as under masks."""
        return replace(self, agreed=any(isinstance(link, FixedPoint) for link in chain))

    def init(self, schema: Schema, rng: np.random.Generator) -> Boosted:
        """Search for the thresholds first."""
        require_plain(schema, self.estimator)
        require_numbers(schema, self.estimator)
        require_dense(schema, self.estimator)
        if is_classifier(self.estimator):
            two_classes(schema, self.estimator)
            listed_weights(self.estimator, schema)
        else:
            target_mean(schema, self.estimator)
        self._dummy(schema)
        return Boosted(schema=schema)

    def question(self, model: Boosted) -> Any:
        """What to look at, what to count, or how the trees grow."""
        if not model.few:
            return Survey()
        if model.search is not None:
            return Count(model.search.search, model.weights)
        start = None
        if model.behind or not model.step:
            assert model.bins is not None
            assert model.baseline is not None
            start = node.Start(model.bins, model.weights, model.baseline, model.past if model.behind else ())
        splits = tuple(
            _splits(tree, 0 if start else known) for tree, known in zip(model.trees, model.known, strict=True)
        )
        wanted = tuple(
            np.array([] if tree.chosen is not None else sought(tree), dtype=np.int64) for tree in model.trees
        )
        return node.Grow(model.step, model.bits, None if start else model.ended, splits, wanted, start)

    def work(self, question: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """Counts of values, or histograms."""
        if isinstance(question, Survey):
            return surveyed(shard, ctx.schema, self.estimator, distinct=not self.agreed), None
        if isinstance(question, Count):
            return self._counted(question, local, shard, ctx)
        if question.start is None and local == NO_ROWS:
            return Update(), local
        if question.start is not None:
            X, y, w = self._rows(shard, ctx.schema, question.start.weights)
            if not len(y):
                return Update(), NO_ROWS
            loss = private.loss_of(self.estimator, len(question.sought), weighted=w is not None)
            local = node.begun(question.start, X, y, w, loss, question.bits, len(ctx.cohort))
        elif not isinstance(local, node.Rows) or local.step not in (question.step - 1, question.step):
            return Update(values={BEHIND: np.ones(1)}), local
        loss = private.loss_of(self.estimator, len(question.sought), weighted=local.weights is not None)
        rows = node.advanced(local, question, loss, self.estimator.max_bins + 1)
        if question.bits is None:
            return node.magnitudes(rows, loss), rows
        return node.sums(rows, question.sought, self.estimator.max_bins + 1), rows

    def _rows(
        self, shard: Shard, schema: Schema, weights: Weights
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """All rows of a node as float64, their targets and weights."""
        Xs, ys, ws = [np.zeros((0, schema.features))], [np.zeros(0)], [np.zeros(0)]
        for block in shard.blocks():
            assert block.y is not None
            Xs.append(block.X)
            ys.append(block.y.reshape(-1).astype(np.float64))
            if (w := weights.of(block)) is not None:
                ws.append(w)
        X = np.concatenate(Xs).astype(np.float64, copy=False)
        return X, np.concatenate(ys), np.concatenate(ws) if weights.some else None

    def _counted(self, count: Count, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """Counts of values within the ranges."""
        schema, scale = ctx.schema, count.search.scale
        parts = (
            (block.X, _whole(count.weights.of(block), scale))
            for block in checked(shard, schema, self.estimator)
        )
        cached = local if isinstance(local, Values) else None
        nodes, ranges = len(ctx.cohort), count.search.ranges
        update, values = counted(parts, ranges, cached, features=schema.features, nodes=nodes, zeros=False)
        if self.agreed:  # which would tell the value of a row that is alone in a bin
            update = replace(update, values={k: v for k, v in update.values.items() if k != TOTAL})
        return update, values

    def step(self, model: Boosted, update: Update) -> Boosted:
        """Narrower ranges, or larger trees.

        Raises:
            DataError: no node has rows.
        """
        if not update.values:
            raise DataError(f"no node has rows, so {type(self.estimator).__name__} has nothing to learn from")
        if not model.few:
            return self._surveyed(model, update)
        if model.search is not None:
            return self._searched(model, model.search, update)
        if BEHIND in update.values:
            return replace(model, behind=True)
        if model.bits is None:
            return replace(model, bits=node.enough_bits(update), step=model.step + 1)
        return self._grown(model, update)

    def _surveyed(self, model: Boosted, update: Update) -> Boosted:
        """What rows weigh, the prediction before the first tree, and the search for thresholds."""
        schema, values = model.schema, update.values
        sampled = bool(values[WEIGHTED][0])
        weights = agreed_weights(self.estimator, schema, sampled, values.get(CLASSES))
        total = np.array([exact_total(sums) for sums in values[WEIGHT]])
        total = total if weights.classes is None else total * weights.classes
        scale = scale_of(float(total.sum())) if weights.some else None
        return replace(
            model,
            search=self._search(schema, scale),
            few=(None,) * schema.features if self.agreed else few_values(update, self.estimator.max_bins),
            missing=values[MISSING] > 0,
            weights=weights,
            sampled=sampled,
            baseline=self._baseline(schema, update, total),
        )

    def _search(self, schema: Schema, scale: float | None) -> Selection | CoarseSelection:
        """The search for thresholds that begins."""
        if self.agreed:
            few = agreed_few(schema.rows, self.estimator.max_bins)
            return CoarseSelection.start(schema.features, schema.rows, few, scale)
        return replace(Selection.start(schema.features, schema.rows), scale=scale)

    def _searched(self, model: Boosted, search: Selection | CoarseSelection, update: Update) -> Boosted:
        few, most = model.few, self.estimator.max_bins

        def wanted(totals: Totals) -> list[np.ndarray]:
            if self.agreed:
                return [agreed_ranks(totals, j, most) for j in range(len(few))]
            return [
                NOTHING if few[j] is not None or not totals.counts[j] else edges(totals, j, most).ranks
                for j in range(len(few))
            ]

        search = search.narrow(update.values, wanted)
        if not search.done:
            return replace(model, search=search)
        assert model.missing is not None
        if isinstance(search, CoarseSelection):
            bins = agreed_bins(search, model.missing, most)
        else:
            bins = made_bins(search, few, model.missing, most)
        grower = self._grower(model.schema, bins, model.weights)
        return self._next(replace(model, search=None, bins=bins, grower=grower))

    def _baseline(self, schema: Schema, update: Update, total: np.ndarray) -> np.ndarray:
        """(outputs,) the best prediction without a tree, where classes or all rows weigh so much in total."""
        if schema.classes is not None:
            y, w, outputs = np.arange(len(total), dtype=np.float64), total, _outputs(schema)
        else:
            weight = exact_fraction(update.values[WEIGHT][0])
            mean = float(exact_fraction(update.values[TARGET]) / weight)
            require_positive(mean, schema, self.estimator)
            y, w, outputs = np.array([mean]), None, 1
        loss = private.loss_of(self.estimator, outputs, weighted=False)
        return np.asarray(loss.fit_intercept_only(y_true=y, sample_weight=w), dtype=np.float64).reshape(-1)

    def _next(self, model: Boosted) -> Boosted:
        """An iteration that begins, or the end."""
        outputs = _outputs(model.schema)
        done = len(model.records) == self.estimator.max_iter
        return replace(model, trees=(Tree(),) * outputs, known=(0,) * outputs, done=done)

    def _grown(self, model: Boosted, update: Update) -> Boosted:
        """Larger trees; where all are whole, the next iteration."""
        bins, bits = model.bins, model.bits
        assert bins is not None
        assert bits is not None
        assert model.grower is not None
        trees, known = list(model.trees), [len(tree.splits) for tree in model.trees]
        for k, tree in enumerate(trees):
            if tree.chosen is None:
                found = node.merged(update, k, bits)
                trees[k] = model.grower.grown(tree, dict(zip(sought(tree), found, strict=True)))
        model = replace(
            model, trees=tuple(trees), known=tuple(known), step=model.step + 1, behind=False, ended=None
        )
        if any(tree.chosen is None for tree in trees):
            return model
        rate = self.estimator.learning_rate
        values = tuple(leaf_values(tree, rate) for tree in trees)
        past = node.Iteration(tuple(_splits(tree, 0) for tree in trees), values)
        late = node.Iteration(tuple(_splits(tree, n) for tree, n in zip(trees, known, strict=True)), values)
        records = tuple(record(tree, bins, rate) for tree in trees)
        return self._next(
            replace(model, past=(*model.past, past), ended=late, records=(*model.records, records))
        )

    def _grower(self, schema: Schema, bins: Bins, weights: Weights) -> Grower:
        loss = private.loss_of(self.estimator, _outputs(schema), weighted=weights.some)
        monotonic, groups = private.constraints(self.estimator, schema.features, schema.names)
        return Grower(self.estimator, bins, loss.constant_hessian, monotonic, groups)

    def _dummy(self, schema: Schema) -> Any:
        """The estimator, fitted by scikit-learn to a row of each class: all of its attributes but the trees.

        Raises:
            DataError: scikit-learn refuses a parameter.
        """
        y = np.array([1.0, 2.0]) if schema.classes is None else schema.classes
        X: Any = np.zeros((len(y), schema.features))
        if schema.names is not None:
            import pandas as pd

            X = pd.DataFrame(X, columns=list(schema.names))
        made = clone(self.estimator).set_params(max_iter=1, early_stopping=False)
        if hasattr(made, "class_weight"):
            made.set_params(class_weight=None)
        try:
            made.fit(X, y)
        except (TypeError, ValueError) as error:
            raise DataError(f"{type(self.estimator).__name__} refuses the columns: {error}") from error
        return made.set_params(**self.estimator.get_params(deep=False))

    def finish(self, model: Boosted) -> Any:
        """The estimator with the trees."""
        assert model.bins is not None
        assert model.baseline is not None
        made = self._dummy(model.schema)
        made._predictors = [[private.predictor(nodes) for nodes in trees] for trees in model.records]
        made._baseline_prediction = model.baseline.reshape(1, -1)
        made._bin_mapper = private.bin_mapper(model.bins.thresholds, model.bins.count)
        return private.with_sample_weights(made) if model.sampled else made


def _whole(weights: np.ndarray | None, scale: float | None) -> np.ndarray | None:
    """Weights in whole units."""
    return None if weights is None or scale is None else np.rint(weights * scale).astype(np.int64)


def _outputs(schema: Schema) -> int:
    """Trees of an iteration."""
    return 1 if schema.classes is None or len(schema.classes) == 2 else len(schema.classes)


def _splits(tree: Tree, known: int) -> np.ndarray:
    """The splits behind the first `known`, as nodes read them."""
    rows = []
    for at in tree.splits[known:]:
        part = tree.parts[at]
        assert part.split is not None
        rows.append([part.left, at, part.split.feature, part.split.bin, int(part.split.missing_left)])
    return np.array(rows, dtype=np.int64).reshape(-1, 5)


def _boosting(estimator: Any) -> Learner:
    accept(estimator)
    return Boosting(estimator)


FITS: Mapping[type, Callable[[Any], Learner]] = {
    HistGradientBoostingClassifier: _boosting,
    HistGradientBoostingRegressor: _boosting,
}
