"""The columns that a part of a composition reads, resolved by scikit-learn."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn import config_context
from sklearn.compose import ColumnTransformer
from sklearn.preprocessing import FunctionTransformer

from talkoot.core.errors import DataError, NotDistributable
from talkoot.core.shard import Schema
from talkoot.data.tables.dtypes import pandas_dtype

STAND_IN = FunctionTransformer(np.atleast_2d)  # returns the columns that it reads
FRAME_ROWS = 50  # rows of a frame that shows whether a callable depends on values


def select_columns(schema: Schema, columns: Sequence[int]) -> Schema:
    """The schema of some of the columns."""
    names, own = schema.names, [schema.column(i) for i in columns]
    strays = {
        column if names is not None else f"{i}": schema.strays[column]
        for i, column in enumerate(own)
        if column in schema.strays
    }
    return replace(
        schema,
        names=None if names is None else tuple(names[i] for i in columns),
        kinds=tuple(schema.kinds[i] for i in columns),
        dtypes=tuple(schema.dtypes[i] for i in columns) if schema.dtypes else (),
        center=schema.center[list(columns)],
        strays=strays,
    )


def index_row(names: Sequence[str] | None, features: int) -> Any:
    """A table of one row with each column's position: Arrow if columns have names, else an array."""
    row = np.arange(float(features))[np.newaxis]
    return row if names is None else pa.table(list(row.T), names=list(names))


def positions(specs: Sequence[Any], names: Sequence[str] | None, features: int) -> list[tuple[int, ...]]:
    """The positions of columns that a ColumnTransformer's specifications select.

    Args:
        specs: names, positions, slices or masks, as ColumnTransformer takes them; no callables.
        names: the table's column names, if it has any.
        features: number of columns.

    Raises:
        DataError: there is no such column.

    >>> positions(["b", ["c", "a"], slice("a", "b"), [-1]], ["a", "b", "c"], 3)
    [(1,), (2, 0), (0, 1), (2,)]
    """
    listed = [[spec] if np.isscalar(spec) else spec for spec in specs]
    union = ColumnTransformer([(str(i), STAND_IN, spec) for i, spec in enumerate(listed)])
    found = read_by(union, names, features)
    return [found.get(str(i), ()) for i, _ in enumerate(specs)]


def read_by(
    union: ColumnTransformer, names: Sequence[str] | None, features: int
) -> dict[str, tuple[int, ...]]:
    """The positions of the columns that each part reads; `union` is fitted with stand-ins as its parts.

    Raises:
        DataError: there is no such column.
    """
    try:
        with config_context(transform_output="default"):
            row = union.fit_transform(index_row(names, features))
    except (ValueError, IndexError, TypeError) as error:
        raise _no_column(error, [spec for *_, spec in union.transformers], names, features) from error
    where = union.output_indices_ if row.size else {}
    found = {name: tuple(row[0, place].astype(int).tolist()) for name, place in where.items()}
    return {name: columns for name, columns in found.items() if columns}


def _no_column(
    error: Exception, specs: Sequence[Any], names: Sequence[str] | None, features: int
) -> DataError:
    """scikit-learn's error about columns that do not exist, with the closest names."""
    if names is None:
        cure = f"The table has {features} columns without names: say which by position, 0 to {features - 1}."
        return DataError(str(error), cure=cure)
    lists = [spec if isinstance(spec, list | tuple) else [spec] for spec in specs]
    wanted = [name for spec in lists for name in spec if isinstance(name, str) and name not in names]
    close = [match for name in wanted for match in get_close_matches(name, names, n=1)]
    cure = f"Did you mean {close[0]!r}?" if close else f"The columns are {', '.join(names)}."
    return DataError(str(error), column=wanted[0] if wanted else None, cure=cure)


def resolved(spec: Any, schema: Schema) -> Any:
    """A column specification, with a callable such as make_column_selector replaced by what it selects.

    Raises:
        NotDistributable: the callable depends on values.
        DataError: the callable fails.
    """
    if not callable(spec):
        return spec
    if schema.names is None or not schema.dtypes:
        return _picks(spec, np.zeros((1, schema.features)), schema)
    found, *others = (
        _picks(spec, _frame(schema, rows, alike=alike), schema)
        for rows, alike in ((1, False), (FRAME_ROWS, False), (FRAME_ROWS, True))
    )
    if odd := {i for other in others for i in {*found} ^ {*other}}:
        raise NotDistributable(
            f"{_name(spec)} picks columns by their values, and only names and dtypes are agreed on",
            column=schema.column(min(odd)),
            cure="List the columns by name.",
        )
    return [schema.names[i] for i in found]


def _picks(spec: Callable[[Any], Any], table: Any, schema: Schema) -> tuple[int, ...]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about a frame that is not the user's
            chosen = spec(table)
    except Exception as error:
        raise DataError(
            f"{_name(spec)} cannot pick columns from the table: {error}", cure="List the columns by name."
        ) from error
    return positions([chosen], schema.names, schema.features)[0]


def _name(spec: Callable[[Any], Any]) -> str:
    return f"{getattr(spec, '__name__', type(spec).__name__)}(...)"


def _frame(schema: Schema, rows: int, *, alike: bool) -> Any:
    """A pandas frame with the schema's names and dtypes and arbitrary values.

    Rows are equal if they are `alike`; else they differ as far as the dtype allows.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise DataError(
            "a function that picks columns reads a pandas DataFrame, and pandas is not installed",
            cure="Install pandas, or list the columns by name.",
        ) from error
    numbers = [0 if alike else i for i in range(rows)]
    columns = {}
    for name, kind, dtype in zip(schema.names or (), schema.kinds, schema.dtypes, strict=True):
        values: list[Any] = [str(i) for i in numbers] if kind == "text" else list(numbers)
        values = [bool(i) for i in numbers] if dtype == "object[bool]" else values
        columns[name] = pd.Series(values, dtype=pandas_dtype(dtype))
    return pd.DataFrame(columns)
