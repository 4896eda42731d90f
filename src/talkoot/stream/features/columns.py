"""Columns of a batch as windows read them: times, keys, values."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from talkoot.core.errors import DataError
from talkoot.learners.online.features import Encoder, Layout

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]
NEVER = np.int64(-(2**62))  # before all times; of a row: it has none
FARTHEST = 2.0**61
TIME_CURE = "Convert it to a timestamp, or to seconds since 1970."
KEY_CURE = "Convert the column to text or to whole numbers."


def times_of(batch: pa.RecordBatch, name: str) -> Ints:
    """When rows happened, in microseconds since 1970; `NEVER` where that is missing or is no time.

    Raises:
        DataError: there is no such column, or it holds no times.
    """
    column = found(batch, name)
    kind = column.type
    if pa.types.is_date(kind):
        column, kind = column.cast(pa.timestamp("ms")), pa.timestamp("ms")
    if pa.types.is_null(kind):
        return np.full(len(column), NEVER)
    if pa.types.is_timestamp(kind):
        column = column.cast(pa.int64())
        factor = {"s": 1e6, "ms": 1e3, "us": 1.0, "ns": 1e-3}[kind.unit]
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        factor = 1e6
    else:
        raise DataError(f"times were expected, and the rows hold {kind}", column=name, cure=TIME_CURE)
    missing = column.is_null().to_numpy(zero_copy_only=False)
    values = column.fill_null(0).to_numpy(zero_copy_only=False)
    with np.errstate(invalid="ignore"):
        missing |= ~(np.abs(values.astype(np.float64) * factor) < FARTHEST)
        values = np.where(missing, 0, values)
    if np.issubdtype(values.dtype, np.floating):
        exact = np.rint(values.astype(np.float64) * factor).astype(np.int64)
    elif factor < 1:
        exact = values.astype(np.int64) // 1000
    else:
        exact = values.astype(np.int64) * np.int64(factor)
    return np.where(missing, NEVER, exact)


def keys_of(batch: pa.RecordBatch, by: tuple[str, ...]) -> Hashes:
    """A hash of each row's key, 0 where a part of it is missing; 1 for all rows where there is no key.

    Raises:
        DataError: there is no such column, or it holds neither texts nor whole numbers.
    """
    if not by:
        return np.ones(batch.num_rows, np.uint64)
    parts = [hashes_of(batch, name, is_key=True) for name in by]
    missing = np.any([part == 0 for part in parts], axis=0)
    key = parts[0]
    for part in parts[1:]:
        key = mixed(key, part)
    return np.where(missing, np.uint64(0), key)


def hashes_of(batch: pa.RecordBatch, name: str, *, is_key: bool) -> Hashes:
    """A hash of each value, 0 where it is missing; 3, 3.0 and "3" have the same.

    Raises:
        DataError: there is no such column, or it has values that are no category.
    """
    column = found(batch, name)
    if not pa.types.is_floating(column.type):
        return encoded(column, name)
    values = column.to_numpy(zero_copy_only=False).astype(np.float64)
    whole = (values == np.rint(values)) & (np.abs(values) < 2.0**63)
    other = ~whole & ~np.isnan(values)
    if is_key and other.any():
        raise DataError(
            f"{values[other][0]} is no key: keys are texts or whole numbers", column=name, cure=KEY_CURE
        )
    integers = pa.array(np.where(whole, values, 0.0).astype(np.int64), mask=~whole)
    bits = np.where(other, values, 0.0).view(np.uint64)
    return np.where(other, mixed(bits, np.uint64(1)), encoded(integers, name))


def encoded(column: pa.Array, name: str) -> Hashes:
    """Hashes of texts and whole numbers as models hash them."""
    batch = pa.RecordBatch.from_arrays([column], [name])
    return Encoder(Layout((), (name,))).encode(batch).categories[:, 0]


def mixed(one: Hashes, other: Hashes | np.uint64) -> Hashes:
    """A hash of two hashes, never 0."""
    result: Hashes = one * np.uint64(0x9E3779B97F4A7C15) ^ other
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        result = (result ^ (result >> np.uint64(33))) * np.uint64(factor)
    result ^= result >> np.uint64(33)
    return np.where(result == 0, np.uint64(1), result)


def values_of(batch: pa.RecordBatch, name: str, limit: float) -> NDArray[np.float64]:
    """Numbers of a column, nan where missing.

    Raises:
        DataError: there is no such column, it holds no numbers, or one that is not below `limit`.
    """
    values = Encoder(Layout((name,), ())).encode(batch).numbers[:, 0]
    bad = np.flatnonzero(~(np.abs(values) < limit) & ~np.isnan(values))
    if len(bad):
        raise DataError(
            f"row {bad[0]} of the batch holds {values[bad[0]]}, and windows over this column need finite "
            f"numbers below {limit:.3g}",
            column=name,
            cure="Leave such rows out, or divide the column.",
        )
    return values


def found(batch: pa.RecordBatch, name: str) -> pa.Array:
    """A column, dictionaries of times decoded.

    Raises:
        DataError: it is not there, or twice.
    """
    places = batch.schema.get_all_field_indices(name)
    if len(places) != 1:
        cause = "the rows have no such column" if not places else f"{len(places)} columns have this name"
        raise DataError(f"{cause}; they have {', '.join(batch.schema.names):.300}", column=name)
    column = batch.column(places[0])
    if pa.types.is_dictionary(column.type) and not pa.types.is_string(column.type.value_type):
        return pc.cast(column, column.type.value_type)
    return column
