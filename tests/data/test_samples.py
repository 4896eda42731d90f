from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
import torch
from scipy.sparse import csr_array
from torch.utils.data import TensorDataset

from patience import patient
from talkoot import shards
from talkoot.core.errors import DataError
from talkoot.data.samples import row_group_cache as module
from talkoot.data.samples.arrays import ArraySamples, OnDisk
from talkoot.data.samples.files import FileSamples
from talkoot.data.samples.samples import Samples, samples
from talkoot.engines.processes.wire import copied, dump

ROWS = 100
FRAME = pd.DataFrame(
    {"a": np.arange(ROWS) / 2, "n": np.arange(ROWS), "t": np.arange(ROWS) % 7, "s": ["x"] * ROWS}
)


class Pairs:
    """A map-style dataset."""

    def __init__(self, *items: Any) -> None:
        self.items = items

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def only(data: Any, target: Any = None, **kw: Any) -> Samples:
    return samples(data, target, **kw)["node0"]


def everything(source: Samples) -> tuple[np.ndarray, np.ndarray | None]:
    return source.take(np.arange(source.rows))


def write(path: Path, table: pd.DataFrame | pa.Table) -> Path:
    whole = table if isinstance(table, pa.Table) else pa.Table.from_pandas(table, preserve_index=False)
    match path.suffix:
        case ".parquet":
            pq.write_table(whole, path, row_group_size=30)
        case ".feather":
            feather.write_feather(whole, str(path), chunksize=30)
        case ".csv":
            whole.to_pandas().to_csv(path, index=False)
        case _:
            with pa.ipc.new_stream(str(path), whole.schema) as writer:
                writer.write_table(whole, max_chunksize=30)
    return path


@pytest.mark.parametrize("dtype", ["f2", "f4", "f8", "u1", "i1", "i2", "i4", "i8", "?", ">f4", ">f8", ">i4"])
@pytest.mark.parametrize("shape", [(9,), (9, 2), (9, 1, 4, 4)])
def test_arrays_of_any_shape_keep_their_type(dtype: Any, shape: tuple[int, ...]) -> None:
    X = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    found, y = only(X).take(np.array([8, 0, 8]))
    assert found.dtype == X.dtype.newbyteorder("=")
    assert found.dtype.isnative
    assert np.array_equal(found, X[[8, 0, 8]])
    assert y is None


@pytest.mark.parametrize(
    ("y", "dtype"),
    [
        (np.arange(4, dtype=np.uint8), np.int64),
        (np.array([True] * 4), np.int64),
        (np.zeros((4, 2)), np.float64),
        (np.zeros((4, 2), np.float16), np.float16),
    ],
)
def test_targets_are_int64_or_the_floats_that_they_are(y: np.ndarray, dtype: Any) -> None:
    for given in ((np.zeros((4, 3)), y), (torch.zeros(4, 3), torch.from_numpy(y))):
        found = everything(only(given))[1]
        assert found is not None
        assert found.dtype == dtype
        assert np.array_equal(found, y)


def test_arrays_and_tensors_are_not_copied() -> None:
    X, tensor = np.zeros((5, 2), np.float32), torch.zeros(5, 2, requires_grad=True)
    for given, memory in ((X, X), (tensor, tensor.detach().numpy())):
        source = only(given)
        assert isinstance(source, ArraySamples)
        assert isinstance(source.X, np.ndarray)
        assert np.shares_memory(source.X, memory)
        assert source.ready


def test_a_memory_map_travels_as_its_path_and_a_part_of_one_as_its_rows(tmp_path: Path) -> None:
    X = np.random.default_rng(0).normal(size=(5000, 3))
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "F.npy", np.asfortranarray(X))
    for name in ("X.npy", "F.npy"):
        source = only((np.load(tmp_path / name, mmap_mode="r"), np.arange(5000)))
        assert isinstance(source, ArraySamples)
        assert isinstance(source.X, OnDisk)
        assert not source.ready
        assert dump(replace(source, y=None)).size < 2000
        assert np.array_equal(everything(copied(source))[0], X)
    part = only(np.load(tmp_path / "X.npy", mmap_mode="r")[10:])
    assert part.ready
    assert np.array_equal(everything(part)[0], X[10:])
    gone = only(np.load(tmp_path / "X.npy", mmap_mode="r"))
    (tmp_path / "X.npy").unlink()
    with pytest.raises(DataError, match=r"X\.npy is not there"):
        everything(gone)


