"""Numbers reach the module as what they are: whole ones stay whole, floats keep their digits until then."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch.utils.data import TensorDataset

from talkoot import shards
from talkoot.core.errors import DataError
from talkoot.data.loading.loader import Loader
from talkoot.data.samples.samples import Samples, samples

IDS = 2**24 + np.arange(64)  # of which float32 tells 33 apart
NAMES = [f"{name}{bits}" for name in ("int", "uint") for bits in (8, 16, 32, 64)]
MAKERS: dict[str, Any] = {
    "pandas": lambda table, path: table.to_pandas(),
    "nullable pandas": lambda table, path: table.to_pandas().convert_dtypes(),
    "polars": lambda table, path: pl.from_arrow(table),
    "arrow": lambda table, path: table,
    "parquet": lambda table, path: write(path / "a.parquet", table),
    "csv": lambda table, path: write(path / "a.csv", table),
}


def write(path: Path, table: pa.Table) -> Path:
    if path.suffix == ".csv":
        table.to_pandas().to_csv(path, index=False)
    else:
        pq.write_table(table, path, row_group_size=10)
    return path


def everything(data: Any, target: Any = None, node: str = "node0", **kw: Any) -> Any:
    source: Samples = samples(data, target, **kw)[node]
    X, y = source.take(np.arange(source.rows))
    return X if y is None else (X, y)


@pytest.mark.parametrize("maker", MAKERS)
def test_ids_of_tables_stay_distinct(maker: str, tmp_path: Path) -> None:
    table = pa.table({"user": IDS, "item": IDS[::-1].copy()})
    X = everything(MAKERS[maker](table, tmp_path))
    assert X.dtype == np.int64
    assert np.array_equal(X, np.stack([IDS, IDS[::-1]], axis=1))
    torch.nn.Embedding(64, 2)(torch.from_numpy(X - 2**24))


@pytest.mark.parametrize("maker", ["pandas", "polars", "arrow", "parquet"])
@pytest.mark.parametrize("name", NAMES)
def test_whole_numbers_of_any_width_are_int64_in_tables(name: str, maker: str, tmp_path: Path) -> None:
    info = np.iinfo(name)
    values = np.array([max(info.min, -(2**63)), 0, min(info.max, 2**63 - 1)], name)
    X, y = everything(MAKERS[maker](pa.table({"a": values, "t": values}), tmp_path), "t")
    assert (X.dtype, y.dtype) == (np.int64, np.int64)
    assert X[:, 0].tolist() == y.tolist() == values.tolist()


@pytest.mark.parametrize("maker", ["pandas", "polars", "arrow", "parquet"])
def test_other_columns_keep_their_type(maker: str, tmp_path: Path) -> None:
    def kind(**columns: Any) -> Any:
        return everything(MAKERS[maker](pa.table(columns), tmp_path)).dtype

    half, single, double = (np.array([0.5, 1.5], f) for f in ("f2", "f4", "f8"))
    assert kind(a=half, b=single) == np.float32
    assert kind(a=single, b=double) == np.float64
    assert kind(a=single, b=np.array([2**24, -(2**24)])) == np.float32
    assert kind(a=np.array([True, False])) == np.bool_
    assert kind(a=np.array([True, False]), b=np.array([1, 2], "i1")) == np.int64


@pytest.mark.parametrize("maker", MAKERS)
def test_whole_numbers_that_floats_do_not_tell_apart_are_refused_beside_floats(
    maker: str, tmp_path: Path
) -> None:
    table = pa.table({"age": np.linspace(20, 90, 64), "user": IDS})
    with pytest.raises(DataError, match="column 'user': .*16777217.*Take ids alone.*a column of floats"):
        everything(MAKERS[maker](table, tmp_path))
    if maker == "nullable pandas":
        return  # which makes whole numbers of such floats
    floats = everything(MAKERS[maker](table.set_column(1, "user", [IDS.astype(float)]), tmp_path))
    assert np.array_equal(floats[:, 1], IDS)


def test_missing_whole_numbers_are_refused_alone_and_nan_beside_floats(tmp_path: Path) -> None:
    table = pa.table({"n": [1, None, 3], "a": [0.5, 1.5, 2.5]})
    for data in (table.select(["n"]), write(tmp_path / "a.parquet", table.select(["n"]))):
        with pytest.raises(DataError, match="column 'n': 1 of its values are missing, and int64 has no NaN"):
            everything(data)
    assert np.isnan(everything(table)[1, 0])
    assert np.isnan(everything(pd.DataFrame({"n": [1, None, 3]}))[1, 0])  # which pandas has as floats


def test_nodes_and_files_agree_on_floats_where_one_has_some(tmp_path: Path) -> None:
    whole, floats = pa.table({"a": [1, 2], "t": [0, 1]}), pa.table({"a": [1.5, 2.5], "t": [0, 1]})
    (tmp_path / "both").mkdir()
    for name, table in {"0": whole, "1": floats}.items():
        write(tmp_path / "both" / f"{name}.csv", table)
        write(tmp_path / f"{name}.parquet", table)
    X, _ = everything(tmp_path / "both", "t")
    assert X[:, 0].tolist() == [1, 2, 1.5, 2.5]
    for first in (whole, tmp_path / "0.parquet"):
        nodes = samples({"a": first, "b": tmp_path / "1.parquet", "c": floats}, "t")
        assert {str(source.take(np.arange(2))[0].dtype) for source in nodes.values()} == {"float64"}
        with Loader(list(nodes.values()), batch=2, seed=0) as feed:
            assert sorted(feed.at(0).X[:, 0].tolist()) == [1, 1.5, 1.5, 2, 2.5, 2.5]
    with pytest.raises(DataError, match="node 'a', column 'a': .*16777217"):
        samples({"a": pa.table({"a": IDS}), "b": pa.table({"a": [0.5]})})


@pytest.mark.parametrize("data", [{"a": np.zeros((4, 2), "f4"), "b": np.ones((4, 2), "f8")}, None])
def test_nodes_whose_arrays_differ_in_width_alone_share_a_batch(data: Any) -> None:
    nodes = samples(data or {"a": np.zeros((4, 2), "i4"), "b": np.ones((4, 2), "u1")})
    with Loader(list(nodes.values()), batch=4, seed=0) as feed:
        assert sorted(feed.at(0).X[:, 0].tolist()) == [0, 0, 0, 0, 1, 1, 1, 1]


def test_arrays_keep_what_torch_computes_with() -> None:
    for given, want in (
        (np.uint16, np.int32),
        (np.uint32, np.int64),
        (np.uint64, np.int64),
        (np.longdouble, np.float64),
    ):
        assert everything(np.arange(3).astype(given)).dtype == want
    assert everything(torch.arange(3).to(torch.uint16)).tolist() == [0, 1, 2]
    for wide in (np.array([2**63], np.uint64), pa.table({"a": np.array([2**63], np.uint64)})):
        with pytest.raises(DataError, match=r"9223372036854775808.*torch is 2\*\*63 - 1"):
            everything(wide)
    with pytest.raises(DataError, match="9223372036854775808"):
        everything((np.zeros(1), np.array([2**63], np.uint64)))


def test_bfloat16_is_read_as_float32() -> None:
    X = torch.tensor([[0.5, 3.0]], dtype=torch.bfloat16)

    class Items:
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> Any:
            return X[index], X[index]

    for data in (X, TensorDataset(X), Items()):
        found = everything(data)
        found = found[0] if isinstance(found, tuple) else found
        assert found.dtype == np.float32
        assert found.tolist() == X.tolist()


def test_shards_of_whole_number_tables_are_whole(tmp_path: Path) -> None:
    table = pa.table({"a": IDS, "t": np.arange(64)})
    X, y = everything(shards(table, "t"))
    assert (X.dtype, y.dtype) == (np.int64, np.int64)
    X, _ = everything(shards(write(tmp_path / "a.parquet", table), "t"))
    assert X.dtype == np.int64
