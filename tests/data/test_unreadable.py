"""What cannot be read is called by its name, with the line that makes rows of it; the line is tried too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from sklearn.datasets import load_iris
from sklearn.linear_model import Ridge

import talkoot as tk
from talkoot.core.errors import DataError

X = np.arange(12.0).reshape(4, 3)
TABLE = pd.DataFrame(X, columns=["a", "b", "c"])
NAMES = {"numpy": np, "pandas": pd, "polars": pl, "pyarrow": pa}


def refused(data: Any, target: Any = None) -> str:
    with pytest.raises(DataError) as caught:
        tk.shards(data, target)
    return str(caught.value)


@pytest.mark.parametrize(
    ("data", "what", "cure"),
    [
        (pl.DataFrame(X).lazy(), "a lazy frame of polars", "data.collect()"),
        (TABLE.a, "one column", "data.to_frame()"),
        (pl.Series("a", [1.0, 2.0]), "one column", "data.to_frame()"),
        (pa.chunked_array([[1.0, 2.0]]), "one column", 'pyarrow.table({"x": data})'),
        ([TABLE, TABLE], "a list of 2 tables", "pandas.concat(data)"),
        ([pl.DataFrame(X), pl.DataFrame(X)], "a list of 2 tables", "polars.concat(data)"),
        ([pa.table({"a": [1]})] * 3, "a list of 3 tables", "pyarrow.concat_tables(data)"),
        ([X, X], "a list of 2 arrays", "numpy.concatenate(data)"),
        ([{"a": 1}, {"a": 2}], "a list of dicts", "pandas.DataFrame(data)"),
        ([["a", 1], ["b", 2]], "rows hold text", "pandas.DataFrame(data)"),
        ({"a": [1, 2], "b": [3, 4]}, "this one holds columns", "pandas.DataFrame(data)"),
        ({"a": X[:, 0], "b": X[:, 1]}, "this one holds columns", "pandas.DataFrame(data)"),
        ({"X": X, "y": X[:, 0]}, "features and target", "(data['X'], data['y'])"),
        (load_iris(), "a data set of scikit-learn", "(data.data, data.target)"),
        (np.array(["a", "b"], dtype=object), "holds objects", 'pandas.DataFrame({"x": data})'),
        (np.array(["a", "b"]), "holds text", 'pandas.DataFrame({"x": data})'),
        (X + 1j, "complex numbers", "numpy.hstack([data.real, data.imag])"),
        (np.array([[1]], "m8[s]"), "lengths of time", "data / numpy.timedelta64(1, 's')"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_cure_that_is_named_makes_rows(data: Any, what: str, cure: str) -> None:
    said = refused(data)
    assert what in said
    assert cure in said
    made = eval(cure, {**NAMES, "data": data, "X": data})
    assert sum(source.rows or 0 for source in tk.shards(made).values()) > 0


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (None, "there are no data: None was given. Give paths, a pandas, polars or pyarrow table"),
        (3, "3 is one number, not rows"),
        (True, "True is one number"),
        (X[:, 0], "the array has shape (4,), not (rows, features). X.reshape(-1, 1) makes one column"),
        (X[None], "X.reshape(len(X), -1) makes a row of each"),
        (np.array(3.0), "the array has shape (), not (rows, features)"),
        ([], "the list is empty"),
        ([[1, 2], [3]], "these rows have 1 to 2 values"),
        ((row for row in X), "these rows can be read only once. Give numpy.array(list(data))"),
        ([(X, X[:, 0]), (X, X[:, 0])], "a list of 2 tuples"),
        (["it rained", "the sun shone"], 'Give pandas.DataFrame({"text": texts})'.lower()),
        (["It rained all day and " * 400], "If these are texts and not paths"),
        (b"a,b\n1,2\n", "these are bytes"),
        (pd.DataFrame, "DataFrame is a class"),
        (len, "len is a function"),
        (TABLE.groupby("a"), 'a table cut into groups. Give the table itself, with by="..."'),
        (np.array([["2020-01-01"]], "M8[D]"), "holds dates. Turn them into numbers"),
        ({1.5, 2.5}, "data of type set cannot be read. Give paths"),
        ({"here": TABLE, "there": None}, "node 'there': there are no data: None"),
        ({"here": TABLE, "there": {"a": [1]}}, "node 'there': this is a dict in the place of rows"),
        ({"here": 3}, "node 'here': 3 is one number"),
    ],
    ids=range(21),
)
def test_what_it_is_and_what_can_be_given_is_said(data: Any, text: str) -> None:
    assert text.lower() in refused(data).lower()
    if not isinstance(data, dict):
        assert text.lower() in refused(data, "y").lower()  # before the target's name is said to be wrong


def test_lazy_things_on_disk_name_the_files_or_the_table(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pandas(TABLE), tmp_path / "a.parquet")
    data = ds.dataset(tmp_path)
    assert "a dataset of pyarrow. Give data.files, or data.to_table()" in refused(data, "c")
    assert tk.fit(Ridge(), data.files, "c").schema.rows == tk.fit(Ridge(), data.to_table(), "c").schema.rows
    with (tmp_path / "a.parquet").open("rb") as file:
        assert "this is an open file. Give its path" in refused(file)


def test_targets_that_are_no_arrays_are_called_by_their_type() -> None:
    for target in (pl.DataFrame({"a": [1]}).lazy(), {"a": 1}):
        assert f"the target is of type {type(target).__name__}" in refused(TABLE, target)


def test_tensors_are_arrays() -> None:
    torch = pytest.importorskip("torch")
    assert tk.shards(torch.tensor(X))["node0"].rows == 4
    needs = torch.tensor(X, requires_grad=True)
    assert "Give data.detach().cpu().float()" in refused(needs)
    assert tk.shards(needs.detach().cpu().float())["node0"].rows == 4
    pairs = torch.utils.data.TensorDataset(torch.tensor(X))
    assert "a dataset of torch. Give arrays, or learn with a tk.Torch task" in refused(pairs)
    assert "a loader of torch" in refused(torch.utils.data.DataLoader(pairs))


def test_a_masked_array_is_missing_where_it_is_masked() -> None:
    masked = np.ma.masked_array(
        np.arange(6).reshape(3, 2), mask=np.array([[0, 1], [0, 0], [0, 0]], dtype=bool)
    )
    rows = next(iter(tk.shards(masked)["node0"].blocks())).X
    np.testing.assert_array_equal(rows, [[0, np.nan], [2, 3], [4, 5]])
    assert rows.dtype == np.float64


def test_a_structured_array_is_a_table() -> None:
    data = np.array([(1, 2.5, "x"), (2, 3.5, "y")], dtype=[("a", int), ("b", float), ("c", "U4")])
    shards = tk.shards(data, "b")
    assert shards["node0"].layout().names == ("a", "c")
    frame = tk.shards(pd.DataFrame(data), "b")["node0"]
    for one, other in zip(shards["node0"].blocks(), frame.blocks(), strict=True):
        assert all(np.array_equal(one.X[name], other.X[name]) for name in ("a", "c"))
        assert one.y is not None
        assert one.y.tolist() == [2.5, 3.5]
