"""Columns of tables as the features and targets of samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from talkoot.core.errors import DataError
from talkoot.data.samples.base import readable
from talkoot.data.tables.columns import (
    EMPTY,
    FLOAT32,
    FLOAT64,
    NUMBER,
    TEXT,
    kind_of,
    origin_of,
    target_values,
)
from talkoot.data.tables.tables import row_major_matrix

Types = Mapping[str, pa.DataType]
EXACT = 2**24  # float32 represents every whole number up to here


def check(types: Types, features: Sequence[str], target: str | None) -> None:
    """Refuse columns that cannot be trained on: features are numbers, or a single column of lists.

    Raises:
        DataError: with the column and what to do about it.
    """
    if not features:
        raise DataError("there are no feature columns besides the target", cure="Name some with columns=.")
    for name in features:
        kind = kind_of(element(types[name]))
        if kind not in (NUMBER, EMPTY):
            cure = "Encode it as numbers, or leave it out with columns=."
            raise DataError(f"it holds {kind}", column=name, cure=cure)
        if element(types[name]) != types[name] and len(features) > 1:
            raise DataError(
                f"it holds lists, and there are {len(features) - 1} feature columns besides",
                column=name,
                cure=f"Take it alone with columns=[{name!r}].",
            )
    if target is not None and (kind := kind_of(element(types[target]))) != NUMBER:
        cure = "Encode the labels as integers." if kind == TEXT else "A target holds numbers or booleans."
        raise DataError(f"the target holds {kind}", column=target, cure=cure)


def element(kind: pa.DataType) -> pa.DataType:
    """The innermost type of a column of lists or tensors; of other columns their own.

    >>> str(element(pa.list_(pa.list_(pa.int8(), 2), 3))), str(element(pa.int8()))
    ('int8', 'int8')
    """
    if isinstance(kind, pa.FixedShapeTensorType):
        return element(kind.storage_type)
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return element(kind.value_type) if listed else kind


def joint(types: Iterable[pa.DataType]) -> np.dtype[Any]:
    """The common dtype of number columns: bool, int64, or floats where one of them holds floats.

    >>> [str(joint(kinds)) for kinds in ([pa.int8(), pa.bool_()], [pa.int8(), pa.float32()], [pa.float64()])]
    ['int64', 'float32', 'float64']
    """
    every = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in types]
    origins = {origin_of(kind) for kind in every}
    if origins <= {"i", "b"}:
        return np.dtype(np.int64 if "i" in origins else bool)
    wide = any(pa.types.is_float64(kind) or pa.types.is_decimal(kind) for kind in every)
    return FLOAT64 if wide else FLOAT32


def to_arrays(
    table: Any, features: Sequence[str], target: str | None, dtype: np.dtype[Any]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Columns of a table as X, (rows, features) or the nested values of one column, and y.

    The features have passed `check`; `dtype`, from `joint`, is that of number columns.

    Raises:
        DataError: lists of several lengths, missing values where there is no NaN, or whole numbers that
            would be equal as floats.
    """
    first = _chunk(table.column(features[0]))
    if element(first.type) != first.type:
        X = _readable_column(features[0], nested(first, features[0]))
    else:
        columns = {name: _chunk(table.column(name)) for name in features}
        for name, column in columns.items():
            _check_exact_column(column, name, dtype)
        X = row_major_matrix([*columns.values()], table.num_rows, dtype)
    return X, None if target is None else _target(_chunk(table.column(target)), target)


def _check_exact_column(column: Any, name: str, dtype: np.dtype[Any]) -> None:
    """Refuse whole numbers that would be rounded, and missing values where there is no NaN."""
    if origin_of(column.type) not in ("i", "b"):
        return
    if dtype.kind == "f":
        check_exact(target_values(column.drop_null()), name)
        return
    _complete(column, name)
    if pa.types.is_uint64(column.type):
        _readable_column(name, target_values(column))


def check_exact(values: np.ndarray, name: str) -> None:
    """Refuse whole numbers in a column, (rows,), that float32 does not represent exactly.

    Raises:
        DataError: there are such.
    """
    if values.dtype.kind not in "iu" or not values.size:
        return
    if int(values.min()) >= -EXACT and int(values.max()) <= EXACT:
        return
    floats = values.astype(np.float64)
    lost = (floats.astype(np.float32) != floats) | (np.abs(floats) > 2**53)
    if lost.any():
        raise DataError(
            f"it holds whole numbers such as {values[lost][0]}; together with columns of other numbers it "
            "becomes float32, which rounds them",
            column=name,
            cure=f"Take ids alone, with columns=[{name!r}]; scale amounts, for example to thousands; or make "
            "it a column of floats if rounding does no harm.",
        )


def _chunk(column: Any) -> Any:
    """A column of one chunk as that chunk, which numpy reads without a copy."""
    return column.chunk(0) if column.num_chunks == 1 else column


def _target(column: Any, name: str) -> np.ndarray:
    if element(column.type) != column.type:
        y = nested(column, name)
    else:
        _complete(column, name)
        y = target_values(column)
    return _readable_column(name, y, target=True)


def _readable_column(name: str, values: np.ndarray, *, target: bool = False) -> np.ndarray:
    """As `readable`; errors name the column."""
    try:
        return readable(values, target=target)
    except DataError as error:
        raise DataError(error.cause, column=name, cure=error.cure) from None


def nested(column: Any, name: str) -> np.ndarray:
    """A column of lists of one length, or of tensors of one shape, as an array (rows, ...).

    Raises:
        DataError: lists of several lengths, or missing ones.
    """
    import pyarrow.compute as pc  # a tenth of a second that most rows do without

    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = column.type
    if (
        isinstance(column, pa.ChunkedArray) or element(kind) == kind
    ):  # combine_chunks leaves a column without rows chunked
        _complete(column, name)
        exact = column.cast(pa.float64()) if pa.types.is_decimal(kind) else column
        return np.asarray(exact.to_numpy(zero_copy_only=False))
    if isinstance(kind, pa.FixedShapeTensorType):
        return nested(column.storage, name).reshape(len(column), *kind.shape)
    lengths = pc.unique(pc.list_value_length(column)).to_pylist()
    if len(lengths) > 1 or None in lengths:
        shown = " and ".join("missing" if n is None else str(n) for n in lengths[:3])
        raise DataError(
            f"it is ragged: it holds lists of several lengths ({shown})",
            column=name,
            cure="Pad or cut them to one length.",
        )
    values = nested(column.flatten(), name)
    return values.reshape(len(column), lengths[0] if lengths else 0, *values.shape[1:])


def _complete(column: Any, name: str) -> None:
    """Refuse missing values of types that have no NaN."""
    if column.null_count and not pa.types.is_floating(column.type):
        raise DataError(
            f"{column.null_count} of its values are missing, and {column.type} has no NaN",
            column=name,
            cure="Fill them in, leave those rows out, or make it a column of floats.",
        )
