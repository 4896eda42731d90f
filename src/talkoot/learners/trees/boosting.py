"""HistGradientBoosting over nodes: scikit-learn's own trees, from sums of gradients in bins."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
from sklearn.base import clone, is_classifier
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.learner import Kind, Learner, SolvingLearner
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.common.columnwise import check_block, require_numbers
from talkoot.learners.common.rows import require_dense
from talkoot.learners.solvers.target_stats import counts, spread, target_mean, two_classes
from talkoot.learners.sums.counting import KEY_BYTES, Values, passes
from talkoot.learners.sums.ranges import Ranges
from talkoot.learners.sums.selection import Search, Selection, Totals
from talkoot.learners.trees import rows as node
from talkoot.learners.trees import sklearn_private as private
from talkoot.learners.trees.accepted import accept, require_plain, require_positive, require_target
from talkoot.learners.trees.bins import Bins, Distinct, edges, few_values, made_bins
from talkoot.learners.trees.growing import Grower, Tree, leaf_values, record, sought

BEHIND = "behind"  # a leaf: how many nodes have not done the step before
NO_ROWS = "no rows"  # the state of a node without any
NOTHING = np.zeros(0, np.int64)


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Boosted:
    """A fit between two rounds.

    Args:
        schema: what the nodes agreed on.
        search: of thresholds; None once the bins are there.
        few: for each column its distinct values, None where there are many.
        bins: of the columns.
        grower: the rules that trees grow by, once the bins are there.
        baseline: (outputs,) the prediction before the first tree.
        past: the iterations that ended.
        records: their trees.
        trees: that grow now.
        known: for each of them, how many splits the nodes know.
        step: number of the step that comes next.
        ended: the iteration that ended with the step before, without the splits that nodes know.
        behind: whether some node needs all that is past.
    """

    schema: Schema
    search: Selection | None = None
    few: tuple[np.ndarray | None, ...] = ()
    bins: Bins | None = None
    grower: Grower | None = None
    baseline: np.ndarray | None = None
    past: tuple[node.Iteration, ...] = ()
    records: tuple[tuple[np.ndarray, ...], ...] = ()
    trees: tuple[Tree, ...] = ()
    known: tuple[int, ...] = ()
    step: int = 0
    ended: node.Iteration | None = None
    behind: bool = False
    done: bool = False


@final
@dataclass(frozen=True, slots=True)
class Boosting(SolvingLearner):
    """HistGradientBoostingClassifier and HistGradientBoostingRegressor.

    The bins are scikit-learn's, of all rows (it takes 200 000 of more by chance). Each round sums histograms
    of the leaves that the trees need next, for a level of each tree at once.
    """

    estimator: Any

    kind: ClassVar[Kind] = "exact"
    ends: ClassVar[bool] = True

    @property
    def question_types(self) -> tuple[type, ...]:
        """Of the search for thresholds, and of growth."""
        return (Search, Ranges, Bins, node.Start, node.Grow, node.Iteration)

    def init(self, schema: Schema, rng: np.random.Generator) -> Boosted:
        """Search for the thresholds first."""
        require_plain(schema, self.estimator)
        require_numbers(schema, self.estimator)
        require_dense(schema, self.estimator)
        if is_classifier(self.estimator):
            two_classes(schema, self.estimator)
        else:
            target_mean(schema, self.estimator)
        self._dummy(schema)
        return Boosted(schema=schema, search=Selection.start(schema.features, schema.rows))

    def question(self, model: Boosted) -> Any:
        """What to count, or how the trees grow."""
        if model.search is not None:
            return model.search.search
        start = None
        if model.behind or not model.step:
            assert model.bins is not None
            assert model.baseline is not None
            start = node.Start(model.bins, model.baseline, model.past if model.behind else ())
        splits = tuple(
            _splits(tree, 0 if start else known) for tree, known in zip(model.trees, model.known, strict=True)
        )
        wanted = tuple(
            np.array([] if tree.chosen is not None else sought(tree), dtype=np.int64) for tree in model.trees
        )
        return node.Grow(model.step, None if start else model.ended, splits, wanted, start)

    def work(self, question: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """Counts of values, or histograms."""
        if isinstance(question, Search):
            return self._counted(question, local, shard, ctx)
        if question.start is None and local == NO_ROWS:
            return Update(), local
        loss = private.loss_of(self.estimator, len(question.sought))
        if question.start is not None:
            X, y = self._rows(shard, ctx.schema)
            if not len(y):
                return Update(), NO_ROWS
            local = node.begun(question.start, X, y, loss)
        elif not isinstance(local, node.Rows) or local.step not in (question.step - 1, question.step):
            return Update(values={BEHIND: np.ones(1)}), local
        rows = node.advanced(local, question, loss, self.estimator.max_bins + 1)
        return node.sums(rows, question.sought, self.estimator.max_bins + 1), rows

    def _rows(self, shard: Shard, schema: Schema) -> tuple[np.ndarray, np.ndarray]:
        """All rows of a node as float64, and their targets."""
        Xs, ys = [np.zeros((0, schema.features))], [np.zeros(0)]
        for block in shard.blocks():
            assert block.y is not None
            Xs.append(block.X)
            ys.append(block.y.reshape(-1).astype(np.float64))
        return np.concatenate(Xs).astype(np.float64, copy=False), np.concatenate(ys)

    def _counted(self, search: Search, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """Counts of values within the ranges; in the first round also few values and sums of the target."""
        first, schema = search.ranges.everything, ctx.schema
        distinct, update, chunks = Distinct(self.estimator.max_bins), Update(), 0

        def parts() -> Iterator[tuple[Any, None]]:
            nonlocal update
            for block in shard.blocks():
                if not len(block):
                    continue
                check_block(block, schema, self.estimator)
                require_target(block, schema, self.estimator)
                if first:
                    distinct.add(block.X)
                    update += (spread if schema.classes is None else counts)(block, schema)
                yield block.X, None

        limit = KEY_BYTES // max(1, len(ctx.cohort))
        read = (
            iter([local])
            if isinstance(local, Values)
            else passes(parts(), search.ranges, schema.features, limit, zeros=False)
        )
        for values in read:
            update += Update(values=values.count(search.ranges), weight=float(values.rows))
            chunks += 1
        if first and update.values:
            leaves, kinds = distinct.leaves()
            update += Update(values=leaves, kinds=kinds)
        return update, values if chunks == 1 else None

    def step(self, model: Boosted, update: Update) -> Boosted:
        """Narrower ranges, or larger trees.

        Raises:
            DataError: no node has rows.
        """
        if not update.values:
            raise DataError(f"no node has rows, so {type(self.estimator).__name__} has nothing to learn from")
        if model.search is not None:
            return self._searched(model, model.search, update)
        if BEHIND in update.values:
            return replace(model, behind=True)
        return self._grown(model, update)

    def _searched(self, model: Boosted, search: Selection, update: Update) -> Boosted:
        most = self.estimator.max_bins
        if search.inside is None:
            few, baseline = few_values(update, most), self._baseline(model.schema, update)
            model = replace(model, few=few, baseline=baseline)
        few = model.few

        def wanted(totals: Totals) -> list[np.ndarray]:
            return [
                NOTHING if few[j] is not None or not totals.counts[j] else edges(totals, j, most).ranks
                for j in range(len(few))
            ]

        search = search.narrow(update.values, wanted)
        if not search.done:
            return replace(model, search=search)
        bins = made_bins(search, few, most)
        grower = self._grower(model.schema, bins)
        return self._next(replace(model, search=None, bins=bins, grower=grower))

    def _baseline(self, schema: Schema, update: Update) -> np.ndarray:
        """(outputs,) the best prediction without a tree."""
        weight = update.values["weight"]
        if schema.classes is not None:
            y, w, outputs = np.arange(len(weight), dtype=np.float64), weight, _outputs(schema)
        else:
            assert schema.target_center is not None
            mean = schema.target_center[0] + update.values["moments"][0] / weight[0]
            require_positive(float(mean), schema, self.estimator)
            y, w, outputs = np.array([mean]), None, 1
        loss = private.loss_of(self.estimator, outputs)
        return np.asarray(loss.fit_intercept_only(y_true=y, sample_weight=w), dtype=np.float64).reshape(-1)

    def _next(self, model: Boosted) -> Boosted:
        """An iteration that begins, or the end."""
        outputs = _outputs(model.schema)
        done = len(model.records) == self.estimator.max_iter
        return replace(model, trees=(Tree(),) * outputs, known=(0,) * outputs, done=done)

    def _grown(self, model: Boosted, update: Update) -> Boosted:
        """Larger trees; where all are whole, the next iteration."""
        assert model.bins is not None
        assert model.grower is not None
        trees, known = list(model.trees), [len(tree.splits) for tree in model.trees]
        for k, tree in enumerate(trees):
            if tree.chosen is None:
                found = node.merged(update, k)
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
        records = tuple(record(tree, model.bins, rate) for tree in trees)
        return self._next(
            replace(model, past=(*model.past, past), ended=late, records=(*model.records, records))
        )

    def _grower(self, schema: Schema, bins: Bins) -> Grower:
        loss = private.loss_of(self.estimator, _outputs(schema))
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
        return made


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
