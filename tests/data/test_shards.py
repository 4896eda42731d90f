from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from talkoot import Inline, shards
from talkoot.core.errors import DataError
from talkoot.data.schema import agree
from talkoot.data.shards import Shards
from talkoot.data.tables.arrays import ArrayShard
from talkoot.data.tables.source import Source

RNG = np.random.default_rng(0)
X, Y, W = RNG.normal(size=(11, 3)), RNG.integers(0, 2, 11), RNG.random(11)
TABLE = pd.DataFrame(X, columns=list("abc")).assign(
    place=list("vuvuvuvuvuv"), y=np.where(Y, "yes", "no"), w=W
)


def scattered(*shape: int, density: float, kind: str = "csr") -> Any:
    rng = np.random.default_rng(0)
    return getattr(sparse, f"{kind}_array")(rng.random(shape) * (rng.random(shape) < density))


def rows(source: Source) -> tuple[Any, Any, Any]:
    blocks = list(source.blocks())
    first = blocks[0].X
    if isinstance(first, dict):
        wide: Any = {k: np.concatenate([b.X[k] for b in blocks]) for k in first}
    else:
        wide = np.concatenate([b.X if isinstance(b.X, np.ndarray) else b.X.toarray() for b in blocks])
    y, w = ([getattr(b, k) for b in blocks] for k in "yw")
    return wide, None if y[0] is None else np.concatenate(y), None if w[0] is None else np.concatenate(w)


@pytest.mark.parametrize(
    "data",
    [(X, Y, W), (X.tolist(), Y.tolist(), W.tolist()), (TABLE[["a", "b", "c"]], TABLE.y == "yes", TABLE.w)],
)
def test_tuples_of_rows_targets_and_weights(data: Any) -> None:
    got, y, w = rows(shards(data)["node0"])
    np.testing.assert_array_equal(got, X)
    np.testing.assert_array_equal(y, Y)
    np.testing.assert_array_equal(w, W)


@pytest.mark.parametrize("make", [lambda t: t, pl.from_pandas, pa.Table.from_pandas])
def test_tables_of_three_libraries_are_the_same_shard(make: Any) -> None:
    made = shards(make(TABLE), "y", weight="w", columns=["c", "a"])
    got, y, w = rows(made["node0"])
    np.testing.assert_array_equal(got, X[:, [2, 0]])
    assert y.tolist() == TABLE.y.tolist()
    np.testing.assert_array_equal(w, W)
    assert made.target == "y"
    assert made["node0"].layout().names == ("c", "a")


def test_an_index_of_pandas_is_no_feature() -> None:
    table = TABLE[["a"]].set_axis(list("ABCDEFGHIJK"), axis=0)
    assert shards(table)["node0"].layout().names == ("a",)


def test_anything_that_speaks_arrow_is_a_table() -> None:
    class Foreign:
        def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
            return pa.table({"a": [1.0, 2.0]}).__arrow_c_stream__(requested_schema)

    assert rows(shards(Foreign())["node0"])[0].tolist() == [[1.0], [2.0]]


def test_columns_that_pandas_numbers_have_no_names() -> None:
    made = shards(pd.DataFrame(X), 2)
    layout = made["node0"].layout()
    assert (layout.names, layout.named, made.target) == (("0", "1"), False, "2")


def test_text_makes_a_block_of_columns() -> None:
    frame = TABLE[["a", "place"]].assign(
        level=pd.Categorical([1, 2] * 5 + [1]), odd=np.array([None, "x"] * 5 + [None])
    )
    got, _, _ = rows(shards(frame)["node0"])
    assert got["place"].tolist() == TABLE.place.tolist()
    assert got["odd"].tolist() == [None, "x"] * 5 + [None]
    np.testing.assert_array_equal(got["level"], frame.level.astype(float))
    assert rows(shards(np.array([["a", "b"], ["c", "d"]]))["node0"])[0]["1"].tolist() == ["b", "d"]


