"""Rows that cannot be read are set aside with the reason; what can be read otherwise is read, and noted."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from talkoot.core.errors import DataError
from talkoot.stream.follow.columns import Columns, columns_of
from talkoot.stream.follow.rows import Rows, label_of, readable

FIRST = pa.schema({"a": pa.float64(), "shop": pa.string(), "t": pa.timestamp("us"), "y": pa.int64()})
COLUMNS = columns_of(FIRST, "binary", target="y", time="t", id=None)
WHEN = datetime(2026, 3, 1)


def rows(columns: Columns = COLUMNS, only: Any = None, **changed: Any) -> Rows:
    base: dict[str, Any] = {"a": [1.0, 2.0], "shop": ["x", None], "t": [WHEN, WHEN], "y": [0, 1]}
    given = {name: value for name, value in {**base, **changed}.items() if value is not None}
    return readable(pa.RecordBatch.from_pydict(given), columns, only)


def test_rows_like_the_first_are_read_as_they_are() -> None:
    found = rows()
    assert found.y is not None
    assert found.times is not None
    assert (found.at.tolist(), found.rejected, found.notes) == ([0, 1], {}, {})
    assert [found.labels[code] for code in found.y] == [0, 1]
    assert found.times[0] == WHEN.replace(tzinfo=UTC).timestamp()


def test_a_missing_column_leaves_nothing_to_read() -> None:
    assert rows(a=None).rejected == dict.fromkeys((0, 1), "column 'a' is missing")
    assert rows(shop=None).rejected == dict.fromkeys((0, 1), "column 'shop' is missing")
    assert rows(y=None).rejected == dict.fromkeys((0, 1), "column 'y' is missing")


def test_text_among_numbers() -> None:
    found = rows(a=["3.5", "n/a"])
    assert found.batch.column("a").to_pylist() == [3.5]
    assert found.rejected == {1: "column 'a' holds text that is not a number"}
    assert rows(a=["inf", "nan"]).at.tolist() == [1]


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("a", [[1.0], [2.0]], "column 'a' holds list<item: double>, and numbers before"),
        ("shop", [1.5, 2.5], "column 'shop' holds double, and text before"),
        ("t", [1.5, 2.5], "column 't' holds double, and dates before"),
        ("t", ["yesterday", "soon"], "column 't' holds text that is not a date"),
        ("t", [None, None], "column 't' holds"),
        ("y", ["one", "two"], "column 'y' holds a label that is not of type int"),
    ],
)
def test_another_type(name: str, value: list[Any], reason: str) -> None:
    found = rows(COLUMNS, None, **{name: value})
    assert len(found.at) == 0
    assert all(why.startswith(reason) for why in found.rejected.values())
    assert len(found.rejected) == 2


def test_what_can_be_read_otherwise_is_noted() -> None:
    assert rows(shop=[1, 2]).batch.column("shop").to_pylist() == ["1", "2"]
    assert list(rows(shop=[1, 2]).notes.values()) == [2]
    assert list(rows(more=[1, 2]).notes) == [
        "column 'more' is not among those of the first rows, and is not read"
    ]
    assert list(rows(a=[1.0, np.inf]).notes.values()) == [1]
    assert rows(a=[1, 2], y=[0.0, 1.0]).notes == {}


def test_dates_of_any_kind_are_seconds() -> None:
    seconds = WHEN.replace(tzinfo=UTC).timestamp()
    kinds = [pa.array([WHEN, WHEN], pa.timestamp(unit)) for unit in ("s", "ms", "us", "ns")]
    kinds += [pa.array(["2026-03-01", "2026-03-01T01:00:00+01:00"]), pa.array([WHEN, WHEN], pa.date32())]
    for kind in kinds:
        found = rows(t=kind).times
        assert found is not None
        assert found.tolist() == [seconds, seconds]


def test_targets() -> None:
    found = rows(y=[None, 1])
    assert found.y is not None
    assert found.y.tolist() == [-1, 0]
    assert rows(y=["0", "1"]).labels == (0, 1)
    third = rows(only=(0, 7))
    assert third.rejected == {1: "column 'y' holds a third label, and the model tells 0 and 7 apart"}
    number = columns_of(FIRST, "number", target="a", time=None, id=None)
    assert number.numbers == ("y",)
    plain = readable(
        pa.RecordBatch.from_pydict({"a": [None, 2.0], "shop": ["x", "y"], "y": [1, 2], "t": [WHEN] * 2}),
        number,
    )
    assert plain.y is not None
    assert np.isnan(plain.y).tolist() == [True, False]


def test_labels_have_one_type() -> None:
    assert [label_of(value, "text") for value in ("a", 1)] == ["a", None]
    assert label_of(True, "int") == 1
    assert label_of("x", "float") is None


@pytest.mark.parametrize(
    ("task", "roles", "message"),
    [
        ("binary", {"target": "z"}, "target='z' is no column of the stream"),
        ("binary", {"target": None}, "there is no target"),
        ("number", {"target": "shop"}, "the target holds string, and the model predicts numbers"),
        ("binary", {"target": "y", "time": "shop", "id": "t"}, ""),
        ("binary", {"target": "t"}, "the target holds timestamp"),
    ],
)
def test_roles_that_cannot_be(task: Any, roles: dict[str, Any], message: str) -> None:
    given = {"target": None, "time": None, "id": None, **roles}
    if not message:
        assert columns_of(FIRST, task, **given).clock == "time"
        return
    with pytest.raises(DataError, match=message):
        columns_of(FIRST, task, **given)


def test_columns_of_other_types_are_not_read() -> None:
    found = columns_of(FIRST, "binary", target="y", time=None, id=None)
    assert found.ignored == ("t",)
    with pytest.raises(DataError, match=r"no column to learn from; besides those with a role: t \(timestamp"):
        columns_of(
            pa.schema({"t": pa.timestamp("us"), "y": pa.int64()}), "binary", target="y", time=None, id=None
        )