@pytest.mark.parametrize("make", [pd.DataFrame, pl.from_pandas, pa.Table.from_pandas])
def test_tables_are_a_matrix_and_a_target(make: Any) -> None:
    X, y = everything(only(make(FRAME), "t", columns=["a", "n"]))
    assert X.dtype == np.float64
    assert np.array_equal(X, FRAME[["a", "n"]].to_numpy())
    assert y is not None
    assert y.dtype == np.int64
    assert np.array_equal(y, FRAME["t"])
    beside = everything(only((make(FRAME[["a"]]), FRAME["t"])))[1]
    assert beside is not None
    assert np.array_equal(beside, y)


@pytest.mark.parametrize("suffix", ["parquet", "feather", "arrows", "csv"])
def test_files_are_read_as_tables_are(tmp_path: Path, suffix: str) -> None:
    for i in range(2):
        write(tmp_path / f"{i}.{suffix}", FRAME.iloc[60 * i : 60 * i + 60])
    source = only(tmp_path, "t", columns=["n", "a"])
    assert source.rows == ROWS
    assert source.groups == ((60, 40) if suffix == "csv" else (30, 30, 30, 10))
    assert not source.ready
    mixed = np.random.default_rng(0).permutation(ROWS)
    X, y = copied(source).take(mixed)
    assert X.dtype == np.float64
    assert np.array_equal(X, FRAME[["n", "a"]].to_numpy()[mixed])
    assert y is not None
    assert y.dtype == np.int64
    assert np.array_equal(y, FRAME["t"].to_numpy()[mixed])


def test_only_a_few_groups_of_files_are_kept_and_none_travel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.RowGroupCache.__init__, "__defaults__", (100,))
    path = write(tmp_path / "a.parquet", pd.DataFrame({"a": np.arange(600.0)}))
    source = only(path)
    assert isinstance(source, FileSamples)
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(600)
        assert np.array_equal(source.take(order)[0][:, 0], order)
    assert len(source.cache._slots) == 8
    small = dump(source).size
    assert small == dump(only(path)).size, "decoded rows do not travel"
    assert source.share(["a", "b"])[1].cache is source.cache


@pytest.mark.parametrize("suffix", ["parquet", "feather"])
def test_lists_of_one_length_become_arrays(tmp_path: Path, suffix: str) -> None:
    values = np.arange(50 * 12, dtype=np.uint8).reshape(50, 3, 4)
    flat = pa.array(values.ravel())
    fixed = pa.FixedSizeListArray.from_arrays(pa.FixedSizeListArray.from_arrays(flat, 4), 3)
    loose = pa.array(values.reshape(50, 12).tolist(), pa.list_(pa.uint8()))
    tensor = pa.FixedShapeTensorArray.from_numpy_ndarray(values)
    for i, column in enumerate((fixed, loose, tensor)):
        table = pa.table({"pixels": column, "t": np.arange(50), "next": loose})
        for given in (table, write(tmp_path / f"{i}.{suffix}", table)):
            source = only(given, "t", columns=["pixels"])
            X, _ = source.take(np.array([40, 2]))
            assert X.dtype == np.uint8
            assert np.array_equal(X.reshape(2, -1), values.reshape(50, -1)[[40, 2]])
            assert X.shape[1:] == ((12,) if column is loose else (3, 4))
            many = only(given, "next", columns=["pixels"]).take(np.array([7]))[1]
            assert many is not None
            assert many.dtype == np.int64
            assert np.array_equal(many[0], values[7].ravel())


def test_a_dataset_is_read_item_by_item_and_one_of_tensors_at_once() -> None:
    items = [(torch.full((2, 2), i, dtype=torch.float64), i) for i in range(5)]
    X, y = everything(only(Pairs(*items)))
    assert X.dtype == np.float64
    assert X[:, 1, 1].tolist() == [0, 1, 2, 3, 4]
    assert y is not None
    assert y.dtype == np.int64
    assert everything(only(Pairs(1.5, 2.5)))[1] is None
    tensors = only(TensorDataset(torch.zeros(3, 2), torch.arange(3)))
    assert tensors.ready
    assert everything(tensors)[0].shape == (3, 2)


