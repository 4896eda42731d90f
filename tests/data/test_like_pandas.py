"""200 generated tables, read by pandas or pyarrow and by Talkoot: the same columns, kinds and values."""

from __future__ import annotations

import decimal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from talkoot import Inline, shards
from talkoot.data.schema import agree
from talkoot.data.tables.dtypes import pandas_dtype

pytestmark = pytest.mark.wide

Make = Callable[[np.random.Generator, int], Any]
TABLES = 200
WORDS = np.array(["va", "é", "a,b", 'say "no"', "two\nlines", " x", "ß?", "zz"], dtype=object)
BIG = 1 << 60


def some(values: Any, rng: np.random.Generator) -> pd.Series:
    """Values of which some are missing, as objects."""
    column = pd.Series(list(values), dtype=object)
    column[rng.random(len(column)) < 0.3] = None
    return column


def picks(*values: Any) -> Make:
    return lambda rng, n: [values[i] for i in rng.integers(0, len(values), n)]


COLUMNS: dict[str, Make] = {
    "float": lambda rng, n: rng.normal(size=n) * 10.0 ** rng.integers(-9, 9, n),
    "float_missing": lambda rng, n: np.where(rng.random(n) < 0.3, np.nan, rng.normal(size=n)),
    "float32": lambda rng, n: rng.normal(size=n).astype(np.float32),
    "infinite": lambda rng, n: rng.choice([1.5, np.inf, -np.inf], n),
    "int": lambda rng, n: rng.integers(-5, 5, n),
    "int8": lambda rng, n: rng.integers(-5, 5, n, dtype=np.int8),
    "id": lambda rng, n: BIG + rng.integers(0, 5, n),
    "negative_id": lambda rng, n: -BIG + rng.integers(0, 5, n),
    "uint64": lambda rng, n: rng.integers((1 << 64) - 9, (1 << 64) - 1, n, dtype=np.uint64),
    "small_uint64": lambda rng, n: rng.integers(0, 9, n, dtype=np.uint64),
    "Int64": lambda rng, n: some(rng.integers(0, 5, n), rng).astype("Int64"),
    "Int64_id": lambda rng, n: some(BIG + rng.integers(0, 5, n), rng).astype("Int64"),
    "Int8": lambda rng, n: pd.array(rng.integers(0, 5, n), "Int8"),
    "Float64": lambda rng, n: some(rng.normal(size=n), rng).astype("Float64"),
    "bool": lambda rng, n: rng.random(n) < 0.5,
    "bool_missing": lambda rng, n: some((rng.random(n) < 0.5).tolist(), rng),
    "boolean": lambda rng, n: some((rng.random(n) < 0.5).tolist(), rng).astype("boolean"),
    "text": lambda rng, n: WORDS[rng.integers(0, len(WORDS), n)],
    "text_missing": lambda rng, n: some(WORDS[rng.integers(0, len(WORDS), n)], rng),
    "string": lambda rng, n: some(WORDS[rng.integers(0, len(WORDS), n)], rng).astype("string"),
    "category": lambda rng, n: pd.Categorical(
        some(rng.choice(["lo", "hi"], n), rng), categories=["lo", "hi"]
    ),
    "category_int": lambda rng, n: pd.Categorical(rng.integers(1, 4, n), categories=[1, 2, 3]),
    "codes": picks("007", "010", "1"),
    "spaces": picks(" 5", "6 ", "7"),
    "stray": picks("5", "6.5", "?"),
    "invisible": picks("5", "6.5", "7\u200b"),
    "thousands": picks("1,000", "2"),
    "hex": picks("0x10", "0x1F"),
    "dates": picks("2020-01-01", "2021-12-31"),
    "times": picks("12:30", "13:45:10"),
    "words_of_truth": picks("TRUE", "false", "True"),
    "yes_and_no": picks("yes", "no"),
    "signs": picks("1.", ".5", "-2e3", "+1.5"),
    "decimal": picks(decimal.Decimal("1.50"), decimal.Decimal("-2.25")),
    "nothing": lambda rng, n: np.full(n, None, dtype=object),
    "nan": lambda rng, n: np.full(n, np.nan),
}
INDEXES: dict[str, Callable[[int], Any]] = {
    "range": pd.RangeIndex,
    "from_5": lambda n: pd.RangeIndex(5, 5 + n),
    "shuffled": lambda n: pd.Index(np.random.default_rng(n).permutation(n)),
    "named": lambda n: pd.Index(np.arange(n) * 2, name="patient"),
    "dates": lambda n: pd.date_range("2020-01-01", periods=n, freq="h"),
    "two": lambda n: pd.MultiIndex.from_arrays([np.arange(n) % 2, np.arange(n)], names=["site", "visit"]),
}
ENCODINGS = ("utf-8", "utf-8-sig", "latin-1", "cp1252", "utf-16")


