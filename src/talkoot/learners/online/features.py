"""Rows as online models read them: numbers, and hashes of categories."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from talkoot.core.errors import DataError

EXACT = 2**53  # whole numbers up to here are floats without a loss
TYPE_CURE = "Name the columns to learn from, or convert it to a number or a text."


@final
@dataclass(frozen=True, slots=True)
class Layout:
    """Which columns a model learns from, and what it predicts.

    >>> layout = Layout.of(pa.schema([("age", pa.int64()), ("city", pa.string()), ("paid", pa.bool_())]),
    ...                    without=["paid"], classes=2)
    >>> layout.numbers, layout.categories
    (('age',), ('city',))
    """

    numbers: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    classes: int = 0  # 0: a number is predicted, or clusters

    @classmethod
    def of(cls, schema: pa.Schema, *, without: Collection[str] = (), classes: int = 0) -> Layout:
        """Numbers and booleans as numbers, texts as categories; `without` the label, ids and the like.

        Raises:
            DataError: a column of another type, or of a name that stands there twice.
        """
        numbers: list[str] = []
        categories: list[str] = []
        for field in schema:
            if field.name in without:
                continue
            if field.name in numbers + categories:
                raise DataError("two columns have this name", column=field.name, cure="Rename one.")
            if _is_number(field.type):
                numbers.append(field.name)
            elif _is_category(field.type):
                categories.append(field.name)
            else:
                raise DataError(
                    f"a column of type {field.type} is neither a number nor a category",
                    column=field.name,
                    cure=TYPE_CURE,
                )
        return cls(tuple(numbers), tuple(categories), classes)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Rows of a batch: numbers, nan where missing, and hashes of categories, 0 where missing.

    >>> rows = Features(np.array([[1.0, np.nan], [2.0, 5.0]]), np.empty((2, 0), np.uint64))
    >>> len(rows), rows[1:].numbers
    (2, array([[2., 5.]]))
    """

    numbers: NDArray[np.float64]  # (rows, numbers), C-contiguous
    categories: NDArray[np.uint64]  # (rows, categories), C-contiguous; a hash of (column, text)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, rows: slice | NDArray[Any]) -> Features:
        return replace(self, numbers=self.numbers[rows], categories=self.categories[rows])

    def infinite(self) -> NDArray[np.intp]:
        """The rows that hold an infinite number; models read it as missing."""
        return np.flatnonzero(np.isinf(self.numbers).any(axis=1))


