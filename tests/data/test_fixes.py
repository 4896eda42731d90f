"""Fixes that organisations agree on: data, applied in order, refused where they cannot be right."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pytest

import talkoot as tk
from talkoot.core.errors import DataError
from talkoot.data.fixes import Fix, fixed, fixes_at
from talkoot.data.shards import shards

ROWS = {"chol": ["1", "?", "2.5", None], "sex": ["M", "F", "male", "M"], "bp": [1, -9, 3, 4]}


def after(*fixes: Fix, **rows: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = fixed(shards({"oslo": pa.table(rows or ROWS)})["oslo"], fixes).to_pydict()
    return found


def test_missing_values_units_names_and_categories() -> None:
    found = after(
        tk.fix("chol", missing=["?"], times=38.5, rename="cholesterol"),
        tk.fix("sex", values={"M": "male", "F": "female"}),
        tk.fix("bp", missing=[-9], plus=1),
    )
    assert found == {
        "cholesterol": [38.5, None, 96.25, None],
        "sex": ["male", "female", "male", "male"],
        "bp": [2.0, None, 4.0, 5.0],
    }


def test_numbers_become_texts_and_texts_numbers_as_a_whole() -> None:
    assert after(tk.fix("a", values={1: "yes", 0: "no"}), a=[1.0, 0.0, None])["a"] == ["yes", "no", None]
    assert after(tk.fix("a", values={"yes": "1", "no": "0"}), a=["yes", "no", "yes"])["a"] == [1.0, 0.0, 1.0]
    with pytest.raises(DataError, match="leaves numbers and texts side by side"):
        after(tk.fix("a", values={1: "yes"}), a=[1.0, 0.0])
    with pytest.raises(DataError, match="multiplies texts"):
        after(tk.fix("sex", times=2))


def test_columns_that_are_not_there_or_twice_are_refused() -> None:
    with pytest.raises(DataError, match=r"'Chol'.*Did you mean 'chol'"):
        after(tk.fix("Chol", missing=[0]))
    with pytest.raises(DataError, match="renamed 'sex', which is there already"):
        after(tk.fix("chol", rename="sex"))


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "changes nothing"),
        ({"times": 0}, "convert nothing"),
        ({"times": np.inf}, "convert nothing"),
        ({"missing": range(200)}, "at most 100 values"),
        ({"missing": [None]}, "no number and no text"),
        ({"rename": "a\nb"}, "texts are printable"),
        ({"values": {"\x1b[2J": "a"}}, "texts are printable"),
    ],
)
def test_fixes_that_cannot_be_read_or_do_nothing_are_refused(given: dict[str, Any], why: str) -> None:
    with pytest.raises(DataError, match=why):
        tk.fix("a", **given)


def test_fixes_are_data_and_each_site_has_its_own() -> None:
    fixes = [tk.fix("a", at="oslo", missing=[0, "?"], values={"M": "male"}, times=2.5), tk.fix("b", plus=1)]
    data = msgspec.msgpack.encode(fixes, order="sorted")
    assert msgspec.msgpack.decode(data, type=list[Fix]) == fixes
    assert fixes_at("oslo", fixes) == tuple(fixes)
    assert fixes_at("lund", fixes) == (fixes[1],)
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode([{"column": "a"}]), type=list[Fix])


def test_classes_are_declared_alike_and_once() -> None:
    assert tk.dataset("a", classes=np.array([2, 0])).classes == (0, 2)
    assert tk.dataset("a", classes=["no", "yes"]).classes == ("no", "yes")
    for bad in ("ab", [0], [0, 0], [0.5, 1], ["a", 1], [np.nan, 1], [None, 1]):
        with pytest.raises(DataError, match="are no classes"):
            tk.dataset("a", classes=bad)
    with pytest.raises(DataError, match=r"what tk.fix\(\) makes"):
        tk.dataset("a", fixes=["age"])  # type: ignore[list-item]