def table(seed: int, rows: int, names: list[str], index: str) -> pd.DataFrame:
    rng = np.random.default_rng([seed, rows])
    frame = pd.DataFrame({name: COLUMNS[name](rng, rows) for name in names})
    return frame.set_axis(INDEXES[index](rows), axis=0)


def frames(seed: int, *, indexes: tuple[str, ...] = tuple(INDEXES)) -> list[pd.DataFrame]:
    """One to three tables with the same columns."""
    rng = np.random.default_rng(seed)
    names = rng.choice([*COLUMNS], rng.integers(2, 9), replace=False).tolist()
    index = str(rng.choice(indexes))
    return [table(seed, int(rows), names, index) for rows in rng.integers(1, 40, rng.integers(1, 4))]


def without_latin(parts: list[pd.DataFrame], encoding: str) -> list[pd.DataFrame]:
    """Without a column whose text an encoding cannot hold."""
    narrow = encoding in ("latin-1", "cp1252")
    return [part.drop(columns="invisible", errors="ignore") if narrow else part for part in parts]


def columns_of(data: Any, **options: Any) -> tuple[Any, dict[str, np.ndarray]]:
    """The agreed schema and each column's values, by name."""
    schema, bound = agree(shards(data, **options), Inline(), whole=True)
    names = schema.names or tuple(map(str, range(schema.features)))
    blocks = [block.X for source in bound.values() for block in source.blocks()]
    found = [X if isinstance(X, dict) else dict(zip(names, np.asarray(X).T, strict=True)) for X in blocks]
    return schema, {name: np.concatenate([X[name] for X in found]) for name in names}


def require_same(data: Any, want: pd.DataFrame, **options: Any) -> None:
    schema, got = columns_of(data, **options)
    names = [str(name) for name in want.columns]
    assert list(got) == names
    for j, name in enumerate(names):
        column, values = want.iloc[:, j], got[name]
        text = any(isinstance(value, str) for value in column)
        assert (schema.kinds[j] == "text") == text, name
        if not column.isna().all():
            agreed = pandas_dtype(schema.dtypes[j])  # parts with other categories are text for pandas.concat
            assert str(column.dtype) in ((agreed, "str", "object") if agreed == "category" else (agreed,)), (
                name
            )
        if text:
            assert values.tolist() == [None if pd.isna(value) else value for value in column], name
        elif schema.kinds[j] == "whole":
            assert values.tolist() == column.tolist(), name
        else:
            wanted = np.array([np.nan if pd.isna(value) else float(value) for value in column])
            np.testing.assert_allclose(values, wanted, rtol=1e-15, err_msg=name)


def write_csv(part: pd.DataFrame, path: Path, encoding: str, *, index: bool) -> None:
    text = part.to_csv(index=index).encode(encoding)
    if path.suffix == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as file:
            file.write(text)
    elif path.suffix in (".gz", ".bz2"):
        with pa.CompressedOutputStream(str(path), "gzip" if path.suffix == ".gz" else "bz2") as file:
            file.write(text)
    else:
        path.write_bytes(text)


def read_csv(path: Path, encoding: str) -> pd.DataFrame:
    with pa.input_stream(str(path), compression="detect") as file:
        frame = pd.read_csv(file, encoding=encoding, low_memory=False)
    return frame.drop(columns="Unnamed: 0", errors="ignore")


