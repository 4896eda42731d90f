"""Columns of tables as the features and targets of samples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from talkoot.core.errors import DataError
from talkoot.data.columns import EMPTY, FLOAT32, NUMBER, TEXT, kind_of, target_values
from talkoot.data.samples_base import plain
from talkoot.data.tables import filled

Types = Mapping[str, pa.DataType]


def check(types: Types, features: Sequence[str], target: str | None) -> None:
    """Refuse columns that cannot be trained on.

    Args:
        types: the columns' types by name.
        features: the feature columns: numbers, or a single column of lists.
        target: the target column, if there is one.

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
    """What a column holds: the innermost type of lists and tensors, else its own.

    >>> str(element(pa.list_(pa.list_(pa.int8(), 2), 3))), str(element(pa.int8()))
    ('int8', 'int8')
    """
    if isinstance(kind, pa.FixedShapeTensorType):
        return element(kind.storage_type)
    listed = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return element(kind.value_type) if listed else kind


def decoded(table: Any, features: Sequence[str], target: str | None) -> tuple[np.ndarray, np.ndarray | None]:
    """Columns of a table as X, (rows, features) float32 or what the lists of a column hold, and y.

    Args:
        table: pyarrow table.
        features: the feature columns, as `check` lets them pass.
        target: the target column.

    Raises:
        DataError: lists of several lengths, or missing values where there is no NaN.
    """
    first = _chunk(table.column(features[0]))
    if element(first.type) != first.type:
        X = nested(first, features[0])
        X = X.astype(plain(X.dtype), copy=False)
    else:
        columns = [_chunk(table.column(name)) for name in features]
        X = filled(columns, table.num_rows, FLOAT32)
    return X, None if target is None else _target(_chunk(table.column(target)), target)


def _chunk(column: Any) -> Any:
    """A column without its chunks where it is in one, which numpy then sees without a copy."""
    return column.chunk(0) if column.num_chunks == 1 else column


def _target(column: Any, name: str) -> np.ndarray:
    if element(column.type) != column.type:
        y = nested(column, name)
    else:
        _complete(column, name)
        y = target_values(column)
    return y.astype(plain(y.dtype, target=True), copy=False)


def nested(column: Any, name: str) -> np.ndarray:
    """A column of lists of one length, or of tensors of one shape, as an array (rows, ...).

    Raises:
        DataError: lists of several lengths, or missing ones.
    """
    import pyarrow.compute as pc  # a tenth of a second that most rows do without

    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind = column.type
    if isinstance(column, pa.ChunkedArray) or element(kind) == kind:  # without rows it stays chunked
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
            cure="Fill them in, or leave those rows out.",
        )
