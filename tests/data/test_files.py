from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from examples import examples
from talkoot import Inline, shards
from talkoot.core.errors import DataError, TalkootError
from talkoot.core.shard import Schema
from talkoot.data.schema import agree
from talkoot.data.shards import Shards
from talkoot.data.tables.files import CACHE

Write = Callable[[pd.DataFrame, Path], None]


def frame(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "a": rng.normal(size=rows),
            "n": rng.integers(0, 9, rows),
            "text": np.array(["u", 'v,\n"w"', None], dtype=object)[rng.integers(0, 3, rows)],
            "site": np.array(["x", "y"])[rng.integers(0, 2, rows)],
            "t": np.array(["no", "yes"])[rng.integers(0, 2, rows)],
            "w": rng.random(rows),
        }
    )


def stream(table: pd.DataFrame, path: Path) -> None:
    whole = pa.Table.from_pandas(table, preserve_index=False)
    with pa.ipc.new_stream(str(path), whole.schema) as writer:
        writer.write_table(whole, max_chunksize=50)


WRITERS: dict[str, Write] = {
    "parquet": lambda table, path: table.to_parquet(path, row_group_size=60),
    "csv": lambda table, path: table.to_csv(path, index=False),
    "tsv": lambda table, path: table.to_csv(path, index=False, sep="\t"),
    "csv.gz": lambda table, path: table.to_csv(path, index=False),
    "csv.xz": lambda table, path: table.to_csv(path, index=False),
    "feather": lambda table, path: feather.write_feather(table, str(path), chunksize=50),
    "arrows": stream,
}
PARTS = [frame(200, 0), frame(150, 1), frame(0, 2), frame(77, 3)]
WHOLE = pd.concat(PARTS, ignore_index=True)


@pytest.fixture(params=WRITERS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    for i, part in enumerate(PARTS):
        WRITERS[request.param](part, tmp_path / f"part-{i}.{request.param}")
    for name in ("_SUCCESS", ".hidden.csv", "notes.md"):
        (tmp_path / name).write_text("nothing to read")
    return tmp_path


def read(bound: Shards, schema: Schema) -> pd.DataFrame:
    """All rows as they come out, with their labels and weights."""
    blocks = [block for source in bound.values() for block in source.blocks()]
    columns: dict[str, Any] = {k: np.concatenate([b.X[k] for b in blocks]) for k in blocks[0].X}
    assert schema.classes is not None
    columns["t"] = schema.classes[np.concatenate([np.asarray(b.y) for b in blocks])]
    columns["w"] = np.concatenate([np.asarray(b.w) for b in blocks])
    return pd.DataFrame(columns)


def same(got: pd.DataFrame, want: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(
        got.astype({"text": "str"}),
        want[list(got.columns)].reset_index(drop=True).astype({"n": float, "text": "str"}),
        check_dtype=False,
        rtol=1e-15,
    )


def test_a_folder_in_any_format_is_its_rows(folder: Path) -> None:
    made = shards(folder, "t", weight="w")
    assert list(made) == ["node0"]
    schema, bound = agree(made, Inline(), labels=True)
    assert schema.names == ("a", "n", "text", "site")
    assert schema.kinds == ("number", "number", "text", "text")
    assert bound["node0"].rows == len(WHOLE)
    same(read(bound, schema), WHOLE)


@pytest.mark.parametrize("nodes", [2, 3, 7])
def test_files_are_dealt_without_losing_or_doubling_rows(folder: Path, nodes: int) -> None:
    made = shards(folder, "t", weight="w", nodes=nodes)
    sizes = [source.rows or 0 for source in made.values()]
    assert max(sizes) <= 1.1 * len(WHOLE) / nodes + 1
    schema, bound = agree(made, Inline(), labels=True)
    same(read(bound, schema), WHOLE)
    assert [sum(map(len, source.blocks())) for source in bound.values()] == sizes


def test_files_are_split_by_a_column(folder: Path) -> None:
    schema, bound = agree(shards(folder, "t", weight="w", by="site"), Inline(), labels=True)
    assert schema.names == ("a", "n", "text")
    assert list(bound) == ["x", "y"]
    for site, source in bound.items():
        mine = WHOLE[WHOLE.site == site]
        assert source.rows == len(mine)
        same(read(Shards({site: source}), schema), mine)


def test_raw_blocks_have_the_targets_of_the_file(folder: Path) -> None:
    blocks = list(shards(folder, "t")["node0"].blocks())
    assert [label for block in blocks for label in np.asarray(block.y)] == WHOLE.t.tolist()


def test_some_columns_of_a_list_of_files(folder: Path) -> None:
    paths = sorted(path for path in folder.glob("part-*"))[:2]
    schema, bound = agree(shards(paths, "n", columns=["site", "a"]), Inline())
    assert schema.names == ("site", "a")
    got = np.concatenate([block.X["a"] for block in bound["node0"].blocks()])
    np.testing.assert_allclose(got, WHOLE.a[:350], rtol=1e-15)


def test_shards_of_files_are_small_and_travel(folder: Path) -> None:
    schema, bound = agree(shards(folder, "t", weight="w"), Inline(), labels=True)
    packed = pickle.dumps(bound["node0"])
    assert len(packed) < 3000
    same(read(Shards({"node0": pickle.loads(packed)}), schema), WHOLE)


@examples(50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40)), min_size=1, max_size=4),
    nodes=st.integers(1, 6),
)
def test_dealt_row_groups_of_any_size_make_the_whole_again(
    tmp_path: Path, files: list[tuple[int, int]], nodes: int
) -> None:
    at, paths = 0, list[Path]()
    for i, (rows, group) in enumerate(files):
        path = tmp_path / f"{i}.parquet"
        pq.write_table(pa.table({"i": np.arange(at, at + rows, dtype=float)}), path, row_group_size=group)
        at, paths = at + rows, [*paths, path]
    made = shards(paths, nodes=nodes)
    assert sum(source.rows or 0 for source in made.values()) == at
    if at:
        _, bound = agree(made, Inline())
        got = [value for source in bound.values() for b in source.blocks() for value in b.X[:, 0].tolist()]
        assert got == list(range(at))