def seeds(kinds: tuple[str, ...]) -> list[tuple[str, int]]:
    return [(kinds[i % len(kinds)], i) for i in range(TABLES // 4)]


@pytest.mark.parametrize(("kind", "seed"), seeds(("csv", "csv.gz", "csv.zst", "csv.bz2")))
def test_csv_files_are_read_as_by_pandas(tmp_path: Path, kind: str, seed: int) -> None:
    encoding = ENCODINGS[seed % len(ENCODINGS)]
    parts = without_latin(frames(seed, indexes=("range", "from_5", "shuffled")), encoding)
    paths = [tmp_path / f"part-{i}.{kind}" for i in range(len(parts))]
    for part, path in zip(parts, paths, strict=True):
        write_csv(part, path, encoding, index=seed % 3 == 0)
    read = [read_csv(path, encoding) for path in paths]
    kinds = [
        {name: any(isinstance(v, str) for v in column) for name, column in part.items()} for part in read
    ]
    alike = [
        k
        for k in read[0]
        if len({here[k] for here, part in zip(kinds, read, strict=True) if part[k].notna().any()}) < 2
    ]
    want = pd.concat([part[alike] for part in read], ignore_index=True)
    require_same([*map(str, paths)], want, columns=alike, encoding=encoding)


@pytest.mark.parametrize(("kind", "seed"), seeds(("parquet", "feather", "arrows", "hive")))
def test_files_with_types_are_read_as_by_pandas(tmp_path: Path, kind: str, seed: int) -> None:
    parts = frames(seed + 1000)
    for i, part in enumerate(parts):
        whole = pa.Table.from_pandas(part)
        folder = tmp_path / (f"year=202{i}/clinic={'ab'[i % 2]}" if kind == "hive" else "")
        folder.mkdir(parents=True, exist_ok=True)
        if kind in ("parquet", "hive"):
            pq.write_table(whole, folder / f"{i}.parquet", row_group_size=11, write_statistics=seed % 2 == 0)
        else:
            new = pa.ipc.new_file if kind == "feather" else pa.ipc.new_stream
            with new(str(folder / f"{i}.{kind}"), whole.schema) as file:
                file.write_table(whole, max_chunksize=11)
    if kind == "hive":
        want = ds.dataset(tmp_path, partitioning="hive").to_table().to_pandas()
    else:
        read = [
            pd.read_parquet(path) if kind == "parquet" else arrow(path) for path in sorted(tmp_path.iterdir())
        ]
        want = pd.concat(read, ignore_index=True)
    require_same(tmp_path, want)


def arrow(path: Path) -> pd.DataFrame:
    with pa.memory_map(str(path)) as file:
        reader = pa.ipc.open_file(file) if path.suffix == ".feather" else pa.ipc.open_stream(file)
        frame: pd.DataFrame = reader.read_all().to_pandas()
        return frame


@pytest.mark.parametrize(("kind", "seed"), seeds(("pandas", "polars", "pyarrow")))
def test_tables_are_read_as_by_pandas(kind: str, seed: int) -> None:
    parts = frames(seed + 2000)
    if kind == "pandas":
        require_same(dict(enumerate(parts)), pd.concat(parts, ignore_index=True))
        return
    made: list[Any] = [pa.Table.from_pandas(part) for part in parts]
    if kind == "polars":
        plain = [name for name in parts[0] if name != "category_int"]  # polars has categories of text only
        made = [pl.from_arrow(whole.select(plain)) for whole in made]
    want = pd.concat([whole.to_pandas() for whole in made], ignore_index=True)
    require_same(dict(enumerate(made)), want)


@pytest.mark.parametrize(("kind", "seed"), seeds(("int64", "uint64", "int32", "bool", "float32", "object")))
def test_arrays_are_read_as_they_are(kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    high = 5 if kind in ("bool", "float32") else np.iinfo(kind).max if kind != "object" else BIG + 9
    X: Any = rng.integers(
        max(0, high - 9) if seed % 2 else 0, high, (rng.integers(1, 40), 3), dtype=np.uint64
    )
    X = X.astype(kind)
    if kind == "object":
        X[:, 1] = WORDS[rng.integers(0, len(WORDS), len(X))]
    schema, got = columns_of({"a": X[:7], "b": X[7:]} if len(X) > 7 else X)
    for j, column in enumerate(got.values()):
        assert column.tolist() == X[:, j].tolist()
        assert schema.dtypes[j] == {"object": ["int64", "str", "int64"][j]}.get(kind, kind)
