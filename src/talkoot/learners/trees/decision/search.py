"""What is settled before a tree grows: what rows weigh, bins of columns, the rules of growth."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.sums.coarse_selection import CoarseSelection
from talkoot.learners.sums.counting import TOTAL, Values, counted
from talkoot.learners.sums.exact import exact_sum, exact_total
from talkoot.learners.sums.selection import Selection
from talkoot.learners.trees.boosting.accepted import require_edges
from talkoot.learners.trees.boosting.bins import (
    Bins,
    Distinct,
    agreed_bins,
    agreed_few,
    few_values,
    made_bins,
    wanted_ranks,
)
from talkoot.learners.trees.decision.accepted import require_spread
from talkoot.learners.trees.decision.growing import Grower
from talkoot.learners.trees.decision.model import Count, Growing
from talkoot.learners.trees.decision.rows import checked, weighing
from talkoot.learners.trees.decision.units import class_units, number_units, terms
from talkoot.learners.trees.weights import Weights, agreed_weights, listed_weights

MOST = 255  # bins of a column, besides the one for missing values
SHOWN = 5  # columns named in a warning
MISSING = "missing"  # a leaf: missing values of each column
CLASSES = "class rows"  # rows of each class, without weights
TERMS = "terms"  # exact sums of what rows of each class weigh; of magnitudes of `units.terms`
SPREAD = "spread"  # the exact sum of weighted squares of the target about its center
WEIGHTED = "weighted"  # nodes that have sample weights


def surveyed(shard: Shard, schema: Schema, estimator: Any, *, distinct: bool) -> Update:
    """What a node's rows are like; with the values of columns that have few, if `distinct`."""
    few, update, weighted = Distinct(MOST), Update(), False
    for block in checked(shard, schema, estimator, Weights(True, listed_weights(estimator, schema))):
        if schema.classes is not None and block.y is not None:
            update += Update(values={CLASSES: np.bincount(block.y, minlength=len(schema.classes))})
        own = weighing(block)
        if distinct:
            few.add(own.X)
        values = {MISSING: np.isnan(own.X).sum(axis=0), TERMS: _totals(own, schema, estimator)}
        if schema.target_center is not None and own.y is not None:
            apart = own.y.reshape(-1) - schema.target_center[0]
            values[SPREAD] = exact_sum(own.w * apart * apart)
        update += Update(values=values, weight=float(len(block)))
    if not update.values:
        return update
    weighted = any(block.w is not None for block in shard.blocks())
    leaves, kinds = few.leaves() if distinct else ({}, {})
    return update + Update(values={**leaves, WEIGHTED: np.array([int(weighted)])}, kinds=kinds)


def _totals(block: Block, schema: Schema, estimator: Any) -> np.ndarray:
    """(terms, places) exact sums: of weights, for each class; of numbers, of the magnitudes of `terms`."""
    assert block.y is not None
    assert block.w is not None
    if schema.classes is not None:
        found = [block.w[block.y == k] for k in range(len(schema.classes))]
    else:
        found = terms(estimator.criterion, block.y.reshape(-1).astype(np.float64), block.w)
    return np.stack([exact_sum(np.abs(each)) for each in found])


def begun_search(estimator: Any, model: Growing, update: Update, *, agreed: bool) -> Growing:
    """What rows weigh, what whole numbers count, and the search for thresholds.

    Raises:
        DataError: no row weighs anything, or counts are all 0.
    """
    schema, values = model.schema, update.values
    weights = agreed_weights(estimator, schema, bool(values[WEIGHTED][0]), values.get(CLASSES))
    totals = np.array([exact_total(sums) for sums in values[TERMS]])
    if schema.classes is None:
        weight = float(totals[2])
        if estimator.criterion == "squared_error":
            require_spread(exact_total(values[SPREAD]), float(totals[1]), schema)
        units = number_units(values[TERMS][: 2 + weights.some], weighted=weights.some)
    else:
        balanced = estimator.class_weight == "balanced"
        weight = float((totals * weights.classes).sum() if balanced else totals.sum())
        units = class_units(weight, len(schema.classes), weighted=weights.some)
    if not weight > 0:
        raise DataError("the weights of all rows add up to 0", cure="Some rows need a weight above 0.")
    if estimator.criterion == "poisson" and not totals[0] > 0:
        cause = "criterion='poisson' needs a target that is somewhere above 0, and it is 0 in all rows"
        raise DataError(cause, column=schema.target, cure="Look at the target.")
    few: tuple[np.ndarray | None, ...] = (None,) * schema.features
    search: Selection | CoarseSelection
    if agreed:
        search = CoarseSelection.start(schema.features, schema.rows, agreed_few(schema.rows, MOST))
    else:
        few, search = few_values(update, MOST), Selection.start(schema.features, schema.rows)
    facts = {"weights": weights, "weight": weight, "units": units, "missing": values[MISSING] > 0}
    return replace(model, search=search, few=few, **facts)