def test_blocks_are_all_rows_in_order_and_of_shared_sources_each_nodes_part() -> None:
    X, y = np.random.default_rng(0).normal(size=(3000, 1000)).astype(np.float32), np.arange(3000)
    source = only((X, y))
    for shares in ([source], source.share(["a", "b", "c"])):
        blocks = [block for share in shares for block in share.blocks()]
        assert len(blocks) > 3
        assert np.array_equal(np.concatenate([block.X for block in blocks]), X)
        assert np.array_equal(np.concatenate([b.y for b in blocks if b.y is not None]), y)


def test_shares_know_their_part_and_where_they_come_from() -> None:
    shares = only(np.eye(3)).share(["a", "b"])
    assert [(s.name, s.whole, s.part, s.of, s.rows) for s in shares] == [
        ("a", "node0", 0, 2, 3),
        ("b", "node0", 1, 2, 3),
    ]


def test_a_dict_names_the_nodes_and_samples_and_shards_are_taken_as_they_are(tmp_path: Path) -> None:
    path = write(tmp_path / "f.parquet", FRAME[["a", "t"]])
    nodes = samples({"file": path, "table": FRAME[["a", "t"]], "made": only((np.eye(2), np.ones(2)))}, None)
    assert {name: (s.name, s.whole) for name, s in nodes.items()} == {k: (k, k) for k in nodes}
    both = samples(shards({"a": (np.eye(3), np.arange(3)), "b": (np.eye(3), np.arange(3))}))
    assert everything(both["b"])[1] is not None
    assert everything(samples(shards(path, "t"))["node0"])[0].shape == (ROWS, 1)


def test_what_travels_leaves_its_arrays_beside_the_pickle() -> None:
    X = np.zeros((1000, 100), np.float32)
    for source in (only((X, np.zeros(1000))), only(Pairs((X, 1)))):
        pickled = dump(source.share(["a", "b"]))
        assert len(pickled.stream) < 3000
        assert pickled.size < 1.1 * X.nbytes, "what is shared travels once"


RAGGED = pa.table({"x": [[1, 2], [3]], "t": [0, 1]})
NULLS = pa.table({"x": [1.0, None], "t": [0, None]})


@pytest.mark.parametrize(
    ("data", "target", "match"),
    [
        (np.empty((0, 3)), None, "no rows"),
        (Pairs(), None, "no rows"),
        ((np.eye(3), np.arange(2)), None, "X has 3 rows, but the target has 2"),
        ((np.eye(3), np.arange(3), np.ones(3)), None, r"a tuple of 3.*Give \(X, y\)"),
        ((np.eye(3), np.arange(3)), np.arange(3), "given twice"),
        ((np.eye(2), ["no", "yes"]), None, "the target holds text.*'no'.*Encode the labels as integers"),
        (np.array([["a"]]), None, "the array holds text"),
        ([[1, 2], [3]], None, "ragged"),
        (np.eye(2), "t", "target='t' names columns"),
        (csr_array(np.eye(2)), None, "toarray"),
        ({"a": np.eye(2), "b": np.empty((0, 2))}, None, "node 'b': it has no rows"),
        ({}, None, "empty"),
        ({"a": np.eye(2)}, np.arange(2), "one array for several nodes"),
        (3, None, "3 is one number, not rows"),
        (torch.zeros(2).to_sparse(), None, "cannot be read"),
        (FRAME, "tt", "column 'tt'.*Did you mean 't'"),
        (FRAME, "t", "column 's': it holds text.*Encode it as numbers, or leave it out"),
        (FRAME[["a", "s"]], "s", "column 's': the target holds text.*Encode the labels"),
        (FRAME[["t"]], "t", "no feature columns"),
        (RAGGED, "t", r"column 'x': it is ragged.*\(2 and 1\)"),
        (RAGGED.append_column("z", [[1, 2]]), "t", "column 'x': it holds lists.*Take it alone"),
        (NULLS, "t", "column 't': 1 of its values are missing, and int64 has no NaN"),
        (Pairs({"x": 1}), None, "items of Pairs are dicts"),
        (Pairs((1, 2, 3)), None, "items of Pairs are tuples"),
        (Pairs(("text", 1)), None, "holds text"),
    ],
)
def test_what_cannot_be_trained_on_is_said_with_the_cure(data: Any, target: Any, match: str) -> None:
    with pytest.raises(DataError, match=match):
        samples(data, target)


