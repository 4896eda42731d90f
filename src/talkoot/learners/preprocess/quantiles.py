"""Scalers and bins from quantiles of all rows, found by counting: see `order_statistics`."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from scipy.stats import norm
from sklearn.base import clone
from sklearn.preprocessing import KBinsDiscretizer, QuantileTransformer, RobustScaler

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.learner import Learner
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update, total
from talkoot.learners.common.columnwise import Columnwise, check_block, fit_table, warn_empty
from talkoot.learners.common.estimator import fitted, refuse, require_finite
from talkoot.learners.common.order_statistics import OrderStatistics, median, middle, quantiles
from talkoot.learners.common.rows import require_weights
from talkoot.learners.common.sklearn_private import bin_encoder, set_bin_encoder
from talkoot.learners.common.state import State
from talkoot.learners.preprocess.scalers import bounds, extremes
from talkoot.learners.sums.quantile import WEIGHTED, Places, places, weighted_places
from talkoot.learners.sums.selection import Search, Selection, Totals

NARROW = 1e-8  # width up to which scikit-learn removes bins


@final
@dataclass(frozen=True, slots=True)
class Robust(OrderStatistics):
    """RobustScaler: medians and ranges between quantiles. Missing values (NaN) are left out.

    >>> import talkoot as tk
    >>> tk.fit(RobustScaler(), np.array([[1.0], [2.0], [9.0]]), nodes=2).model.center_
    array([2.])
    """

    def read(self, block: Block, schema: Schema, scale: float | None) -> tuple[Any, None]:
        """Rows without infinite values."""
        check_block(block, schema, self.estimator)
        return block.X, None

    def ranks(self, schema: Schema, totals: Totals, column: int) -> np.ndarray:
        """Those of the median and of both ends of the range."""
        count = int(totals.counts[column])
        return np.concatenate([self._ends(schema, count).ranks, middle(count)])

    def _ends(self, schema: Schema, count: int) -> Places:
        return places(count, np.array(self.estimator.quantile_range) / schema.dtype.type(100))

    def result(self, schema: Schema, selection: Selection) -> RobustScaler:
        """Center and scale."""
        estimator, counts = self.estimator, selection.known_totals.counts
        warn_empty(counts == 0, schema, estimator, "gives NaN for it")
        ends = np.full((schema.features, 2), np.nan)
        for j in np.flatnonzero(counts).tolist():
            ends[j] = quantiles(selection, j, self._ends(schema, int(counts[j])), schema.dtype)
        center = [median(selection, j, int(n), schema.dtype) for j, n in enumerate(counts)]
        return fitted(
            estimator,
            schema,
            center_=np.array(center, dtype=schema.dtype) if estimator.with_centering else None,
            scale_=self._scale(ends[:, 1] - ends[:, 0]) if estimator.with_scaling else None,
        )

    def _scale(self, spread: np.ndarray) -> np.ndarray:
        scale = np.where(spread < 10 * np.finfo(np.float64).eps, 1.0, spread)
        low, high = (percent / 100 for percent in self.estimator.quantile_range)
        return scale / (norm.ppf(high) - norm.ppf(low)) if self.estimator.unit_variance else scale


@final
@dataclass(frozen=True, slots=True)
class Quantile(OrderStatistics):
    """QuantileTransformer from quantiles of all rows. Missing values (NaN) are left out.

    scikit-learn samples 10 000 rows unless ``subsample=None``; here `subsample` and `random_state` have no
    effect.
    """

    def read(self, block: Block, schema: Schema, scale: float | None) -> tuple[Any, None]:
        """Rows without infinite values; negative ones in sparse rows are refused, as by scikit-learn."""
        check_block(block, schema, self.estimator)
        if schema.sparse and self.counts_zeros and (block.X.data < 0).any():
            raise DataError(
                "QuantileTransformer takes no negative values in sparse rows",
                column=schema.column(int(block.X.indices[block.X.data < 0].min())),
                cure="Make the rows dense, or take ignore_implicit_zeros=True.",
            )
        return block.X, None

    @property
    def counts_zeros(self) -> bool:
        """Whether the estimator counts them."""
        return not self.estimator.ignore_implicit_zeros

    def ranks(self, schema: Schema, totals: Totals, column: int) -> np.ndarray:
        """Those of all quantiles."""
        return self._places(schema, totals.rows, int(totals.counts[column])).ranks

    def _references(self, rows: int) -> np.ndarray:
        return np.linspace(0, 1, max(1, min(self.estimator.n_quantiles, rows)))

    def _places(self, schema: Schema, rows: int, count: int) -> Places:
        return places(count, self._references(rows) * 100 / schema.dtype.type(100))  # as scikit-learn rounds

    def result(self, schema: Schema, selection: Selection) -> QuantileTransformer:
        """The quantiles of each column."""
        totals = selection.known_totals
        estimator, rows, counts = self.estimator, totals.rows, totals.counts
        references = self._references(rows)
        if estimator.ignore_implicit_zeros and not schema.sparse:
            warnings.warn("ignore_implicit_zeros has no effect on dense rows", UserWarning, stacklevel=2)
        if len(references) < estimator.n_quantiles:
            message = f"n_quantiles is set to {len(references)}: there are no more rows"
            warnings.warn(message, UserWarning, stacklevel=2)
        found = np.full((len(references), schema.features), 0.0 if schema.sparse else np.nan)
        for j in np.flatnonzero(counts).tolist():
            found[:, j] = quantiles(selection, j, self._places(schema, rows, int(counts[j])), schema.dtype)
        if not schema.sparse:
            warn_empty(counts == 0, schema, estimator, "gives NaN for it")
        return fitted(
            estimator, schema, n_quantiles_=len(references), references_=references, quantiles_=found
        )


@final
@dataclass(frozen=True, slots=True)
class UniformBins(Columnwise):
    """KBinsDiscretizer(strategy="uniform") from the least and the greatest value of each column.

    All rows count: `subsample` has no effect. Rows of weight 0 are left out.
    """

    def work(self, question: None, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Extremes of the rows of a node."""
        return total(self._extremes(block, ctx.schema) for block in shard.blocks()), None

    def _extremes(self, block: Block, schema: Schema) -> Update:
        require_weights(block.w, self.estimator)
        X = block.X if block.w is None else block.X[block.w != 0]
        require_finite(X, schema, self.estimator)
        return extremes(X, schema, self.estimator)

    def answer(self, model: State, update: Update) -> State:
        """Fitted by scikit-learn to the two rows of extremes."""
        low, high = bounds(update, model.schema, self.estimator)
        return replace(model, result=_even_bins(self.estimator, model.schema, low, high))


