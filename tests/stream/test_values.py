"""Values of messages: what can be decoded is, and what cannot is named."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkoot.core.errors import DataError, PlanError
from talkoot.stream.sources.values import RowDecoder, Values, batch_of, types_of

COLUMNS = (("a", "float64"), ("i", "int64"), ("b", "string"), ("k", "bool"), ("t", "timestamp"))


def decode(*values: bytes | None, form: str = "json") -> tuple[list[dict[str, Any]], list[tuple[int, str]]]:
    batch, wrong = RowDecoder(Values(form, COLUMNS)).decode(values)
    return batch.to_pylist(), wrong


def test_rows_have_the_columns_whatever_else_a_message_has() -> None:
    value = b'{"a": 1, "zz": {"q": [1]},\n "b": "x", "t": "2020-01-01T10:00:00+02:00", "i": 9007199254740993}'
    rows, wrong = decode(value, b'\n{"k": true}')
    assert wrong == []
    assert (rows[0]["a"], rows[0]["i"], rows[0]["b"], rows[0]["k"]) == (1.0, 9007199254740993, "x", None)
    assert rows[0]["t"].isoformat() == "2020-01-01T08:00:00+00:00"
    assert rows[1] == {"a": None, "i": None, "b": None, "k": True, "t": None}


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        (None, "no value"),
        (b"", "truncated"),
        (b"null", "Expected `object`, got `null`"),
        (b"[1]", "Expected `object`, got `array`"),
        (b'{"a": "1"}', r"Expected `float \| null`, got `str` - at `\$.a`"),
        (b'{"a": 1}{"a": 2}', "malformed"),
        (b'{"a": NaN}', "malformed"),
        (b'{"a": 1e400}', "out of range"),
        (b'{"i": 1.5}', "got `float`"),
        (b'{"i": 9223372036854775808}', "`int` <= 9223372036854775807"),
        (b'{"b": "\xff"}', "utf-8|UTF-8"),
        (b'{"t": "yesterday"}', "Invalid RFC3339"),
        (b"{}", "none of the columns a, i, b, k, t"),
        (b'{"amount": 3}', "none of the columns"),
    ],
)
def test_a_message_that_is_no_row_is_named_and_the_others_are_rows(value: bytes | None, cause: str) -> None:
    rows, [(at, why)] = decode(b'{"a": 1}', value, b'{"a": 2}')
    assert [row["a"] for row in rows] == [1, 2]
    assert at == 1
    with pytest.raises(AssertionError, match=cause):
        raise AssertionError(why)


@given(st.lists(st.binary(max_size=12) | st.sampled_from([b'{"a": 3}', b"null", b'{"b": "x"}', b'{"b": 1}'])))
def test_any_bytes_are_rows_or_named_however_they_are_cut(values: list[bytes]) -> None:
    rows, wrong = decode(*values)
    assert len(rows) + len(wrong) == len(values)
    singly = [decode(value) for value in values]
    assert [row for found, _ in singly for row in found] == rows
    assert [at for at, (found, _) in enumerate(singly) if not found] == [at for at, _ in wrong]


def halves(value: bytes) -> dict[str, float]:
    """A decoder of a user's own."""
    return {"a": float(value) / 2}


def test_a_function_decodes_by_its_name() -> None:
    rows, wrong = decode(b"3", b"x", form=f"{__name__}:halves")
    assert [row["a"] for row in rows] == [1.5]
    assert wrong == [(1, "could not convert string to float: b'x'")]
    with pytest.raises(PlanError, match="'nowhere:f' cannot be imported"):
        Values("nowhere:f").parse()


def test_types_are_found_from_the_first_messages() -> None:
    rows = [
        {
            "n": 1,
            "x": 1.5,
            "id": 2**60,
            "flag": True,
            "text": "2020",
            "at": "2020-01-01T00:00:00Z",
            "no": None,
        },
        {"n": None, "x": 2, "id": 1},
    ]
    found = types_of(Values(), [b"nonsense", None, *(json.dumps(row).encode() for row in rows)])
    assert dict(found) == {
        "n": "float64",
        "x": "float64",
        "id": "int64",
        "flag": "bool",
        "text": "string",
        "at": "timestamp",
        "no": "float64",
    }
    with pytest.raises(DataError, match=r"column 'x': it holds values of the kind float, str"):
        types_of(Values(), [b'{"x": 1}', b'{"x": "a"}'])
    with pytest.raises(DataError, match="no message has any"):
        types_of(Values(), [b"[]", None])


def test_arrow_values_are_batches() -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema([("x", pa.int64())])) as stream:
        stream.write_table(pa.table({"x": [1, 2]}))
        stream.write_table(pa.table({"x": [3]}))
    assert batch_of(sink.getvalue().to_pybytes()).to_pydict() == {"x": [1, 2, 3]}


def test_values_that_cannot_be_are_refused() -> None:
    with pytest.raises(PlanError, match="values='xml' is unknown"):
        Values("xml")
    with pytest.raises(PlanError, match="unknown type 'money'"):
        Values("json", (("a", "money"),))
    with pytest.raises(PlanError, match="types of their own"):
        Values("arrow", COLUMNS)
