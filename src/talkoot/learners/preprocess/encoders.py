"""Encoders of categories: nodes unite their values, and count them only if rare ones are grouped."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.learner import Learner
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.data.tables.dtypes import value_dtype
from talkoot.learners.common.columnwise import Columnwise, dry_fit, fit_table
from talkoot.learners.common.state import State
from talkoot.learners.sums.tally import Agreed, Tally, Values, counts_of, distinct_values, is_missing, tally

GROUPING = ("drop", "min_frequency", "max_categories")  # parameters that depend on counts


@final
@dataclass(frozen=True, slots=True)
class Encoder(Columnwise):
    """OneHotEncoder and OrdinalEncoder, of text and numbers.

    One round unites the categories; with `min_frequency` or `max_categories` a second one counts them,
    without reading the rows again. Missing values are the last category: NaN as in pandas, but None in text
    of arrays without column names.

    >>> import numpy as np
    >>> import talkoot as tk
    >>> [c.tolist() for c in tk.fit(OneHotEncoder(), np.array([[3.0], [1.0]]), nodes=2).model.categories_]
    [[1.0, 3.0]]
    """

    threads: ClassVar[bool] = False
    large_integers: ClassVar[bool] = True

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Start with the categories of the user, if any.

        Raises:
            DataError: the rows are sparse, or scikit-learn refuses the categories given.
        """
        given = self.estimator.categories
        ungrouped = {name: None for name in GROUPING if name in self.estimator.get_params()}
        if isinstance(given, str):
            dry_fit(self.estimator, schema, **ungrouped)
            return State(schema=schema)
        if len(given) != schema.features or not all(len(values) for values in given):
            raise DataError(
                f"categories= lists {len(given)} columns and the rows have {schema.features}",
                cure="List the categories of every column, at least one for each.",
            )
        table = _table([[values[0]] for values in given], schema)
        made = fit_table(self.estimator, table, schema, **ungrouped)
        return State(schema=schema, shared=tuple(values.tolist() for values in made.categories_))

    @property
    def counts(self) -> bool:
        """Whether rare categories are grouped."""
        estimator = self.estimator
        return estimator.min_frequency is not None or estimator.max_categories is not None

    def work(
        self, agreed: Agreed | None, local: Tally | None, shard: Shard, ctx: Ctx
    ) -> tuple[Update, Tally | None]:
        """The categories of a node's rows, or counts of the agreed ones."""
        local = local or tally(shard, ctx.schema, self.estimator)
        if local is None:
            return Update(), None
        if agreed is None:
            return local.distinct(ctx.schema), local
        if self.estimator.handle_unknown == "error":
            self._check_known(local, agreed, ctx.schema)
        return local.count(agreed), local

    def _check_known(self, local: Tally, agreed: Agreed, schema: Schema) -> None:
        for j, values in enumerate(agreed):
            known = {value for value in values if not is_missing(value)}
            unknown: list[Any] = sorted(local.counts[j].keys() - known)
            if local.missing[j] and len(known) == len(values):
                unknown.append(_none(schema, j))
            if unknown:
                ignore = "ignore" if isinstance(self.estimator, OneHotEncoder) else "use_encoded_value"
                raise DataError(
                    f"{', '.join(map(repr, unknown[:5]))}{', ...' * (len(unknown) > 5)} "
                    "not among the categories given",
                    column=schema.column(j),
                    cure=f'Add to categories=, or take handle_unknown="{ignore}".',
                )

    def answer(self, model: State, update: Update) -> State:
        """The encoder, or the categories to count."""
        agreed = model.shared
        if agreed is None:
            missing, schema = update.values["missing"], model.schema
            agreed = tuple(
                values + [_none(schema, j)] * bool(missing[j])
                for j, values in enumerate(distinct_values(update, schema))
            )
            if self.counts:
                return replace(model, shared=agreed)
        if self.counts:
            result = self._grouped(agreed, update, model)
        else:
            result = fit_table(self.estimator, _table(agreed, model.schema), model.schema)
        return replace(model, result=_typed(result, model.schema))

    def _grouped(self, agreed: Agreed, update: Update, model: State) -> Any:
        """The encoder fitted to a table in which each category occurs as often as the rank of its count."""
        counts, rarest = counts_of(update, agreed), self.estimator.min_frequency
        distinct = np.unique(np.concatenate(counts))
        instead: dict[str, Any] = {"categories": [list(values) for values in agreed], **self._tolerant()}
        if rarest is not None:
            least = rarest if isinstance(rarest, numbers.Integral) else rarest * update.values["rows"][0]
            instead["min_frequency"] = int((distinct < least).sum()) + 1
        columns = [
            np.repeat(np.array(values, dtype=object), np.searchsorted(distinct, count) + 1).tolist()
            for values, count in zip(agreed, counts, strict=True)
        ]
        unknown = [_unknown(values, model.schema) for values in agreed]
        return fit_table(self.estimator, _table(columns, model.schema, unknown), model.schema, **instead)

    def _tolerant(self) -> dict[str, Any]:
        """Parameters with which a fit ignores unknown values."""
        if self.estimator.handle_unknown != "error":
            return {}
        if isinstance(self.estimator, OneHotEncoder):
            return {"handle_unknown": "ignore"}
        return {"handle_unknown": "use_encoded_value", "unknown_value": -1}


def _none(schema: Schema, column: int) -> float | None:
    """The category of missing values: NaN, but None in text of arrays."""
    return None if schema.kinds[column] == "text" and schema.names is None else np.nan


def _unknown(values: Values, schema: Schema) -> Any:
    """A value that is not among those of a column."""
    known = [value for value in values if not is_missing(value)]
    if known and isinstance(known[0], str):
        return max(known, key=len) + "_"
    if schema.mixed and known and isinstance(known[0], int):  # whole numbers beyond 2**53
        return next(value for value in range(len(known) + 1) if value not in known)
    return np.nextafter(schema.dtype.type(max(known, default=0.0)), np.inf)


def _table(columns: Sequence[Values], schema: Schema, fill: Sequence[Any] | None = None) -> np.ndarray:
    """A table of columns of unequal length, padded with `fill`, or with their own first value."""
    rows = max(map(len, columns), default=0)
    table = np.empty((rows, len(columns)), dtype=object if schema.mixed else schema.dtype)
    for j, values in enumerate(columns):
        table[: len(values), j] = values
        table[len(values) :, j] = values[0] if fill is None else fill[j]
    return table


def _typed(encoder: Any, schema: Schema) -> Any:
    """Categories of numbers in the columns' original dtype, so 1 and not 1.0."""
    if "text" not in schema.kinds or schema.names is not None:
        encoder.categories_ = [
            values if schema.kinds[j] == "text" else _original(values, j, schema)
            for j, values in enumerate(encoder.categories_)
        ]
    return encoder


def _original(values: Any, column: int, schema: Schema) -> np.ndarray:
    if schema.kinds[column] == "whole":
        return np.array(values.tolist(), schema.dtype_of(column))
    values = np.asarray(values, schema.dtype)
    dtype = value_dtype(schema.dtypes[column]) if schema.dtypes else None
    plain = dtype is None or (dtype.kind != "f" and np.isnan(values).any())
    return np.asarray(values if plain else values.astype(dtype))


FITS: Mapping[type, Callable[[Any], Learner]] = {OneHotEncoder: Encoder, OrdinalEncoder: Encoder}