def test_row_groups_are_kept_whole_where_that_is_even_enough(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"i": np.arange(1000.0)}), path, row_group_size=104)
    sizes = [source.rows for source in shards(path, nodes=2).values()]
    assert sizes == [520, 480]
    sizes = [source.rows for source in shards(path, nodes=7).values()]
    assert max(map(int, map(str, sizes))) <= 143


def test_addresses_of_fsspec() -> None:
    for i in (0, 1):
        with fsspec.open(f"memory://bucket/{i}.parquet", "wb") as file:
            PARTS[i].to_parquet(file)
    schema, bound = agree(
        shards("memory://bucket/*.parquet", "t", weight="w", nodes=2), Inline(), labels=True
    )
    same(read(bound, schema), pd.concat(PARTS[:2]))
    same(
        read(agree(shards("memory://bucket", "t", weight="w"), Inline(), labels=True)[1], schema), WHOLE[:350]
    )


def test_number_columns_of_files_keep_float32(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": np.ones(3, "f4"), "b": np.zeros(3, "f4")}), tmp_path / "a.parquet")
    schema, bound = agree(shards(tmp_path), Inline())
    (block,) = bound["node0"].blocks()
    assert (schema.dtype, block.X.dtype) == (np.dtype("f4"), np.dtype("f4"))


def write(folder: Path, name: str, text: str) -> str:
    path = folder / name
    path.write_text(text)
    return str(path)


MANY = 300_000  # rows beyond what the types of a CSV file are first guessed from


def test_a_csv_column_is_what_all_of_its_rows_are(tmp_path: Path) -> None:
    text = "a,b,t\n" + "1,,0\n" * MANY + "2.5,7,0.5\n"
    schema, bound = agree(shards(write(tmp_path, "a.csv", text), "t"), Inline())
    assert schema.kinds == ("number", "number")
    last = list(bound["node0"].blocks())[-1]
    assert last.X[-1].tolist() == [2.5, 7.0]
    assert np.asarray(last.y)[-1] == 0.5
    text = "a,t\n" + "1,0\n" * MANY + "x,no\n"
    schema, _ = agree(shards(write(tmp_path, "b.csv", text), "t"), Inline(), labels=True)
    assert schema.kinds == ("text",)
    assert schema.classes is not None
    assert schema.classes.tolist() == ["0", "no"]


def test_a_csv_file_that_was_written_anew_is_read_anew(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "a,t\n1,0\n2,1\n")
    assert agree(shards(path, "t"), Inline())[0].kinds == ("number",)
    write(tmp_path, "a.csv", "a,t\nred,0\nblue,1\n")
    assert agree(shards(path, "t"), Inline())[0].kinds == ("text",)


def test_booleans_and_integer_labels_of_csv(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "f,t\ntrue,3\n,1\nfalse,3\n")
    schema, bound = agree(shards(path, "t"), Inline(), labels=True)
    (block,) = bound["node0"].blocks()
    np.testing.assert_array_equal(block.X[:, 0], [1, np.nan, 0])
    assert schema.classes is not None
    assert schema.classes.dtype.kind == "i"
    assert np.asarray(block.y).tolist() == [1, 0, 1]


def test_a_node_whose_file_has_no_rows_is_a_node(tmp_path: Path) -> None:
    full, empty = write(tmp_path, "a.csv", "a,t\n1,0\n2,1\n"), write(tmp_path, "b.csv", "a,t\n")
    schema, bound = agree(shards({"p": empty, "q": full}, "t"), Inline(), labels=True)
    assert schema.rows == 2
    assert list(bound["p"].blocks()) == []


def good(folder: Path) -> str:
    PARTS[0].to_parquet(folder / "good.parquet")
    return str(folder / "good.parquet")


def cut(folder: Path) -> str:
    (folder / "cut.parquet").write_bytes(Path(good(folder)).read_bytes()[:3000])
    return str(folder / "cut.parquet")


def damaged(folder: Path) -> str:
    data = bytearray(Path(good(folder)).read_bytes())
    data[4:40] = b"\xff" * 36
    (folder / "bad.parquet").write_bytes(data)
    return str(folder / "bad.parquet")


NUMBERS = "a,t\n" + "1,0\n" * MANY
WRONG: list[tuple[Callable[[Path], Any], dict[str, Any], str]] = [
    (
        lambda d: {"va": cut(d)},
        {},
        "node 'va', agreeing on a schema: {d}/cut.parquet cannot be read: Parquet",
    ),
    (lambda d: {"va": damaged(d)}, {}, "node 'va', agreeing on a schema: {d}/bad.parquet cannot be read"),
    (lambda d: write(d, "e.csv", ""), {}, "{d}/e.csv is empty. Write it again with a header"),
    (
        lambda d: write(d, "c.csv", NUMBERS + "1"),
        {},
        "{d}/c.csv cannot be read: CSV parse error: Row #300002",
    ),
    (lambda d: write(d, "x.txt", "a"), {}, "'{d}/x.txt' is no format that we read. Files end with .parquet"),
    (lambda d: d / "*.csv", {}, "no file matches '{d}/*.csv'. It was searched for at {d}/*.csv"),
    (lambda d: d / "none.csv", {}, "no file matches '{d}/none.csv'"),
    (lambda d: "nowhere://x/y.csv", {}, "'nowhere://x/y.csv' cannot be listed: Protocol not known"),
    (
        good,
        {"target": "tt"},
        "column 'tt': target= names a column that is not there in {d}/good.parquet. Did you",
    ),
    (good, {"by": "sites"}, "column 'sites': by= names a column that is not there in {d}/good.parquet"),
    (
        good,
        {"columns": ["A"]},
        "columns= names a column that is not there in {d}/good.parquet. Did you mean 'a'",
    ),
    (good, {"target": np.ones(200)}, "target= is an array, and the rows are in files"),
    (
        lambda d: [write(d, "p.csv", "a,t\n1,0\n"), write(d, "q.csv", NUMBERS + "?,1\n")],
        {},
        "column 'a': '?' in row 300002 of {d}/q.csv is text where the files before it hold numbers",
    ),
    (
        lambda d: [write(d, "p.csv", "a,b,t\n1,2,0\n"), write(d, "q.csv", "a,c,t\n1,2,0\n")],
        {},
        "column 'b': {d}/p.csv has this column and {d}/q.csv does not",
    ),
    (
        lambda d: {"p": write(d, "p.csv", "a,t\n1,0\n"), "q": write(d, "q.csv", NUMBERS + "n/k,1\n")},
        {},
        "column 'a': text here (for example 'n/k' in row 300002 of {d}/q.csv), but numbers at 'p'",
    ),
    (
        lambda d: write(d, "d.csv", "a,a,t\n1,2,0\n"),
        {},
        "column 'a': two columns of {d}/d.csv have this name",
    ),
]


@pytest.mark.parametrize(("data", "options", "text"), WRONG, ids=[text[-45:] for *_, text in WRONG])
def test_files_that_cannot_be_used_are_named(
    tmp_path: Path, data: Callable[[Path], Any], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(TalkootError) as caught:
        agree(shards(data(tmp_path), **{"target": "t", **options}), Inline(), labels=True)
    assert isinstance(caught.value, DataError)
    assert text.format(d=tmp_path) in str(caught.value)
    assert caught.value.cure


def test_a_file_that_is_gone_by_the_time_it_is_read(tmp_path: Path) -> None:
    made = shards({"va": good(tmp_path)}, "t")
    (tmp_path / "good.parquet").unlink()
    with pytest.raises(DataError, match="node 'va'.*is not there. Look at the path"):
        agree(made, Inline(), labels=True)


def test_small_shards_are_decoded_once_and_forgotten_with_the_shard(tmp_path: Path) -> None:
    before = CACHE.free
    _, bound = agree(shards(good(tmp_path), "t", weight="w"), Inline(), labels=True)
    first = [block.X["a"] for block in bound["node0"].blocks()]
    again = [block.X["a"] for block in bound["node0"].blocks()]
    assert all(a is b for a, b in zip(first, again, strict=True))
    assert CACHE.free < before
    del bound
    assert CACHE.free == before


STREAM = """
import resource, sys
import numpy as np
from talkoot.data.schema import agree
from talkoot.data.shards import shards
from talkoot import Inline
_, bound = agree(shards(sys.argv[1]), Inline())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = sum(len(block) for block in bound["node0"].blocks())
print(rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - peak)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_a_single_huge_row_group(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rows = 2_000_000  # 240 MB in one row group
    table = pa.table({f"c{i}": rng.random(rows, dtype=np.float32) for i in range(30)})
    pq.write_table(table, tmp_path / "huge.parquet", row_group_size=rows, compression="none")
    done = subprocess.run(
        [sys.executable, "-c", STREAM, str(tmp_path / "huge.parquet")],
        capture_output=True,
        text=True,
        check=True,
    )
    read_rows, grown = map(int, done.stdout.split())
    assert read_rows == rows
    assert grown < 100_000  # kB
