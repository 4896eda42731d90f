"""Columns of categories: nodes unite their values, and read each value as its place among them.

As in scikit-learn, columns of categories come first in the rows that trees are learned from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Mapped, Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.sums.tally import distinct_values, tally

CURE = "Put OneHotEncoder(max_categories=...) in front of it in a ColumnTransformer, or leave it out."


@final
@dataclass(frozen=True, slots=True)
class Categories:
    """The question which values some columns have."""

    columns: tuple[int, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Coding:
    """How nodes read their rows.

    Args:
        columns: of categories, ascending.
        values: for each of them the values of all nodes, ascending.
        missing: for each of them, whether some value is missing.
    """

    columns: tuple[int, ...] = ()
    values: tuple[tuple[Any, ...], ...] = ()
    missing: tuple[bool, ...] = ()

    def order(self, features: int) -> list[int]:
        """The columns in the order that trees are learned in."""
        return [*self.columns, *(j for j in range(features) if j not in self.columns)]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Coded:
    """A question about rows, and how they are read."""

    coding: Coding
    question: Any


@final
@dataclass(frozen=True, slots=True, eq=False)
class Coder:
    """Reads a block: codes of categories, then numbers."""

    coding: Coding
    schema: Schema

    def __call__(self, block: Block) -> Block:
        """The block as an array of floats."""
        columns = _columns(block, self.schema)
        codes = [
            codes_of(columns[j], values, self.schema.column(j))
            for j, values in zip(self.coding.columns, self.coding.values, strict=True)
        ]
        numbers = [columns[j] for j in self.coding.order(len(columns))[len(codes) :]]
        X = np.empty((len(block), len(columns)))
        for j, column in enumerate([*codes, *numbers]):
            X[:, j] = column
        return replace(block, X=X)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Chosen:
    """Reads some columns of a block."""

    columns: tuple[int, ...]
    schema: Schema  # of all columns
    chosen: Schema  # of these

    def __call__(self, block: Block) -> Block:
        """The block of these columns."""
        columns = _columns(block, self.schema)
        found = [columns[j] for j in self.columns]
        X: Any = dict(zip(self.chosen.labels, found, strict=True))
        return replace(block, X=X if self.chosen.mixed else np.column_stack(found))


def _columns(block: Block, schema: Schema) -> Sequence[np.ndarray]:
    if isinstance(block.X, Mapping):
        return [block.X[name] for name in schema.labels]
    return list(block.X.T)


def codes_of(column: np.ndarray, values: Sequence[Any], name: str) -> np.ndarray:
    """(rows,) the place of each value among `values`; NaN where it is missing.

    Raises:
        DataError: a value is not among them.

    >>> codes_of(np.array(["b", None, "a"], dtype=object), ("a", "b"), "site").tolist()
    [1.0, nan, 0.0]
    """
    if column.dtype == object:
        place = {value: float(code) for code, value in enumerate(values)}
        codes = np.array([place.get(value, np.nan) for value in column.tolist()])
        missing = np.array([value is None for value in column.tolist()], dtype=bool)
    else:
        known, missing = np.array(values, dtype=column.dtype), np.isnan(column)
        at = np.searchsorted(known, column)
        found = (at < len(known)) & ~missing
        found[found] = known[at[found]] == column[found]
        codes = np.where(found, at.astype(np.float64), np.nan)
    if (np.isnan(codes) & ~missing).any():
        raise DataError(
            "the rows changed while they were read: a category was not there before",
            column=name,
            cure="Fit again when nothing writes to the data any more.",
        )
    return codes


def chosen_schema(schema: Schema, columns: Sequence[int]) -> Schema:
    """The schema of some columns."""
    at = list(columns)
    return replace(
        schema,
        names=None if schema.names is None else tuple(schema.names[j] for j in at),
        kinds=tuple(schema.kinds[j] for j in at),
        dtypes=tuple(schema.dtypes[j] for j in at) if schema.dtypes else (),
        center=schema.center[at],
    )


def found_categories(question: Categories, shard: Shard, ctx: Ctx, estimator: Any) -> Update:
    """The values of a node's columns of categories.

    Raises:
        DataError: a column has too many.
    """
    schema = chosen_schema(ctx.schema, question.columns)
    found = tally(Mapped(shard, Chosen(question.columns, ctx.schema, schema)), schema, estimator)
    if found is None:
        return Update()
    for j, counts in enumerate(found.counts):
        require_few(len(counts), schema.column(j), estimator)
    return found.distinct(schema)


def agreed_coding(columns: tuple[int, ...], update: Update, schema: Schema, estimator: Any) -> Coding:
    """How rows are read, from the values of all nodes.

    Raises:
        DataError: a column has too many.
    """
    chosen = chosen_schema(schema, columns)
    values = distinct_values(update, chosen)
    for j, each in enumerate(values):
        require_few(len(each), chosen.column(j), estimator)
    return Coding(columns, tuple(map(tuple, values)), tuple((update.values["missing"] > 0).tolist()))


def require_few(count: int, column: str, estimator: Any) -> None:
    """Refuse more categories than there are bins.

    Raises:
        DataError: there are more.
    """
    if count > estimator.max_bins:
        cause = f"it has at least {count} categories, and {type(estimator).__name__} takes max_bins="
        raise DataError(f"{cause}{estimator.max_bins}, which may be 255 at most", column=column, cure=CURE)


def coded(shard: Shard, ctx: Ctx, coding: Coding) -> tuple[Shard, Ctx]:
    """A node's rows as trees are learned from them, and with their schema."""
    schema, order = ctx.schema, coding.order(ctx.schema.features)
    read = replace(
        chosen_schema(schema, order),
        names=tuple(schema.labels[j] for j in order),
        kinds=("number",) * len(order),
        dtype=np.dtype(np.float64),
    )
    return Mapped(shard, Coder(coding, schema)), replace(ctx, schema=read)