@final
@dataclass(frozen=True, slots=True)
class QuantileBins(OrderStatistics):
    """KBinsDiscretizer(strategy="quantile"): edges at quantiles of all rows, with sample weights or without.

    scikit-learn samples 200 000 rows unless ``subsample=None``; here `subsample` and `random_state` have no
    effect. Weights are rounded to 2^-52 of their sum: where a level is within rounding of the boundary of two
    values, scikit-learn may choose the other.
    """

    def work(self, search: Search, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """The sum of the weights in the first round, if there are any; then counts."""
        if search.scale is None and search.ranges.everything:
            blocks = (block for block in shard.blocks() if len(block))
            first = next(blocks, None)
            if first is not None and first.w is not None:
                return total(self._weights(block) for block in (first, *blocks)), None
        return OrderStatistics.work(self, search, local, shard, ctx)

    def _weights(self, block: Block) -> Update:
        require_weights(block.w, self.estimator)
        assert block.w is not None, "a node has weights for all of its rows"
        return Update(values={"weight": np.array([block.w.sum()])}, weight=float(len(block)))

    def read(self, block: Block, schema: Schema, scale: float | None) -> tuple[Any, np.ndarray | None]:
        """Finite rows, and their weights."""
        require_finite(block.X, schema, self.estimator)
        if block.w is None or scale is None:
            return block.X, None
        return block.X, np.rint(block.w * scale).astype(np.int64)

    def answer(self, model: State, update: Update) -> State:
        """The scale of weights after the first round; then as others."""
        if "weight" not in update.values:
            return OrderStatistics.answer(self, model, update)
        weight = float(update.values["weight"][0])
        self._require_weighted(weight)
        scale = 2.0 ** (52 - np.ceil(np.log2(weight)))
        return replace(model, shared=replace(model.shared, scale=scale))

    def _require_weighted(self, weight: float) -> None:
        method = self.estimator.quantile_method
        if method not in WEIGHTED:
            raise DataError(
                f"KBinsDiscretizer(quantile_method={method!r}) takes no sample weights",
                cure=f"Leave weight= out, or take one of: {', '.join(WEIGHTED)}.",
            )
        if not 0 < weight < np.inf:
            raise DataError(f"the sample weights add up to {weight}", cure="Some rows need a weight above 0.")

    def ranks(self, schema: Schema, totals: Totals, column: int) -> np.ndarray:
        """Those of the edges, and of the least and the greatest value."""
        ends = np.array([0, totals.mass[column] - 1])
        return np.concatenate([ends, self._edges(schema, totals, column).ranks])

    def _edges(self, schema: Schema, totals: Totals, column: int) -> Places:
        bins = np.broadcast_to(self.estimator.n_bins, schema.features)[column]
        levels, method = np.linspace(0, 100, bins + 1), self.estimator.quantile_method
        if totals.scale is not None:
            return weighted_places(int(totals.mass[column]), totals.scale, levels / 100, method)
        return places(int(totals.counts[column]), levels / schema.dtype.type(100), method)

    def result(self, schema: Schema, selection: Selection) -> KBinsDiscretizer:
        """Edges and bins."""
        totals = selection.known_totals
        ends = [selection.at(j, np.array([0, mass - 1])) for j, mass in enumerate(totals.mass)]
        low, high = np.array(ends, dtype=schema.dtype).T
        result = _even_bins(self.estimator, schema, low, high)
        for j in np.flatnonzero(low < high).tolist():
            edges = quantiles(selection, j, self._edges(schema, totals, j), schema.dtype).astype(np.float64)
            edges = edges[np.ediff1d(edges, to_begin=np.inf) > NARROW]
            if len(edges) - 1 != result.n_bins_[j]:
                warnings.warn(
                    f"column {schema.column(j)!r}: {result.n_bins_[j] + 1 - len(edges)} bins no wider "
                    f"than {NARROW} are removed; fewer n_bins would avoid it",
                    UserWarning,
                    stacklevel=2,
                )
            result.bin_edges_[j], result.n_bins_[j] = edges, len(edges) - 1
        if (encoder := bin_encoder(result)) is not None:
            encoder = clone(encoder).set_params(categories=[np.arange(bins) for bins in result.n_bins_])
            set_bin_encoder(result, encoder.fit(np.zeros((1, schema.features))))
        return result


def _even_bins(estimator: Any, schema: Schema, low: np.ndarray, high: np.ndarray) -> Any:
    """Bins of equal width between the extremes of each column, by scikit-learn; warns of constant columns."""
    constant = [repr(schema.column(int(j))) for j in np.flatnonzero(low == high)]
    if constant:
        warnings.warn(
            f"constant: {', '.join(constant)}; KBinsDiscretizer replaces such a column with 0",
            UserWarning,
            stacklevel=2,
        )
    return fit_table(estimator, np.stack([low, high]), schema, strategy="uniform", subsample=None)


def _bins(estimator: KBinsDiscretizer) -> Learner:
    if estimator.strategy == "kmeans":
        reason = "scikit-learn's clusters of one column come from passes over all its values"
        refuse(estimator, "strategy", reason, 'Take strategy="quantile", or "uniform".')
    return UniformBins(estimator) if estimator.strategy == "uniform" else QuantileBins(estimator)


FITS: Mapping[type, Callable[[Any], Learner]] = {
    RobustScaler: Robust,
    QuantileTransformer: Quantile,
    KBinsDiscretizer: _bins,
}
