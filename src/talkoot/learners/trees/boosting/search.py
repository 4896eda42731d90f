"""What is settled before the first tree: thresholds of bins, the prediction without a tree, the rules."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.sums.coarse_selection import CoarseSelection
from talkoot.learners.sums.counting import TOTAL, Values, counted
from talkoot.learners.sums.exact import exact_fraction, exact_total
from talkoot.learners.sums.selection import Search, Selection
from talkoot.learners.trees.boosting import sklearn_private as private
from talkoot.learners.trees.boosting.accepted import require_edges, require_positive
from talkoot.learners.trees.boosting.bins import (
    Bins,
    agreed_bins,
    agreed_few,
    few_values,
    made_bins,
    wanted_ranks,
)
from talkoot.learners.trees.boosting.categories import Coding
from talkoot.learners.trees.boosting.growing import Grower
from talkoot.learners.trees.boosting.model import Boosted, outputs_of
from talkoot.learners.trees.boosting.quantiles.search import QuantileSearch, has_quantiles
from talkoot.learners.trees.boosting.survey import CLASSES, MISSING, TARGET, WEIGHT, WEIGHTED, checked
from talkoot.learners.trees.boosting.validation import Validation
from talkoot.learners.trees.weights import Weights, agreed_weights, scale_of, whole_weights


@final
@dataclass(frozen=True, slots=True, eq=False)
class Count:
    """What nodes count in a round of the search for thresholds, of which rows, and what these weigh.

    Args:
        target: whether it is the target that is counted, in place of the columns.
    """

    search: Search
    weights: Weights
    validation: Validation | None = None
    target: bool = False


def counted_values(
    count: Count, local: Any, shard: Shard, ctx: Ctx, estimator: Any, *, totals: bool
) -> tuple[Update, Any]:
    """Counts of values within the ranges; with their `totals`, which tell a value that is alone in a bin."""
    schema, scale = ctx.schema, count.search.scale
    parts = (
        (_target(block) if count.target else block.X, whole_weights(count.weights.of(block), scale))
        for block in checked(shard, schema, estimator)
    )
    nodes, ranges = len(ctx.cohort), count.search.ranges
    cached = local if isinstance(local, Values) and not ranges.everything else None
    features = 1 if count.target else schema.features
    update, values = counted(parts, ranges, cached, features=features, nodes=nodes, zeros=False)
    if not totals:
        update = replace(update, values={k: v for k, v in update.values.items() if k != TOTAL})
    return update, values


def _target(block: Block) -> np.ndarray:
    """(rows, 1) the target of a block."""
    assert block.y is not None
    return block.y.reshape(-1, 1).astype(np.float64)


def begun_search(estimator: Any, model: Boosted, update: Update, *, agreed: bool) -> Boosted:
    """What rows weigh, the prediction before the first tree, and the search for thresholds."""
    schema, values = model.schema, update.values
    sampled = model.sampled or bool(values[WEIGHTED][0])
    rows = values.get(CLASSES) if model.validation is None else model.validation.rows.sum(axis=0)
    weights = agreed_weights(estimator, schema, sampled, rows)
    total = np.array([exact_total(sums) for sums in values[WEIGHT]])
    total = total if weights.classes is None else total * weights.classes
    scale, sought = scale_of(float(total.sum())) if weights.some else None, has_quantiles(estimator)
    return replace(
        model,
        search=_search(estimator, schema, scale, agreed=agreed),
        few=(None,) * schema.features if agreed else few_values(update, estimator.max_bins),
        missing=values[MISSING] > 0,
        weights=weights,
        sampled=sampled,
        baseline=_first(estimator, model, update, total),
        quantiles=QuantileSearch.start(estimator, 1, scale) if sought else None,
    )


def _search(
    estimator: Any, schema: Schema, scale: float | None, *, agreed: bool
) -> Selection | CoarseSelection:
    """The search for thresholds that begins."""
    if agreed:
        few = agreed_few(schema.rows, estimator.max_bins)
        return CoarseSelection.start(schema.features, schema.rows, few, scale)
    return replace(Selection.start(schema.features, schema.rows), scale=scale)


def with_baseline(model: Boosted, update: Update) -> Boosted:
    """Narrower ranges of the target; the prediction without a tree, where it is found."""
    assert model.quantiles is not None
    found = model.quantiles.narrow(update.values)
    return replace(model, quantiles=found, baseline=found.values if found.done else None)


def narrowed(estimator: Any, model: Boosted, search: Selection | CoarseSelection, update: Update) -> Boosted:
    """Narrower ranges; the bins and the rules of growth, and no search, where all thresholds are found."""
    few, most = model.few, estimator.max_bins
    agreed = isinstance(search, CoarseSelection)
    found = search.narrow(update.values, wanted_ranks(few, most, agreed=agreed))
    if not found.done:
        return replace(model, search=found)
    assert model.missing is not None
    if isinstance(found, CoarseSelection):
        bins = agreed_bins(found, model.missing, most)
        require_edges(bins.thresholds, model.schema, estimator)
    else:
        counts = () if model.coding is None else tuple(map(len, model.coding.values))
        bins = made_bins(found, few, model.missing, most, counts)
    return replace(model, search=None, bins=bins, grower=grower_of(estimator, model, bins))


def _first(estimator: Any, model: Boosted, update: Update, total: np.ndarray) -> np.ndarray | None:
    """The prediction before the trees, that of an earlier fit if any; None for a quantile yet to be found."""
    found = None if has_quantiles(estimator) else baseline_of(estimator, model.schema, update, total)
    return found if model.warm_start is None else model.warm_start.baseline


def baseline_of(estimator: Any, schema: Schema, update: Update, total: np.ndarray) -> np.ndarray:
    """(outputs,) the best prediction without a tree, where classes or all rows weigh so much in total."""
    if schema.classes is not None:
        y, w, outputs = np.arange(len(total), dtype=np.float64), total, outputs_of(schema)
    else:
        weight = exact_fraction(update.values[WEIGHT][0])
        mean = float(exact_fraction(update.values[TARGET]) / weight)
        require_positive(mean, schema, estimator)
        y, w, outputs = np.array([mean]), None, 1
    loss = private.loss_of(estimator, outputs, weighted=False)
    return np.asarray(loss.fit_intercept_only(y_true=y, sample_weight=w), dtype=np.float64).reshape(-1)


def grower_of(estimator: Any, model: Boosted, bins: Bins) -> Grower:
    """The rules that trees grow by."""
    schema = model.schema
    loss = private.loss_of(estimator, outputs_of(schema), weighted=model.weights.some)
    monotonic, groups = private.constraints(estimator, schema.features, schema.names)
    order = (model.coding or Coding()).order(schema.features)
    return Grower(estimator, bins, loss.constant_hessian, monotonic[order], groups)