@final
class Encoder:
    """Makes `Features` of record batches whose columns have the names of a layout, in any order.

    The hash of a category depends on the names of the column and on the text alone, so that nodes agree.

    >>> batch = pa.record_batch({"city": ["Oslo", None], "age": [3, None]})
    >>> rows = Encoder(Layout(("age",), ("city",))).encode(batch)
    >>> rows.numbers.tolist(), rows.categories[1].tolist()
    ([[3.0], [nan]], [0])
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self._starts = [_hash([name])[0] for name in layout.categories]

    def encode(self, batch: pa.RecordBatch) -> Features:
        """The features of a batch; columns that the layout does not name are not read.

        Raises:
            DataError: a column is missing, stands there twice or has a type that cannot be read.
        """
        numbers = np.empty((batch.num_rows, len(self.layout.numbers)))
        for j, name in enumerate(self.layout.numbers):
            numbers[:, j] = _numbers(_column(batch, name), name)
        categories = np.empty((batch.num_rows, len(self.layout.categories)), np.uint64)
        for j, (name, start) in enumerate(zip(self.layout.categories, self._starts, strict=True)):
            categories[:, j] = _categories(_column(batch, name), name, start)
        return Features(numbers, categories)


def _is_number(kind: pa.DataType) -> bool:
    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
    return any(test(kind) for test in tests)


def _is_category(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        value = kind.value_type
        return _is_text(value) or pa.types.is_integer(value) or pa.types.is_boolean(value)
    return _is_text(kind)


def inexact(column: pa.Array) -> NDArray[np.bool_]:
    """The rows of a column that hold whole numbers of which a float drops digits.

    >>> inexact(pa.array([7, 2**53 + 1, None, 2**60])).tolist()
    [False, True, False, False]
    """
    found = np.zeros(len(column), np.bool_)
    if pa.types.is_integer(column.type) and column.type.bit_width == 64 and column.null_count < len(column):
        values: NDArray[Any] = pc.fill_null(column, 0).to_numpy(zero_copy_only=False)
        beyond = values > EXACT
        if values.dtype.kind == "i":
            beyond |= values < -EXACT
        found[beyond] = [int(float(value)) != value for value in values[beyond].tolist()]
    return found


def require_exact(column: pa.Array, name: str) -> None:
    """Refuse a column of numbers that are ids: two of them could be read as one.

    Raises:
        DataError: it holds whole numbers beyond 2**53.
    """
    beyond = inexact(column)
    if beyond.any():
        raise DataError(
            f"it holds whole numbers beyond 2**53, such as {column[int(beyond.argmax())].as_py()}, of which "
            "a float drops digits",
            column=name,
            cure="Write ids as text, so that each is a category of its own, or leave the column out.",
        )


def _is_text(kind: pa.DataType) -> bool:
    tests = (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view)
    return any(test(kind) for test in tests)


def _column(batch: pa.RecordBatch, name: str) -> pa.Array:
    found = batch.schema.get_all_field_indices(name)
    if len(found) != 1:
        there = ", ".join(batch.schema.names)
        cause = "the rows have no such column" if not found else f"{len(found)} columns have this name"
        raise DataError(f"{cause}; they have {there:.300}", column=name)
    return batch.column(found[0])


def _numbers(column: pa.Array, name: str) -> NDArray[Any]:
    """Values of a column as numbers, nan where missing."""
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if not _is_number(kind):
        raise DataError(f"a number was expected, and the rows hold {kind}", column=name)
    require_exact(column, name)
    if pa.types.is_boolean(kind) or pa.types.is_decimal(kind):
        column = pc.cast(column, pa.float64())
    values: NDArray[Any] = column.to_numpy(zero_copy_only=False)
    return values


def _categories(column: pa.Array, name: str, start: np.uint64) -> NDArray[np.uint64]:
    """Hashes of a column's texts, 0 where missing; of whole numbers and booleans as they are written."""
    kind = column.type
    if pa.types.is_null(kind):
        return np.zeros(len(column), np.uint64)
    if not pa.types.is_dictionary(kind) and not _is_text(kind):
        column = column.dictionary_encode()
    if not pa.types.is_dictionary(column.type):
        return _hash_column(column, start)
    values = column.dictionary
    if not _is_text(values.type):
        if not (pa.types.is_integer(values.type) or pa.types.is_boolean(values.type)):
            raise DataError(f"a category was expected, and the rows hold {kind}", column=name)
        values = pc.cast(values, pa.string())
    codes = column.indices
    known = np.append(_hash_column(values, start), np.uint64(0))
    at: NDArray[Any] = pc.fill_null(codes.cast(pa.int64()), len(values)).to_numpy()
    hashes: NDArray[np.uint64] = known[at]
    return hashes


def _hash_column(column: pa.Array, start: np.uint64) -> NDArray[np.uint64]:
    """Hashes of texts, 0 where missing."""
    from talkoot.kernels.hashing import hash_texts

    column = column.cast(pa.large_string())
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets, np.int64)[column.offset : column.offset + len(column) + 1]
    texts = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    hashes: NDArray[np.uint64] = hash_texts(start, ends, texts)
    if column.null_count:
        hashes[column.is_null().to_numpy(zero_copy_only=False)] = 0
    return hashes


def _hash(names: list[str]) -> NDArray[np.uint64]:
    """The hash that each column's texts begin with."""
    return _hash_column(pa.array(names, pa.string()), np.uint64(0xCBF29CE484222325))
