"""Scalers and the variance filter: centred sums, least and greatest values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
from scipy.sparse import issparse
from sklearn.feature_selection import VarianceThreshold
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, StandardScaler

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.learner import Learner
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Leaf, Update, total
from talkoot.learners.common.columnwise import Columnwise, fit_table, require_numbers, warn_empty
from talkoot.learners.common.estimator import fitted, require_finite
from talkoot.learners.common.rows import require_weights
from talkoot.learners.common.state import State
from talkoot.learners.sums.moments import ColumnMoments, sums


@final
@dataclass(frozen=True, slots=True)
class Standard(Columnwise):
    """StandardScaler: counts, sums and sums of squares about a center that all nodes share.

    Missing values (NaN) are left out; sample weights count; sparse rows need ``with_mean=False``. One round,
    and one more if the agreed center is more than 100 standard deviations from a mean.

    >>> import numpy as np
    >>> import talkoot as tk
    >>> tk.fit(StandardScaler(), np.array([[1.0], [2.0], [3.0]]), nodes=3).model.mean_
    array([2.])
    """

    closed: ClassVar[bool] = True

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Start at the agreed center."""
        return replace(Columnwise.init(self, schema, rng), shared=schema.center)

    def work(self, center: np.ndarray, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Sums over the rows of a node."""
        return total(self._sums(block, center, ctx.schema) for block in shard.blocks()), None

    def _sums(self, block: Block, center: np.ndarray, schema: Schema) -> Update:
        require_finite(block.X, schema, self.estimator, missing=True)
        require_weights(block.w, self.estimator)
        # scikit-learn rounds weights to the dtype of the rows.
        w = None if block.w is None else block.w.astype(schema.dtype)
        update = sums(block.X, w, center)
        weighted = {} if w is None else {"weighted": np.ones(1)}
        return Update(values={**update.values, **weighted}, weight=update.weight)

    def answer(self, model: State, update: Update) -> State:
        """Mean, variance and scale."""
        moments = ColumnMoments.of(update, model.shared)
        next_center = moments.next_center()
        if next_center is not None:
            return replace(model, shared=next_center)
        warn_empty(moments.n == 0, model.schema, self.estimator, "gives it a mean and a scale of NaN")
        return replace(model, result=self._result(moments, model.schema, "weighted" in update.values))

    def _result(self, moments: ColumnMoments, schema: Schema, weighted: bool) -> StandardScaler:
        with_std, with_mean = self.estimator.with_std, self.estimator.with_mean
        count = moments.n if weighted else moments.n.astype(np.int64)
        mean, var = moments.mean, moments.variance
        constant = var <= _rounding(moments.n, mean, var)
        return fitted(
            self.estimator,
            schema,
            n_samples_seen_=count[0] if (count == count[0]).all() else count,
            mean_=mean if with_mean or with_std else None,
            var_=var if with_std else None,
            scale_=np.where(constant, 1.0, np.sqrt(var)) if with_std else None,
        )


def _rounding(n: np.ndarray, mean: np.ndarray, var: np.ndarray) -> np.ndarray:
    """The variance up to which scikit-learn treats a column as constant.

    Source: Chan, Golub, LeVeque 1983, Algorithms for computing the sample variance.
    """
    eps = np.finfo(np.float64).eps
    return np.asarray(n * eps * var + (n * mean * eps) ** 2)


@final
@dataclass(frozen=True, slots=True)
class MinMax(Columnwise):
    """MinMaxScaler and MaxAbsScaler: the least and the greatest value of each column; NaN is left out."""

    def work(self, question: None, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Extremes of the rows of a node."""
        return total(_extremes(block, ctx.schema, self.estimator) for block in shard.blocks()), None

    def answer(self, model: State, update: Update) -> State:
        """Fitted by scikit-learn to the two rows of extremes, or to one of greatest absolute values."""
        table = np.stack(bounds(update, model.schema, self.estimator))
        if isinstance(self.estimator, MaxAbsScaler):
            table = np.abs(table).max(axis=0, keepdims=True)
        result = fit_table(self.estimator, table, model.schema)
        result.n_samples_seen_ = int(update.values["rows"][0])
        return replace(model, result=result)


@final
@dataclass(frozen=True, slots=True)
class Variance(Columnwise):
    """VarianceThreshold: variances, and ranges, which show constant columns if the threshold is 0.

    Constant columns are dropped also if values are missing; there scikit-learn's rounding may keep them.
    """

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Start at the agreed center."""
        require_numbers(schema, self.estimator)
        return State(schema=schema, shared=schema.center)

    def work(self, center: np.ndarray, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Sums and extremes of the rows of a node."""
        return total(self._sums(block, center, ctx.schema) for block in shard.blocks()), None

    def _sums(self, block: Block, center: np.ndarray, schema: Schema) -> Update:
        update, edges = sums(block.X, None, center), _extremes(block, schema, self.estimator)
        return Update(values={**update.values, **edges.values}, weight=update.weight, kinds=edges.kinds)

    def answer(self, model: State, update: Update) -> State:
        """The variances, if any column passes.

        Raises:
            DataError: no column does.
        """
        moments = ColumnMoments.of(update, model.shared)
        next_center = moments.next_center()
        if next_center is not None:
            return replace(model, shared=next_center)
        variances, threshold = moments.variance, self.estimator.threshold
        low, high = bounds(update, model.schema, self.estimator)
        if threshold == 0:
            # As scikit-learn, the smaller of range and variance if no value is missing; also a range of 0.
            whole = moments.n == update.values["rows"][0]
            spans = high.astype(np.float64) - low
            variances = np.where(whole & (spans < variances) | (spans == 0), spans, variances)
        if not (variances > threshold).any():
            raise DataError(
                f"no column varies by more than {threshold} over {int(update.values['rows'][0])} rows",
                cure="Lower the threshold of VarianceThreshold().",
            )
        return replace(model, result=fitted(self.estimator, model.schema, variances_=variances))


def _extremes(block: Block, schema: Schema, estimator: Any) -> Update:
    require_weights(block.w, estimator)
    return extremes(block.X, schema, estimator)


def extremes(X: Any, schema: Schema, estimator: Any) -> Update:
    """The leaves low (MIN), high (MAX) and rows (SUM) of some rows; NaN is missing.

    Extremes of a column without values are the identities, inf and -inf.
    """
    require_finite(X, schema, estimator, missing=True)
    if issparse(X):
        low, high = _sparse_extremes(X)
    else:
        low, high = np.fmin.reduce(X, axis=0, initial=np.inf), np.fmax.reduce(X, axis=0, initial=-np.inf)
    rows = X.shape[0]
    return Update(
        values={"low": low, "high": high, "rows": np.array([float(rows)])},
        weight=float(rows),
        kinds={"low": Leaf.MIN, "high": Leaf.MAX},
    )


def _sparse_extremes(X: Any) -> tuple[np.ndarray, np.ndarray]:
    stored = np.bincount(X.indices, minlength=X.shape[1])
    low = np.where(stored < X.shape[0], 0.0, np.inf).astype(X.dtype)
    high = np.where(stored < X.shape[0], 0.0, -np.inf).astype(X.dtype)
    np.fmin.at(low, X.indices, X.data)
    np.fmax.at(high, X.indices, X.data)
    return low, high


def bounds(update: Update, schema: Schema, estimator: Any) -> tuple[np.ndarray, np.ndarray]:
    """(features,) the least and greatest value of each column; NaN and a warning for one without values."""
    low, high = (update.values[name].astype(schema.dtype) for name in ("low", "high"))
    nothing = low > high
    warn_empty(nothing, schema, estimator, "gives NaN for it")
    return np.where(nothing, np.nan, low), np.where(nothing, np.nan, high)


FITS: Mapping[type, Callable[[Any], Learner]] = {
    StandardScaler: Standard,
    MinMaxScaler: MinMax,
    MaxAbsScaler: MinMax,
    VarianceThreshold: Variance,
}
