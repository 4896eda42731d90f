"""What people's files are like: indexes, folders that say something, encodings, texts among numbers."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

import talkoot as tk
from talkoot.core.errors import DataError, NotDistributable, TalkootError
from talkoot.data.schema import agree

HERE = tk.Inline()
BIG = 1 << 60
IDS = pd.DataFrame({"id": [BIG, BIG + 1, BIG + 2, BIG], "x": [1.0, 2.0, 3.0, 5.0]})


def names(data: Any, **options: Any) -> tuple[str, ...] | None:
    return agree(tk.shards(data, **options), HERE)[0].names


# Whole numbers that float64 does not hold.

SOURCES: dict[str, Callable[[Path], Any]] = {
    "frame": lambda d: IDS[["id"]],
    "array": lambda d: IDS[["id"]].to_numpy(),
    "uint64": lambda d: IDS[["id"]].to_numpy().astype(np.uint64),
    "object": lambda d: IDS[["id"]].to_numpy().astype(object),
    "arrow": lambda d: pa.table({"id": IDS.id.to_numpy()}),
    "parquet": lambda d: written(IDS[["id"]], d / "a.parquet"),
    "csv": lambda d: written(IDS[["id"]], d / "a.csv"),
    "feather": lambda d: written(IDS[["id"]], d / "a.feather"),
}


def written(frame: pd.DataFrame, path: Path, **options: Any) -> Path:
    match path.suffix:
        case ".parquet":
            frame.to_parquet(path, **options)
        case ".feather":
            frame.to_feather(path)
        case _:
            frame.to_csv(path, **{"index": False, **options})
    return path


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("estimator", [OneHotEncoder(), OrdinalEncoder(), OneHotEncoder(min_frequency=1)])
def test_ids_beyond_floats_are_categories_of_their_own(tmp_path: Path, source: str, estimator: Any) -> None:
    fit = tk.fit(estimator, SOURCES[source](tmp_path), nodes=2, on=HERE)
    assert fit.model.categories_[0].tolist() == [BIG, BIG + 1, BIG + 2]
    assert fit.model.categories_[0].dtype == ("uint64" if source == "uint64" else "int64")


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint64", "float32", "bool"])
def test_categories_have_the_dtype_of_the_column(dtype: str) -> None:
    X = np.array([[0], [1], [1]]).astype(dtype)
    for data in (X, pd.DataFrame({"a": X[:, 0], "t": ["u", "v", "v"]})):
        got = tk.fit(OneHotEncoder(), data, nodes=2, on=HERE).model.categories_[0]
        assert got.dtype == OneHotEncoder().fit(data).categories_[0].dtype


def test_ids_go_through_pipelines_beside_numbers() -> None:
    parts = [("hot", OneHotEncoder(), ["id"]), ("scale", StandardScaler(), ["x", "id"])]
    made = make_pipeline(ColumnTransformer(parts), LinearRegression())
    got = tk.fit(made, (IDS, IDS.x), nodes=2, on=HERE).model.predict(IDS)
    np.testing.assert_allclose(got, made.fit(IDS, IDS.x).predict(IDS), atol=1e-9)


def test_ids_go_through_imputers() -> None:
    made = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder())
    got = tk.fit(made, IDS[["id"]], nodes=2, on=HERE).model[-1].categories_[0]
    assert got.tolist() == made.fit(IDS[["id"]])[-1].categories_[0].tolist()


def test_ids_are_numbers_for_those_who_want_numbers() -> None:
    got = tk.fit(StandardScaler(), IDS, nodes=3, on=HERE).model
    np.testing.assert_allclose(got.mean_, StandardScaler().fit(IDS).mean_)


def test_large_labels_of_csv_files_stay_apart(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": [0.0, 1.0, 5.0, 6.0], "t": [BIG, BIG, BIG + 1, BIG + 1]})
    fit = tk.fit(LogisticRegression(), written(frame, tmp_path / "a.csv"), "t", nodes=2, on=HERE)
    assert fit.model.classes_.tolist() == [BIG, BIG + 1]
    assert fit.model.predict(frame[["x"]]).tolist() == frame.t.tolist()


def test_keys_beyond_floats_are_told_apart() -> None:
    here = pd.DataFrame({"id": BIG + np.arange(50) * 2, "x": np.arange(50.0)})
    there = here.assign(id=here.id + 1)
    assert "duplicates" not in {
        f.kind for f in tk.check({"a": here, "b": there}, keys="id", on=HERE).findings
    }
    both = tk.check({"a": here, "b": here}, keys="id", on=HERE)
    assert "duplicates" in {f.kind for f in both.findings}


# What make_column_selector sees.

MIXED = pd.DataFrame(
    {
        "flag": [True, False, True],
        "n": [1, 2, 3],
        "x": [1.5, 2.5, 3.5],
        "text": ["a", "b", "c"],
        "kind": pd.Categorical(["lo", "hi", "lo"]),
        "level": pd.Categorical([1, 2, 1]),
        "Int": pd.array([1, None, 3], "Int64"),
    }
)
READ: dict[str, Callable[[Path], Any]] = {
    ".csv": pd.read_csv,
    ".parquet": pd.read_parquet,
    ".feather": pd.read_feather,
}


@pytest.mark.parametrize("source", ["frame", *READ])
@pytest.mark.parametrize(
    "selector",
    [
        make_column_selector(dtype_include=np.number),
        make_column_selector(dtype_include="bool"),
        make_column_selector(dtype_include=["category"]),
        make_column_selector(dtype_exclude=np.number),
        make_column_selector(dtype_include="int64"),
        make_column_selector("n|x", dtype_include="float"),
        lambda frame: [name for name in frame if frame[name].dtype.kind in "if"],
    ],
    ids=["number", "bool", "category", "no_number", "int64", "pattern", "function"],
)
def test_selectors_see_what_pandas_reads(tmp_path: Path, source: str, selector: Any) -> None:
    path = written(MIXED, tmp_path / f"a{source}") if source != "frame" else None
    data = MIXED if path is None else path
    want = list(selector(MIXED if path is None else READ[source](path)))
    made = ColumnTransformer([("all", "passthrough", selector)], remainder="drop")
    if not want:
        with pytest.raises(DataError, match="reads any column"):
            tk.fit(made, data, nodes=2, on=HERE)
        return
    assert list(tk.fit(made, data, nodes=2, on=HERE).model.transformers_[0][2]) == want


def test_a_function_that_looks_at_values_is_refused() -> None:
    made = ColumnTransformer([("few", "passthrough", lambda f: [k for k in f if f[k].nunique() < 3])])
    with pytest.raises(NotDistributable, match="picks columns by their values"):
        tk.fit(made, MIXED, nodes=2, on=HERE)


# An index is no feature.

INDEXES = [
    pd.Index([7, 3, 5]),
    pd.Index([7, 3, 5], name="patient"),
    pd.date_range("2020-01-01", periods=3, name="day"),
    pd.MultiIndex.from_arrays([["a", "b", "c"], [1, 2, 3]], names=["site", None]),
    pd.RangeIndex(3),
]


@pytest.mark.parametrize("index", INDEXES, ids=["plain", "named", "dates", "two", "range"])
def test_an_index_in_parquet_is_no_feature(tmp_path: Path, index: Any) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0], "t": [0, 1, 0]}, index=index)
    frame.to_parquet(tmp_path / "a.parquet")
    assert names(tmp_path, target="t") == ("a",)
    assert names(pq.read_table(tmp_path / "a.parquet"), target="t") == ("a",)
    found = [f for f in tk.check(tmp_path / "a.parquet", "t", on=HERE).findings if f.kind == "index"]
    assert [f.what for f in found] == ["is the index that pandas wrote, so it is left out"] * len(found)
    assert len(found) == (0 if isinstance(index, pd.RangeIndex) else index.nlevels)


def test_an_index_may_be_asked_for(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0]}, index=pd.Index(["u", "v", "v"], name="site"))
    frame.to_parquet(tmp_path / "a.parquet")
    assert names(tmp_path, columns=["a", "site"]) == ("a", "site")
    assert list(tk.shards(tmp_path, by="site")) == ["u", "v"]
    assert "keys" in {f.kind for f in tk.check(tmp_path, keys="site", on=HERE).findings}


@pytest.mark.parametrize("index", [[0, 1, 2], [1, 2, 3], [9, 4, 7]], ids=["zero", "one", "shuffled"])
def test_a_nameless_first_column_that_numbers_rows_is_no_feature(tmp_path: Path, index: list[int]) -> None:
    path = written(pd.DataFrame({"a": [1.0, 2.0, 4.0]}, index=index), tmp_path / "a.csv", index=True)
    assert names(path) == ("a",)
    assert "has no name and numbers the rows, so it is left out" in str(tk.check(path, on=HERE))
    assert names(path, columns=["Unnamed: 0"]) == ("Unnamed: 0",)


@pytest.mark.parametrize("index", [["u", "v", "w"], [1, 1, 2], [0.5, 1, 2]], ids=["text", "twice", "floats"])
def test_a_nameless_first_column_that_holds_something_stays(tmp_path: Path, index: list[Any]) -> None:
    path = written(pd.DataFrame({"a": [1.0, 2.0, 4.0]}, index=index), tmp_path / "a.csv", index=True)
    assert names(path) == ("Unnamed: 0", "a")


# Folders that say something.


@pytest.mark.parametrize("suffix", ["parquet", "csv", "feather"])
def test_hive_folders_are_columns(tmp_path: Path, suffix: str) -> None:
    for year, site in (("01", "a"), ("02", "b%20c"), ("__HIVE_DEFAULT_PARTITION__", "a")):
        folder = tmp_path / f"year={year}" / f"site={site}"
        folder.mkdir(parents=True)
        written(pd.DataFrame({"x": [1.0, 2.0]}), folder / f"p.{suffix}")
    want = ds.dataset(tmp_path, format=suffix, partitioning="hive").to_table().to_pandas()
    schema, bound = agree(tk.shards(tmp_path), HERE)
    assert schema.names == tuple(want.columns)
    assert schema.kinds == ("number", "number", "text")
    blocks = [block.X for block in bound["node0"].blocks()]
    assert np.concatenate([X["site"] for X in blocks]).tolist() == want.site.tolist()
    np.testing.assert_array_equal(np.concatenate([X["year"] for X in blocks]), want.year)
    assert {k: s.rows for k, s in tk.shards(tmp_path, by="site").items()} == {"a": 4, "b c": 2}


def test_hive_folders_name_nodes_and_are_dealt(tmp_path: Path) -> None:
    for year in ("2020", "2021"):
        (tmp_path / f"year={year}").mkdir()
        written(pd.DataFrame({"x": np.arange(5.0) + float(year)}), tmp_path / f"year={year}" / "p.parquet")
    assert list(tk.shards(tmp_path, by="year")) == ["2020", "2021"]
    got = tk.fit(LinearRegression(), tmp_path, "x", nodes=3, on=HERE).model
    assert got.feature_names_in_.tolist() == ["year"]
    assert got.coef_ == pytest.approx([1.0])
    assert names(str(tmp_path / "*" / "*.parquet")) == ("x", "year")
    assert names([*tmp_path.glob("*/*.parquet")]) == ("x", "year")
    assert names(tmp_path / "year=2020" / "p.parquet") == ("x",)


# Encodings and archives.

UMLAUTS = pd.DataFrame({"größe": [1.5, 2.5], "ort": ["Köln", "Zürich"]})


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16", "utf-8-sig", "utf-8"])
def test_csv_files_of_other_encodings(tmp_path: Path, encoding: str) -> None:
    path = written(UMLAUTS, tmp_path / "a.csv", encoding=encoding)
    schema, bound = agree(tk.shards(path, encoding=encoding), HERE)
    assert schema.names == ("größe", "ort")
    assert next(bound["node0"].blocks()).X["ort"].tolist() == ["Köln", "Zürich"]


@pytest.mark.parametrize(
    ("content", "options", "text"),
    [
        (
            "a,b\n1,é\n".encode("latin-1"),
            {},
            "is not written in UTF-8: byte 0xE9 at position 6, in line 2. Say how it is encoded: encoding=",
        ),
        ("é,b\n1,2\n".encode("latin-1"), {}, "byte 0xE9 at position 0, in line 1"),
        (("a,b\n" * 400_000).encode() + b"\xff,1\n", {}, "byte 0xFF at position 1600000, in line 400001"),
        ("a,b\n1,2\n".encode("utf-16"), {}, 'It is written in UTF-16: say encoding="utf-16"'),
        ("a,b\n1,2\n".encode("utf-16-le"), {}, 'say encoding="utf-16-le"'),
        ("a,é\n".encode(), {"encoding": "ascii"}, "is not written in ascii: byte 0xC3 at position 2"),
        (b"\x1f\x8b\x08\x00", {}, "It is compressed by gzip"),
        (b"PK\x03\x04\xff", {}, "a workbook of a spreadsheet"),
        (b"a\n1\n", {"encoding": "utf-9"}, "encoding='utf-9' is not known"),
        (b"a,b\n1,2\n3\n", {}, "Expected 2 columns, got 1"),
    ],
    ids=["value", "header", "late", "utf-16", "no_mark", "ascii", "gzip", "zip", "unknown", "short"],
)
def test_text_in_another_encoding_is_shown_with_its_place(
    tmp_path: Path, content: bytes, options: dict[str, Any], text: str
) -> None:
    (tmp_path / "a.csv").write_bytes(content)
    with pytest.raises(TalkootError) as caught:
        agree(tk.shards(tmp_path / "a.csv", **options), HERE)
    assert text in str(caught.value)


def test_zstd_and_zip(tmp_path: Path) -> None:
    text = UMLAUTS.to_csv(index=False)
    with pa.CompressedOutputStream(str(tmp_path / "a.csv.zst"), "zstd") as file:
        file.write(text.encode())
    with zipfile.ZipFile(tmp_path / "a.csv.zip", "w") as archive:
        archive.writestr("a.csv", text)
    for path in tmp_path.iterdir():
        assert names(path) == ("größe", "ort")
    with zipfile.ZipFile(tmp_path / "b.csv.zip", "w") as archive:
        archive.writestr("a.csv", text)
        archive.writestr("b.csv", text)
    with pytest.raises(DataError, match="holds 2 files"):
        names(tmp_path / "b.csv.zip")


# Texts among numbers.

STRAY = "a,t\n" + "1.5,0\n" * 6 + "?,1\n" + "2,1\n" * 5


def test_a_stray_text_is_named_at_one_node(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(STRAY)
    with pytest.raises(DataError) as caught:
        tk.fit(LinearRegression(), path, "t", on=HERE)
    assert f"column 'a': it holds '?' in row 8 of {path} among numbers" in str(caught.value)
    assert "say missing=['?']" in str(caught.value)
    found = tk.check(path, "t", on=HERE).findings
    assert f"'?' stands in 8% of the rows, first in row 8 of {path}, among numbers" in found[0].what
    imputed = make_pipeline(SimpleImputer(), LinearRegression())
    got = tk.fit(imputed, path, "t", missing=["?"], on=HERE).model
    read = pd.read_csv(path, na_values=["?"])
    np.testing.assert_allclose(got[-1].coef_, imputed.fit(read[["a"]], read.t)[-1].coef_)


@pytest.mark.parametrize(
    "make", [pd.DataFrame, lambda columns: np.array([*columns.values()], dtype=object).T]
)
def test_a_stray_text_among_objects_may_be_declared_missing(make: Any) -> None:
    data = make({"a": [1.0, "?", 3.0], "b": [1.0, 2.0, 4.0]})
    with pytest.raises(DataError, match="missing="):
        tk.fit(SimpleImputer(), data, nodes=1, on=HERE)
    assert tk.fit(SimpleImputer(), data, nodes=1, missing=["?"], on=HERE).model.statistics_[0] == 2.0


@pytest.mark.parametrize("kind", ["frame", ".parquet", ".feather"])
def test_numbers_written_as_text_are_numbers_once_the_stray_one_is_declared(
    tmp_path: Path, kind: str
) -> None:
    here, there = pd.DataFrame({"a": [1.0, 2.0]}), pd.DataFrame({"a": ["3", "?", " 5"]})
    data = {"p": here, "q": there if kind == "frame" else written(there, tmp_path / f"q{kind}")}
    with pytest.raises(DataError, match=r"\?. in row 2, counted from 1.*missing=\['\?'\]"):
        tk.fit(SimpleImputer(), data, on=HERE)
    assert tk.fit(SimpleImputer(), data, missing=["?"], on=HERE).model.statistics_ == [2.75]


def test_a_stray_weight_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,t,w\n1,2,1\n2,3,?\n")
    with pytest.raises(DataError, match=r"column 'w': '\?' in row 3 of .*a.csv is no number"):
        tk.fit(LinearRegression(), tmp_path / "a.csv", "t", weight="w", on=HERE)


def test_an_invisible_character_is_made_visible(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n2\u200b\n3\n", encoding="utf-8")
    with pytest.raises(DataError) as caught:
        tk.fit(StandardScaler(), tmp_path / "a.csv", on=HERE)
    assert r"it holds '2\u200b' in row 3 of" in str(caught.value)


def test_all_rows_without_a_target_are_counted(tmp_path: Path) -> None:
    rows = 200_000
    frame = pd.DataFrame({"a": np.arange(rows) * 1.0, "t": np.where(np.arange(rows) % 10, 1.0, np.nan)})
    with pytest.raises(DataError, match="20000 rows have no target"):
        tk.fit(LinearRegression(), written(frame, tmp_path / "a.parquet"), "t", on=HERE)


def test_a_type_that_changes_late(tmp_path: Path) -> None:
    many = 200_000
    (tmp_path / "a.csv").write_text("a,b,c\n" + "1,,5\n" * many + f"2.5,True,{BIG}\n")
    schema, bound = agree(tk.shards(tmp_path / "a.csv"), HERE, whole=True)
    want = pd.read_csv(tmp_path / "a.csv", low_memory=False)
    assert schema.kinds == ("number", "number", "whole")
    assert schema.dtypes == ("float64", "object[bool]", "int64")
    last = [*bound["node0"].blocks()][-1]
    assert [last.X[name][-1] for name in "abc"] == want.iloc[-1].tolist()


def test_missing_and_encoding_on_the_command_line(tmp_path: Path) -> None:
    from talkoot.cli import main

    (tmp_path / "a.csv").write_bytes(STRAY.replace("a,t", "é,t").encode("latin-1"))
    data = ["--data", str(tmp_path / "a.csv"), "--target", "t", "--encoding", "latin-1", "--missing", "?"]
    assert main(["check", *data]) == 0
    found = io.StringIO(str(tk.check(tmp_path / "a.csv", "t", encoding="latin-1", missing=["?"], on=HERE)))
    assert "text" not in found.getvalue()
