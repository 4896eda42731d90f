from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from talkoot.core.errors import DataError
from talkoot.data.tables.columns import (
    distinct,
    factorize,
    kind_of,
    number_dtype,
    numbers,
    target_values,
    texts,
    to_arrow,
)
from talkoot.data.tables.columns import matrix as side_by_side

F8 = np.dtype(np.float64)


@pytest.mark.parametrize(
    ("column", "want"),
    [
        (pa.array([1, None, 3], pa.int64()), [1, np.nan, 3]),
        (pa.array([True, None, False]), [1, np.nan, 0]),
        (pa.array([Decimal("1.5"), None]), [1.5, np.nan]),
        (pa.array([1.5, None], pa.float32()), [1.5, np.nan]),
        (pa.array([1.0, 2.0], pa.float16()), [1, 2]),
        (pa.array([7, None, 7], pa.uint64()).dictionary_encode(), [7, np.nan, 7]),
        (pa.array([None, None], pa.null()), [np.nan, np.nan]),
        (pa.chunked_array([pa.array([1]), pa.array([None, 2], pa.int64())]), [1, np.nan, 2]),
    ],
)
def test_every_kind_of_number_becomes_a_float_with_nan(column: Any, want: list[float]) -> None:
    got = numbers(column, F8)
    assert got.dtype == F8
    np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["b", None, "a", "b"]),
        pa.array(["b", None, "a", "b"], pa.large_string()),
        pa.array(["b", None, "a", "b"], pa.string_view()),
        pa.array(["b", None, "a", "b"]).dictionary_encode(),
        pa.chunked_array([pa.array(["b", None]), pa.array(["a", "b"])]),
        pa.array(["x", "b", None, "a", "b"])[1:],
    ],
)
def test_every_kind_of_text_becomes_objects_with_none(column: Any) -> None:
    got = texts(column)
    assert got.dtype == object
    assert got.tolist() == ["b", None, "a", "b"]


def test_text_without_rows_and_without_values() -> None:
    assert texts(pa.chunked_array([], pa.string())).tolist() == []
    assert texts(pa.nulls(2)).tolist() == [None, None]
    codes, levels = factorize(pa.array([None, "a"], pa.string()))
    assert levels[codes].tolist() == [None, "a"]


def test_numbers_side_by_side_are_contiguous_columns() -> None:
    X = side_by_side([pa.array([1, 2]), pa.array([0.5, None])], 2, F8)
    assert X.flags.f_contiguous
    np.testing.assert_array_equal(X, [[1, 0.5], [2, np.nan]])


def test_float32_stays_only_where_all_numbers_are_float32() -> None:
    assert number_dtype([pa.float32(), pa.string(), pa.float32()]) == np.float32
    assert number_dtype([pa.float32(), pa.int8()]) == np.float64
    assert number_dtype([pa.float32(), pa.float64()]) == np.float64
    assert number_dtype([pa.string()]) == np.float64


@pytest.mark.parametrize(
    ("column", "dtype"),
    [
        (pa.array([1, 2]), np.int64),
        (pa.array([1, None], pa.int64()), np.float64),
        (pa.array([True, False]), np.bool_),
        (pa.array([1.5]), np.float64),
        (pa.array(["a", None]), np.object_),
        (pa.array([1, 1]).dictionary_encode(), np.int64),
    ],
)
def test_targets_keep_the_type_that_numpy_would_give_them(column: Any, dtype: type) -> None:
    assert target_values(column).dtype == dtype


def test_kinds_that_cannot_be_used_carry_their_name() -> None:
    assert kind_of(pa.list_(pa.int8())).startswith("list")
    assert kind_of(pa.timestamp("ms")) == "timestamp[ms]"
    with pytest.raises(DataError, match="the target holds date32"):
        target_values(pa.array([0], pa.date32()))


def test_objects_of_several_kinds_are_refused() -> None:
    with pytest.raises(DataError, match="several kinds"):
        to_arrow(np.array([1, "a"], dtype=object))
    assert to_arrow(np.array([1, 2], dtype=">i4")).to_pylist() == [1, 2]


def test_distinct_values_are_sorted_and_keep_their_dtype() -> None:
    assert distinct(np.array(["b", "a", "b"])).tolist() == ["a", "b"]
    assert distinct(np.array(["b", "a", "b"], dtype=object)).dtype == object
    assert distinct(np.array([True, False, True])).dtype == bool