def counted_values(
    count: Count, local: Any, shard: Shard, ctx: Ctx, estimator: Any, *, agreed: bool
) -> tuple[Update, Any]:
    """Counts of values within the ranges; if `agreed` without totals, which tell a value that is alone."""
    schema, ranges = ctx.schema, count.search.ranges
    rows = map(weighing, checked(shard, schema, estimator, count.weights))
    cached = local if isinstance(local, Values) else None
    parts = ((block.X, None) for block in rows)
    update, values = counted(
        parts, ranges, cached, features=schema.features, nodes=len(ctx.cohort), zeros=False
    )
    if agreed:
        update = replace(update, values={k: v for k, v in update.values.items() if k != TOTAL})
    return update, values


def narrowed(estimator: Any, model: Growing, update: Update) -> Growing:
    """Narrower ranges; the bins and the rules of growth, and no search, where all thresholds are found."""
    assert model.search is not None
    assert model.missing is not None
    agreed = isinstance(model.search, CoarseSelection)
    found = model.search.narrow(update.values, wanted_ranks(model.few, MOST, agreed=agreed))
    if not found.done:
        return replace(model, search=found)
    if isinstance(found, CoarseSelection):
        bins = agreed_bins(found, model.missing, MOST)
        require_edges(bins.thresholds, model.schema, estimator)
    else:
        bins = made_bins(found, model.few, model.missing, MOST)
        _warn_many(model.few, model.schema, estimator)
    return replace(model, search=None, grower=grower_of(estimator, model, bins))


def _warn_many(few: Sequence[np.ndarray | None], schema: Schema, estimator: Any) -> None:
    """Warn of columns with more values than bins, as the tree may be another than scikit-learn's."""
    many = [repr(schema.column(j)) for j, values in enumerate(few) if values is None]
    if many:
        shown = ", ".join(many[:SHOWN]) + (f" and {len(many) - SHOWN} more" if len(many) > SHOWN else "")
        warnings.warn(
            f"{type(estimator).__name__} divides columns of more than {MOST} values ({shown}) at {MOST - 1} "
            "quantiles only, so the tree may differ from scikit-learn's",
            UserWarning,
            stacklevel=2,
        )


def grower_of(estimator: Any, model: Growing, bins: Bins) -> Grower:
    """The rules that the tree grows by."""
    from talkoot.kernels.trees import impurity

    assert model.units is not None
    schema, rows = model.schema, model.schema.rows
    numbers = {
        "gini": impurity.GINI,
        "squared_error": impurity.SQUARED,
        "poisson": impurity.POISSON,
    }
    leaf, split = estimator.min_samples_leaf, estimator.min_samples_split
    values = np.full((schema.features, bins.count), np.nan, np.float32)
    for j, found in enumerate(model.few):
        if found is not None:
            values[j, : len(found)] = found
    monotonic = np.zeros(schema.features, np.int8)
    if estimator.monotonic_cst is not None:
        monotonic += np.asarray(estimator.monotonic_cst, np.int8)
    return Grower(
        criterion=numbers.get(estimator.criterion, impurity.ENTROPY),
        units=model.units,
        bins=bins,
        values=values,
        depth=-1 if estimator.max_depth is None else int(estimator.max_depth),
        split=_rows(split, rows),
        leaves=-1 if estimator.max_leaf_nodes is None else int(estimator.max_leaf_nodes),
        least=(
            _rows(leaf, rows),
            float(estimator.min_weight_fraction_leaf * (model.weight if model.weights.some else rows)),
        ),
        decrease=float(estimator.min_impurity_decrease),
        monotonic=-monotonic if is_classifier(estimator) else monotonic,
    )


def _rows(given: Any, rows: int) -> int:
    """A number of rows, or a share of all."""
    return int(given) if isinstance(given, int | np.integer) else math.ceil(given * rows)