def test_dense_blocks_are_views_of_the_rows_that_were_given() -> None:
    (block,) = shards(X, Y)["node0"].blocks()
    assert np.shares_memory(block.X, X)
    _, bound = agree(shards(X, Y, nodes=2), Inline(), labels=True)
    for source in bound.values():
        for block in source.blocks():
            assert np.shares_memory(block.X, X)


@pytest.mark.parametrize("kind", ["csr", "csc", "coo", "lil"])
def test_sparse_rows_come_as_csr_of_the_same_values(kind: str) -> None:
    made = shards(scattered(500, 30, density=0.1, kind=kind), nodes=3)
    got = np.concatenate([rows(source)[0] for source in made.values()])
    np.testing.assert_array_equal(got, scattered(500, 30, density=0.1).toarray())
    assert all(block.X.format == "csr" for source in made.values() for block in source.blocks())


def test_doubled_entries_are_summed_without_touching_the_callers_matrix() -> None:
    given = sparse.csr_array((np.array([1.0, 2.0]), np.array([0, 0]), np.array([0, 2])), shape=(1, 2))
    assert rows(shards(given)["node0"])[0].tolist() == [[3.0, 0.0]]
    assert given.nnz == 2


def test_sparse_blocks_cut_large_matrices() -> None:
    given = scattered(20_000, 50, density=0.5)
    made = shards(given)["node0"]
    blocks = list(made.blocks())
    assert len(blocks) > 3
    np.testing.assert_array_equal(np.concatenate([b.X.toarray() for b in blocks]), given.toarray())


@given(st.integers(0, 40), st.integers(1, 9))
def test_dealt_parts_are_even_and_make_the_whole_again(count: int, nodes: int) -> None:
    data = np.arange(float(count)).reshape(-1, 1)
    dealt = shards(data, data[:, 0], nodes=nodes)
    sizes = [source.rows or 0 for source in dealt.values()]
    assert list(dealt) == [f"node{i}" for i in range(nodes)]
    assert sum(sizes) == count
    assert max(sizes) - min(sizes) <= 1
    together = [value for source in dealt.values() for b in source.blocks() for value in b.X[:, 0].tolist()]
    assert together == data[:, 0].tolist()


def test_by_makes_nodes_of_values_and_keeps_the_order_of_rows() -> None:
    made = shards(TABLE, "y", by="place", weight="w")
    assert list(made) == ["u", "v"]
    for place, source in made.items():
        mine = (TABLE.place == place).to_numpy()
        got, y, w = rows(source)
        np.testing.assert_array_equal(got, X[mine])
        assert y.tolist() == TABLE.y[mine].tolist()
        np.testing.assert_array_equal(w, W[mine])
    assert list(shards(TABLE.assign(ward=[1.0, 2.0] * 5 + [1.0]), by="ward")) == ["1", "2"]


def test_shards_travel_as_pickles() -> None:
    for data in (X, sparse.csr_array(X), TABLE):
        source = shards(data)["node0"]
        again = pickle.loads(pickle.dumps(source))
        np.testing.assert_equal(rows(again), rows(source))


def test_shards_of_shards_are_themselves() -> None:
    made = shards(X, Y)
    assert shards(made) is made
    assert repr(shards({"a": X, "b": X[:2]})) == "Shards(a: 11 rows, b: 2 rows)"
    assert made.has_target
    assert not shards(X).has_target


def test_a_node_without_weights_has_weights_of_one_beside_one_with() -> None:
    made = shards({"a": (X, Y, W), "b": (X[:2], Y[:2]), "c": TABLE[["a", "place"]]})
    assert [rows(source)[2].tolist() for source in made.values()] == [W.tolist(), [1, 1], [1] * 11]
    assert rows(shards({"a": (X, Y), "b": (X, Y)})["b"])[2] is None


def test_empty_nodes_are_nodes() -> None:
    schema, bound = agree(shards({"a": (X, Y), "b": (np.empty((0, 3)), np.empty(0))}), Inline(), labels=True)
    assert schema.rows == 11
    assert list(bound["b"].blocks()) == []


