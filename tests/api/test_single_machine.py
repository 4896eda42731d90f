"""What one machine reads is read by pandas and pyarrow, so that faults of our own readers show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pytest
from scipy.sparse import csr_array, issparse
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from talkoot.api.verify.single_machine import read
from talkoot.data.tables import columns as columns_module

TABLE = pd.DataFrame({"a": [1.5, 2.0, np.nan], "b": ["x", "y", "x"], "w": [1, 2, 1], "y": [0, 1, 1]})


def written(table: pd.DataFrame, folder: Path, kind: str) -> str:
    path = folder / f"rows.{kind}"
    if kind == "parquet":
        table.to_parquet(path)
    elif kind == "feather":
        pyarrow.feather.write_feather(pa.Table.from_pandas(table), path)
    elif kind == "csv.zst":
        with pa.output_stream(path, compression="zstd") as out:
            out.write(table.to_csv(index=False).encode())
    else:
        table.to_csv(path, index=False, sep="\t" if "tsv" in kind else ",")
    return str(path)


@pytest.mark.parametrize("kind", ["parquet", "feather", "csv", "tsv", "csv.gz", "csv.zst", "csv.xz"])
def test_files_are_read_as_pandas_reads_them(kind: str, tmp_path: Path) -> None:
    pool = read(written(TABLE, tmp_path, kind), "y", weight="w")
    pd.testing.assert_frame_equal(pool.X, TABLE[["a", "b"]])
    assert pool.y is not None
    assert pool.w is not None
    assert pool.y.tolist() == [0, 1, 1]
    assert pool.w.tolist() == [1.0, 2.0, 1.0]


def test_folders_of_a_column_come_with_that_column(tmp_path: Path) -> None:
    TABLE.to_parquet(tmp_path, partition_cols=["b"])
    pool = read(str(tmp_path), "y")
    assert sorted(pool.X.columns) == ["a", "b", "w"]
    assert sorted(map(str, pool.X["b"])) == ["x", "x", "y"]
    assert sorted(read(str(tmp_path), "y", by="b").X.columns) == ["a", "w"]


def test_an_index_that_was_written_is_no_feature(tmp_path: Path) -> None:
    TABLE.to_csv(tmp_path / "rows.csv")
    TABLE.set_axis([7, 8, 9]).to_parquet(tmp_path / "rows.parquet")
    for name in ("rows.csv", "rows.parquet"):
        assert list(read(str(tmp_path / name)).X.columns) == ["a", "b", "w", "y"]


@pytest.mark.parametrize(
    "make", [pa.Table.from_pandas, pl.from_pandas, lambda table: table], ids=["arrow", "polars", "pandas"]
)
def test_tables(make: Any) -> None:
    pool = read(make(TABLE), "y", columns=["b", "a"])
    pd.testing.assert_frame_equal(pool.X, TABLE[["b", "a"]])


def test_arrays_tuples_and_sites_come_one_below_the_other() -> None:
    X, y = np.arange(6.0).reshape(3, 2), np.array([1, 0, 1])
    assert read(X).X.tolist() == X.tolist()
    two = read({"here": (X, y), "there": (X[:1], y[:1])})
    assert two.X.shape == (4, 2)
    assert two.y is not None
    assert two.y.tolist() == [1, 0, 1, 1]
    assert issparse(read({"here": csr_array(X), "there": csr_array(X)}).X)
    assert read({"here": TABLE, "there": TABLE}, "y").X.shape == (6, 3)


def test_a_fault_of_a_reader_is_a_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rows.parquet"
    pd.DataFrame(np.random.default_rng(0).normal(size=(50, 3)), columns=list("aby")).to_parquet(path)
    assert tk.verify(Ridge(), str(path), "y", nodes=(2,), on=tk.Inline()).ok

    sound = columns_module.numbers

    def cut(column: Any, dtype: Any, missing: Any = ()) -> np.ndarray:
        return sound(column, dtype).astype(np.float16).astype(dtype)

    monkeypatch.setattr(columns_module, "numbers", cut)
    path.touch()  # what was decoded before is forgotten with the file's time
    assert not tk.verify(Ridge(), str(path), "y", nodes=(2,), on=tk.Inline()).ok


def test_shards_were_read_by_talkoot_on_both_sides_and_it_says_so() -> None:
    found = tk.verify(StandardScaler(), tk.shards(np.eye(4)), nodes=(2,))
    assert found.ok
    assert "Both sides were read by Talkoot" in str(found)


def test_texts_that_stand_for_missing_values_are_missing_in_tables_too() -> None:
    table = pd.DataFrame({"dose": ["1.5", "?", "3"], "site": ["?", "lima", "oslo"]})
    for given in (table, pl.from_pandas(table)):
        X = read(given, na_values=["?"]).X
        assert X["dose"].tolist()[::2] == [1.5, 3.0]
        assert X.isna().sum().tolist() == [1, 1]
    rows = table.assign(y=[1.0, 2.0, 3.0])[["dose", "y"]]
    imputed = make_pipeline(SimpleImputer(), Ridge())
    assert tk.verify(imputed, rows, "y", missing=["?"], nodes=(2,), on=tk.Inline()).ok
