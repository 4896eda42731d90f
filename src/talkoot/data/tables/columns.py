"""Arrow columns as numpy arrays: numbers as floats with NaN, text as objects with None."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from talkoot.core.errors import DataError

NUMBER, WHOLE, TEXT, EMPTY = "number", "whole", "text", "empty"  # whole: integers too large for floats
USABLE = (NUMBER, WHOLE, TEXT, EMPTY)
MAX_COUNTED_RANGE = 1 << 16  # integers within a range below this are counted, not sorted
FLOAT32, FLOAT64 = np.dtype(np.float32), np.dtype(np.float64)


def kind_of(kind: pa.DataType) -> str:
    """The kind of an Arrow type: "number", "text", "empty" (nulls only), or the name of an unusable type.

    >>> kind_of(pa.int8()), kind_of(pa.dictionary(pa.int32(), pa.string())), kind_of(pa.date32())
    ('number', 'text', 'date32[day]')
    """
    types = pa.types
    if types.is_dictionary(kind):
        return kind_of(kind.value_type)
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind):
        return NUMBER
    if types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind):
        return TEXT
    return EMPTY if types.is_null(kind) else str(kind)


def origin_of(kind: pa.DataType) -> str:
    """Numpy's letter for an Arrow type: "b" booleans, "i" whole numbers, "f" other numbers, "O" the rest.

    >>> "".join(map(origin_of, (pa.bool_(), pa.uint8(), pa.float32(), pa.string())))
    'bifO'
    """
    if pa.types.is_dictionary(kind):
        return origin_of(kind.value_type)
    if kind_of(kind) != NUMBER:
        return "O"
    return "b" if pa.types.is_boolean(kind) else "i" if pa.types.is_integer(kind) else "f"


def joint_kind(kinds: Iterable[str]) -> str:
    """The kind of a column with parts of several kinds; of text and numbers the first.

    >>> joint_kind(["number", "empty", "whole"]), joint_kind(["empty"])
    ('whole', 'empty')
    """
    found = [kind for kind in kinds if kind != EMPTY]
    return WHOLE if WHOLE in found and set(found) <= {NUMBER, WHOLE} else next(iter(found), EMPTY)


def number_dtype(types: Sequence[pa.DataType]) -> np.dtype[Any]:
    """The common dtype of number columns: float32 if all are float32, else float64."""
    numbers = [kind for kind in types if kind_of(kind) == NUMBER]
    return FLOAT32 if numbers and all(pa.types.is_float32(kind) for kind in numbers) else FLOAT64


def numbers(column: Any, dtype: np.dtype[Any], missing: Collection[str] = ()) -> np.ndarray:
    """A column of numbers in `dtype`, float32, float64, int64 or uint64; in floats NaN stands for null.

    So do texts in `missing`, in a column of numbers written as text.
    """
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if missing and kind_of(column.type) == TEXT:
        column = pa.array([None if v is None else v.strip() for v in texts(column, missing)], pa.string())
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    elif not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
        column = column.cast(pa.float64())
    return as_numpy(column).astype(dtype, copy=False)


def as_numpy(column: Any) -> np.ndarray:
    """An Arrow column, in one chunk or several, as an array."""
    chunked = isinstance(column, pa.ChunkedArray)
    return np.asarray(column.to_numpy() if chunked else column.to_numpy(zero_copy_only=False))


def factorize(column: Any) -> tuple[np.ndarray, np.ndarray]:
    """A column as codes and levels: its values are ``levels[codes]``.

    Returns:
        codes (rows,) int32, -1 for nulls, and levels (distinct + 1,), the last of them None.
    """
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if isinstance(column, pa.ChunkedArray):  # combine_chunks leaves a column without rows chunked
        column = pa.array([], pa.string()).dictionary_encode()
    codes = column.indices.cast(pa.int32()).fill_null(-1).to_numpy(zero_copy_only=False)
    levels = np.empty(len(column.dictionary) + 1, dtype=object)
    levels[:-1] = column.dictionary.to_pylist()
    return codes, levels


def texts(column: Any, missing: Collection[str] = ()) -> np.ndarray:
    """A text column as an object array of str; nulls, and texts that stand for missing values, are None."""
    if pa.types.is_null(column.type):
        return np.full(len(column), None, dtype=object)
    codes, levels = factorize(column)
    for text in missing:
        levels[levels == text] = None
    return np.asarray(levels[codes])


def matrix(
    columns: Sequence[Any], rows: int, dtype: np.dtype[Any], missing: Collection[str] = ()
) -> np.ndarray:
    """Number columns as one Fortran-ordered matrix, (rows, columns)."""
    X = np.empty((rows, len(columns)), dtype=dtype, order="F")
    for j, column in enumerate(columns):
        X[:, j] = numbers(column, dtype, missing)
    return X


def target_values(column: Any, missing: Collection[str] = ()) -> np.ndarray:
    """A target column as a numpy array: ints, bools and floats unchanged, text as objects.

    Nulls turn integers and bools into floats with NaN, and text into None; so do texts in `missing`.

    Raises:
        DataError: dates and other types that cannot be a target.
    """
    kind = kind_of(column.type)
    if kind in (TEXT, EMPTY):
        return texts(column, missing)
    if kind != NUMBER:
        raise DataError(f"the target holds {kind}", cure="A target is a column of numbers, booleans or text.")
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    exact = pa.types.is_integer(column.type) or pa.types.is_boolean(column.type)
    if exact and not column.null_count:
        return as_numpy(column)
    return numbers(column, FLOAT64)


def to_arrow(values: np.ndarray) -> Any:
    """A one-dimensional array of numbers, text or objects as an Arrow array; NaN and NA are nulls in objects.

    Raises:
        DataError: the values are of several kinds.
    """
    if values.dtype.kind not in "OUS" and not values.dtype.isnative:
        values = values.astype(values.dtype.newbyteorder("="))
    try:
        return pa.array(values, from_pandas=values.dtype.kind == "O")
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"the values are of several kinds or of an unknown one ({error})",
            cure="Make them all numbers or all text.",
        ) from None


def distinct(values: np.ndarray) -> np.ndarray:
    """The sorted distinct values of a one-dimensional array without missing ones."""
    import pyarrow.compute as pc  # a tenth of a second that most rows do without

    if (
        values.dtype.kind in "iu"
        and len(values)
        and int(values.max()) - int(low := values.min()) < MAX_COUNTED_RANGE
    ):
        found = np.flatnonzero(np.bincount(values.astype(np.int64) - int(low)))
        return np.asarray((found + int(low)).astype(values.dtype))
    if values.dtype.kind in "biuf":
        return np.unique(values)
    return np.array(sorted(pc.unique(to_arrow(values)).to_pylist()), dtype=values.dtype)