def test_missing_features_are_nan() -> None:
    assert np.isnan(everything(only(NULLS, columns=["x"]))[0][1, 0])


def test_items_that_differ_in_shape_are_said() -> None:
    source = only(Pairs((np.zeros(2), 0), (np.zeros(3), 1)))
    with pytest.raises(DataError, match=r"items differ in shape: \(2,\) and \(3,\)"):
        everything(source)


def test_files_that_cannot_be_read_or_disagree_are_named(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", FRAME[["a", "t"]])
    for other, match in (
        (FRAME[["a", "s"]], r"b\.parquet.*column"),
        (FRAME[["a"]].assign(t=0.5), r"column 't': .*b\.parquet holds double where .*a\.parquet holds int64"),
        (FRAME[["t"]], r"column 'a': .*b\.parquet lacks this column"),
    ):
        write(tmp_path / "b.parquet", other)
        with pytest.raises(DataError, match=match):
            only(tmp_path, "t")
    (tmp_path / "b.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match=r"b\.parquet cannot be read"):
        only(tmp_path, "t")
    with pytest.raises(DataError, match="no file matches"):
        only(str(tmp_path / "*.arrow"))
    with pytest.raises(DataError, match="Name a column"):
        only(tmp_path / "a.parquet", np.arange(ROWS))


def test_files_that_change_are_said(tmp_path: Path) -> None:
    source = only(write(tmp_path / "a.parquet", FRAME[["a", "t"]]), "t")
    source.take(np.array([0]))
    write(tmp_path / "a.parquet", FRAME[["a", "t"]].iloc[:50])
    for row in (31, 95):
        with pytest.raises(DataError, match=r"a\.parquet has changed"):
            source.take(np.array([row]))
    (tmp_path / "a.parquet").unlink()
    with pytest.raises(DataError, match=r"a\.parquet is not there"):
        source.take(np.array([31]))


@pytest.mark.parametrize("rows", [[[1, 2]], [[1, 2, 3], [1, 2, 3]]])
def test_lists_that_differ_between_groups_are_said(tmp_path: Path, rows: list[list[int]]) -> None:
    path, schema = tmp_path / "a.parquet", pa.schema({"x": pa.list_(pa.int64())})
    with pq.ParquetWriter(path, schema) as writer:
        writer.write_table(pa.table({"x": [[1]]}, schema))
        writer.write_table(pa.table({"x": rows}, schema))
    with pytest.raises(DataError, match="rows have several shapes"):
        everything(only(path))


@pytest.mark.parametrize(
    "made",
    [
        lambda path: shards(FRAME, "t"),
        lambda path: shards(path, "t", nodes=2),
        lambda path: shards((np.eye(3), np.arange(3), np.ones(3))),
    ],
)
def test_shards_that_are_more_than_rows_are_refused(tmp_path: Path, made: Any) -> None:
    path = write(tmp_path / "a.parquet", FRAME[["a", "t"]])
    with pytest.raises(DataError, match="Give the files, tables or arrays themselves"):
        samples(made(path))


def test_torch_is_not_needed_to_read_arrays_and_files(tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", FRAME[["a", "t"]])
    script = (
        "import sys; from talkoot.data.samples.samples import samples\n"
        "from talkoot.data.loading.loader import Loader\n"
        f"with Loader([samples({str(path)!r}, 't')['node0']], batch=4, seed=0) as feed: feed.at(0)\n"
        "print([m for m in ('torch', 'ray', 'PIL') if m in sys.modules])"
    )
    got = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=patient()
    )
    assert got.stdout.strip() == "[]"


def test_a_column_of_folders_is_not_left_out_without_a_word(tmp_path: Path) -> None:
    for town in ("lima", "oslo"):
        (tmp_path / f"town={town}").mkdir()
        pq.write_table(pa.table({"a": [1.0, 2.0], "y": [0, 1]}), tmp_path / f"town={town}" / "rows.parquet")
    with pytest.raises(DataError, match="column 'town': it is in the names of folders"):
        samples(str(tmp_path), "y")
    assert samples(str(tmp_path), "y", columns=["a"])["node0"].rows == 4
