"""Batches of any kind become the same numbers and hashes."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from talkoot.core.errors import DataError
from talkoot.learners.online.features import Encoder, Layout

TEXTS = ["Oslo", None, "", "Oslo", "Tromsø", "Łódź"]


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.uint32(), pa.large_string()),
    ],
)
def test_a_text_has_one_hash_whatever_holds_it(kind: pa.DataType) -> None:
    encoder = Encoder(Layout((), ("city",)))
    expected = encoder.encode(pa.record_batch({"city": pa.array(TEXTS, pa.string())})).categories
    longer = pa.array(["x", *TEXTS, "y"], pa.string()).cast(kind)
    got = encoder.encode(pa.record_batch({"city": longer.slice(1, 6)})).categories
    np.testing.assert_array_equal(got, expected)
    assert expected[1, 0] == 0
    assert expected[0, 0] == expected[3, 0]
    assert len(set(expected[:, 0].tolist())) == 5


def test_hashes_are_stable_and_differ_by_column() -> None:
    encoder = Encoder(Layout((), ("a", "b")))
    row = encoder.encode(pa.record_batch({"a": ["x"], "b": ["x"]})).categories[0]
    assert [int(value) for value in row] == STABLE


STABLE = [9853102181656986079, 17732432330396921841]


def test_whole_numbers_as_categories_are_hashed_as_written() -> None:
    encoder = Encoder(Layout((), ("code",)))
    numbers = encoder.encode(pa.record_batch({"code": pa.array([7, None, 42], pa.int16())}))
    texts = encoder.encode(pa.record_batch({"code": ["7", None, "42"]}))
    np.testing.assert_array_equal(numbers.categories, texts.categories)


@pytest.mark.parametrize(
    ("values", "kind", "expected"),
    [
        ([1, None], pa.int8(), [1.0, np.nan]),
        ([True, None], pa.bool_(), [1.0, np.nan]),
        ([None, None], pa.null(), [np.nan, np.nan]),
        ([1.5, None], pa.float16(), [1.5, np.nan]),
        ([2**63, 1], pa.uint64(), [2.0**63, 1.0]),
    ],
)
def test_numbers_of_any_type_are_read(values: list[object], kind: pa.DataType, expected: list[float]) -> None:
    array = pa.array(values, kind)
    rows = Encoder(Layout(("x",))).encode(pa.record_batch({"y": ["a", "b"], "x": array}))
    np.testing.assert_array_equal(rows.numbers[:, 0], expected)
    assert rows.numbers.flags.c_contiguous


def test_columns_that_cannot_be_read_are_named() -> None:
    encoder = Encoder(Layout(("x",), ("city",)))
    with pytest.raises(DataError, match="column 'x': the rows have no such column; they have city"):
        encoder.encode(pa.record_batch({"city": ["a"]}))
    with pytest.raises(DataError, match="column 'x': a number was expected, and the rows hold string"):
        encoder.encode(pa.record_batch({"city": ["a"], "x": ["1"]}))
    with pytest.raises(DataError, match="column 'city': a category was expected, and the rows hold double"):
        encoder.encode(pa.record_batch({"city": [1.5], "x": [1]}))
    with pytest.raises(DataError, match="column 'at': a column of type timestamp"):
        Layout.of(pa.schema([("at", pa.timestamp("s"))]))


def test_infinite_numbers_are_found() -> None:
    rows = Encoder(Layout(("x",))).encode(pa.record_batch({"x": [1.0, np.inf, -np.inf, np.nan]}))
    assert rows.infinite().tolist() == [1, 2]


def test_no_rows_are_rows_too() -> None:
    batch = pa.record_batch({"x": pa.array([], pa.float64()), "city": pa.array([], pa.string())})
    rows = Encoder(Layout(("x",), ("city",))).encode(batch)
    assert rows.numbers.shape == (0, 1)
    assert rows.categories.shape == (0, 1)
