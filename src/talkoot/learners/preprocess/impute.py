"""SimpleImputer: means from sums, modes from counts, medians by counting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
from scipy.sparse import csr_array
from sklearn.impute import SimpleImputer

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.learner import Learner
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update, total
from talkoot.learners.common.columnwise import Columnwise, fit_table, require_numbers, warn_empty
from talkoot.learners.common.estimator import refuse, require_finite
from talkoot.learners.common.order_statistics import OrderStatistics, median, middle
from talkoot.learners.common.rows import require_weights
from talkoot.learners.common.state import State
from talkoot.learners.sums.moments import ColumnMoments, sums
from talkoot.learners.sums.selection import Selection, Totals
from talkoot.learners.sums.tally import Agreed, Tally, counts_of, distinct_values, is_missing, tally


@dataclass(frozen=True, slots=True)
class Imputer(Columnwise):
    """SimpleImputer with a strategy whose statistics are sums or counts."""

    closed: ClassVar[bool] = True

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Refuse parameters that cannot be used."""
        return _start(self.estimator, schema)


@final
@dataclass(frozen=True, slots=True)
class MeanImputer(Imputer):
    """SimpleImputer(strategy="mean"): counts and sums about the agreed center."""

    def work(self, question: None, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Sums over the rows of a node."""
        return total(self._sums(block, ctx.schema) for block in shard.blocks()), None

    def _sums(self, block: Block, schema: Schema) -> Update:
        require_weights(block.w, self.estimator)
        update = sums(with_nan(block.X, schema, self.estimator), None, schema.center, squares=False)
        return Update(values={**update.values, "rows": np.array([update.weight])}, weight=update.weight)

    def answer(self, model: State, update: Update) -> State:
        """The means."""
        moments = ColumnMoments.of(update, model.schema.center)
        missing = update.values["rows"] - moments.n
        result = imputer(self.estimator, model.schema, moments.mean, missing, moments.n == 0)
        return replace(model, result=result)


@final
@dataclass(frozen=True, slots=True)
class ModeImputer(Imputer):
    """SimpleImputer(strategy="most_frequent"), of text and numbers: values united, then counted."""

    threads: ClassVar[bool] = False
    large_integers: ClassVar[bool] = True

    def work(
        self, agreed: Agreed | None, local: Tally | None, shard: Shard, ctx: Ctx
    ) -> tuple[Update, Tally | None]:
        """The values of a node's rows, then counts of the agreed ones."""
        local = local or tally_values(shard, ctx.schema, self.estimator)
        if local is None:
            return Update(), None
        return local.distinct(ctx.schema) if agreed is None else local.count(agreed), local

    def answer(self, model: State, update: Update) -> State:
        """The most frequent value of each column, the least of several."""
        if model.shared is None:
            return replace(model, shared=distinct_values(update, model.schema))
        counts = counts_of(update, model.shared)
        empty = np.array([not count.any() for count in counts])
        modes = [
            np.nan if nothing else values[int(count.argmax())]
            for values, count, nothing in zip(model.shared, counts, empty, strict=True)
        ]
        result = imputer(self.estimator, model.schema, modes, update.values["missing"], empty)
        return replace(model, result=result)


@final
@dataclass(frozen=True, slots=True)
class ConstantImputer(Imputer):
    """SimpleImputer(strategy="constant"): counts of missing values only."""

    threads: ClassVar[bool] = False
    large_integers: ClassVar[bool] = True

    def work(self, question: None, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Counts over the rows of a node."""
        found = tally_values(shard, ctx.schema, self.estimator)
        if found is None:
            return Update(), None
        return Update(values=found.row_counts(), weight=float(found.rows)), None

    def answer(self, model: State, update: Update) -> State:
        """As scikit-learn."""
        rows, missing = update.values["rows"], update.values["missing"]
        return replace(model, result=imputer(self.estimator, model.schema, None, missing, missing == rows))


@final
@dataclass(frozen=True, slots=True)
class MedianImputer(OrderStatistics):
    """SimpleImputer(strategy="median"): the median of all values, found by counting."""

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Count all values first."""
        start = _start(self.estimator, schema)
        return replace(start, shared=Selection.start(schema.features, schema.rows))

    def read(self, block: Block, schema: Schema, scale: float | None) -> tuple[Any, None]:
        """Rows with NaN where a value is missing."""
        require_weights(block.w, self.estimator)
        return with_nan(block.X, schema, self.estimator), None

    def ranks(self, schema: Schema, totals: Totals, column: int) -> np.ndarray:
        """Those of the middle."""
        return middle(int(totals.counts[column]))

    def result(self, schema: Schema, selection: Selection) -> SimpleImputer:
        """The medians."""
        totals = selection.known_totals
        medians = [median(selection, j, int(n), schema.dtype) for j, n in enumerate(totals.counts)]
        missing = totals.rows - totals.counts
        return imputer(self.estimator, schema, np.array(medians), missing, totals.counts == 0)


def _start(estimator: SimpleImputer, schema: Schema) -> State:
    """The first state; refuses what scikit-learn refuses."""
    if estimator.strategy in ("mean", "median"):
        require_numbers(schema, estimator, 'Take SimpleImputer(strategy="most_frequent") for it.')
    elif estimator.strategy == "constant" and schema.sparse and not estimator.keep_empty_features:
        # scikit-learn treats a sparse column as empty if it stores only missing values.
        raise DataError(
            'SimpleImputer(strategy="constant") would drop sparse columns of which only zeros are known',
            cure="Take keep_empty_features=True.",
        )
    nothing = np.zeros(schema.features, dtype=bool)
    imputer(estimator, schema, None, nothing, nothing)
    return State(schema=schema)


def with_nan(X: Any, schema: Schema, estimator: SimpleImputer) -> Any:
    """Rows of numbers with NaN in place of the estimator's `missing_values`.

    Raises:
        DataError: some values are NaN where that is not the estimator's marker, or infinite.
    """
    require_finite(X, schema, estimator, missing=True)
    marker = estimator.missing_values
    if is_missing(marker):
        return X
    values = X.data if schema.sparse else X
    if np.isnan(values).any():
        lost = np.isnan(X.toarray() if schema.sparse else X).any(axis=0)
        _refuse_missing(lost, schema, marker)
    values = np.where(values == marker, np.nan, values)
    return csr_array((values, X.indices, X.indptr), shape=X.shape) if schema.sparse else values


def tally_values(shard: Shard, schema: Schema, estimator: SimpleImputer) -> Tally | None:
    """Counts of a node's values, where the estimator's `missing_values` are missing.

    Raises:
        DataError: as `with_nan`.
    """
    marker = estimator.missing_values
    found = tally(shard, schema, estimator)
    if found is None or is_missing(marker):
        return found
    if found.missing.any():
        _refuse_missing(found.missing > 0, schema, marker)
    return replace(found, missing=np.array([counter.pop(marker, 0) for counter in found.counts]))


def _refuse_missing(lost: np.ndarray, schema: Schema, marker: Any) -> None:
    raise DataError(
        f"values are missing besides those that missing_values={marker!r} marks",
        column=schema.column(int(lost.argmax())),
        cure=f"Take missing_values=np.nan, or write {marker!r} wherever a value is missing.",
    )


def imputer(
    estimator: SimpleImputer, schema: Schema, statistics: Any, missing: np.ndarray, empty: np.ndarray
) -> SimpleImputer:
    """The imputer, fitted by scikit-learn to two rows with missing values where the pooled rows have some.

    `statistics`, (features,), are what to impute, None if that does not depend on rows; `missing` counts the
    missing values, and `empty` is where all are.
    """
    if not estimator.keep_empty_features:
        warn_empty(empty, schema, estimator, "drops it; keep_empty_features=True would keep it")
    marker, dtype = estimator.missing_values, object if "text" in schema.kinds else schema.dtype
    number, text = (2.0 if marker == 1 else 1.0), ("b" if marker == "a" else "a")
    table = np.empty((2, schema.features), dtype=dtype)
    table[:] = [text if kind == "text" else number for kind in schema.kinds]
    if missing.any():
        table[1, missing > 0] = marker
        table[0, empty] = marker
    made = fit_table(estimator, csr_array(table) if schema.sparse else table, schema)
    if statistics is not None:
        for column in np.flatnonzero(~empty):
            made.statistics_[column] = statistics[column]
    return made


def simple_imputer(estimator: SimpleImputer) -> Learner:
    """The learner for a strategy.

    Raises:
        NotDistributable: a function as the strategy, or pandas.NA as the marker.
    """
    if type(estimator.missing_values).__name__ == "NAType":
        refuse(
            estimator, "missing_values", "nodes read pandas.NA as NaN or None", "Take missing_values=np.nan."
        )
    if estimator.strategy not in STRATEGIES:
        reason = "a function of all the values of a column cannot be merged"
        refuse(estimator, "strategy", reason, f"Take one of: {', '.join(STRATEGIES)}.")
    return STRATEGIES[estimator.strategy](estimator)


STRATEGIES: Mapping[str, Callable[[Any], Learner]] = {
    "mean": MeanImputer,
    "median": MedianImputer,
    "most_frequent": ModeImputer,
    "constant": ConstantImputer,
}
FITS: Mapping[type, Callable[[Any], Learner]] = {SimpleImputer: simple_imputer}