WRONG: list[tuple[Any, dict[str, Any], str]] = [
    (TABLE, {"target": "Y"}, "column 'Y': target= names a column that is not there. Did you mean 'y'?"),
    (TABLE, {"weight": "ww"}, "weight= names a column that is not there. Did you mean 'w'?"),
    (TABLE, {"by": "plaice"}, "Did you mean 'place'?"),
    (
        TABLE,
        {"columns": ["a", "zzz"]},
        "column 'zzz': columns= names a column that is not there. The columns are",
    ),
    (TABLE, {"by": "place", "nodes": 2}, "by= and nodes="),
    (TABLE.assign(place=None), {"by": "place"}, "11 rows do not say which node they belong to"),
    (X, {"target": Y[:5]}, "X has 11 rows, but the target has 5"),
    (X, {"target": Y, "weight": W[:5]}, "the sample weights have 5"),
    (X, {"target": "y"}, "target='y' names a column, and arrays have none"),
    (X, {"by": "y"}, "arrays have none"),
    (X, {"columns": [7]}, "columns= has 7, and the array has columns 0 to 2"),
    (X[:, 0], {}, "has shape (11,)"),
    (X, {"nodes": 0}, "leaves no node"),
    ({}, {}, "the dict of nodes is empty"),
    ({"a": X}, {"nodes": 2}, "a dict names the nodes already"),
    ({"a": X}, {"target": Y}, "one array for several nodes"),
    ({"a": (X, Y[:3])}, {}, "node 'a': X has 11 rows, but the target has 3"),
    ((X, Y), {"target": Y}, "given twice"),
    ((X, Y, W, W), {}, "a tuple of 4"),
    (object(), {}, "data of type object cannot be read"),
    (np.array([[1, "a"], [2, 3]], dtype=object), {}, "column '1': it holds text (for example 'a' in row 1"),
    (pd.DataFrame(X, columns=["a", "a", "b"]), {}, "Duplicate column names"),
    (pa.table([[1], [2]], names=["a", "a"]), {}, "column 'a': two columns have this name"),
    (X, {"target": np.array([object()] * 11)}, "several kinds"),
    (X, {"target": np.zeros((11, 2, 2))}, "the target has shape"),
    (X, {"weight": ["heavy"] * 11}, "no numbers"),
    (sparse.csr_array(X.astype(complex)), {}, "complex"),
]


@pytest.mark.parametrize(("data", "options", "text"), WRONG, ids=[text[:40] for _, _, text in WRONG])
def test_what_cannot_be_read_is_refused_with_its_place_and_a_cure(data: Any, options: Any, text: str) -> None:
    with pytest.raises(DataError) as caught:
        shards(data, **options)
    assert text in str(caught.value)
    assert caught.value.cure


def test_rows_at_several_nodes_are_not_dealt_again() -> None:
    with pytest.raises(DataError, match="2 nodes already"):
        shards({"a": X, "b": X}).deal(2)
    with pytest.raises(DataError, match="shards already"):
        shards(shards(X), nodes=2)


def test_too_many_nodes_are_a_mistake() -> None:
    with pytest.raises(DataError, match="would make 10001 nodes"):
        shards(pd.DataFrame({"x": np.zeros(10_001), "id": np.arange(10_001)}), by="id")


def test_large_blocks_are_cut_to_fit_a_cache() -> None:
    source = ArrayShard(name="a", X=np.zeros((50_000, 20)))
    sizes = [block.X.nbytes for block in source.blocks()]
    assert max(sizes) <= 1 << 20
    assert sum(sizes) == source.X.nbytes
    assert len(Shards({"a": source})) == 1


def test_text_among_the_numbers_of_a_data_frame_is_shown_with_its_column() -> None:
    frame = pd.DataFrame({"bp": [1.0, 2.0, 3.0], "age": pd.Series([31, "forty", 52], dtype=object)})
    with pytest.raises(
        DataError,
        match="node 'va', column 'age': it holds text .for example 'forty' in row 2, counted from 1. among",
    ):
        shards({"va": frame})
