from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from talkoot import Inline, shards
from talkoot.core.errors import DataError, SchemaError
from talkoot.core.shard import Schema
from talkoot.data.schema import agree, agree_on
from talkoot.data.shards import Shards

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(20, 3)) + 5, np.tile([0, 1], 10)
TABLE = pd.DataFrame(X, columns=list("abc"))


def agreed(data: Any, target: Any = None, *, labels: bool = False, **options: Any) -> tuple[Schema, Shards]:
    return agree(shards(data, target, **options), Inline(), labels=labels)


def test_the_order_of_columns_is_that_of_the_first_node_with_rows() -> None:
    schema, bound = agreed({"none": TABLE[["b", "a", "c"]][:0], "p": TABLE, "q": TABLE[["c", "a", "b"]]})
    assert schema.names == ("a", "b", "c")
    for node in ("p", "q"):
        np.testing.assert_array_equal(next(bound[node].blocks()).X, X)


def test_the_center_is_near_the_mean_and_ignores_what_is_missing() -> None:
    holes = X.copy()
    holes[::2, 0], holes[3, 1] = np.nan, np.inf
    schema, _ = agreed({"p": X[:5], "q": holes[5:]})
    parts = [X[:5], np.where(np.isfinite(holes[5:]), holes[5:], np.nan)]
    want = np.average([np.nanmean(part, axis=0) for part in parts], axis=0, weights=[5, 15])
    np.testing.assert_allclose(schema.center, want)
    assert agreed(np.full((3, 1), np.nan))[0].center.tolist() == [0.0]


def test_sparse_rows_have_no_center_and_dense_nodes_follow() -> None:
    schema, bound = agreed({"p": sparse.csr_array(X), "q": X})
    assert schema.sparse
    assert not schema.center.any()
    for source in bound.values():
        np.testing.assert_array_equal(next(source.blocks()).X.toarray(), X)


@pytest.mark.parametrize(
    ("parts", "dtype"),
    [
        ((np.float32, np.float32), np.float32),
        ((np.float32, np.float64), np.float64),
        ((np.float32, np.int8), np.float64),
        ((np.int8, np.bool_), np.float64),
    ],
)
def test_float32_stays_only_where_every_node_has_it(parts: tuple[type, type], dtype: type) -> None:
    schema, bound = agreed({str(i): X.astype(kind) for i, kind in enumerate(parts)})
    assert schema.dtype == dtype
    assert {block.X.dtype for source in bound.values() for block in source.blocks()} == {np.dtype(dtype)}


LABELS = [
    Y,
    Y.astype(bool),
    Y.astype(float),
    np.where(Y, "yes", "no"),
    np.where(Y, "yes", "no").astype(object),
]


@pytest.mark.parametrize("labels", LABELS, ids=lambda y: str(y.dtype))
def test_classes_are_the_union_in_the_type_that_numpy_gives(labels: np.ndarray) -> None:
    first, second = labels == labels[0], labels != labels[0]
    given = {"p": (X[first], labels[first]), "q": (X[second], labels[second])}
    schema, bound = agreed(given, labels=True)
    want = np.unique(labels)
    assert schema.classes is not None
    assert schema.classes.dtype.kind == want.dtype.kind
    np.testing.assert_array_equal(schema.classes, want)
    for node, (_, mine) in given.items():
        y = next(bound[node].blocks()).y
        assert y is not None
        assert y.dtype == np.intp
        np.testing.assert_array_equal(want[y], mine)


def test_a_column_of_labels_is_one_target() -> None:
    _, bound = agreed(X, Y[:, None], labels=True)
    np.testing.assert_array_equal(next(bound["node0"].blocks()).y, Y)


def test_numeric_targets_are_float64_with_their_mean_and_width() -> None:
    schema, bound = agreed(X, Y)
    assert schema.outputs == 0
    np.testing.assert_array_equal(np.asarray(schema.target_center), [0.5])
    y = next(bound["node0"].blocks()).y
    assert y is not None
    assert y.dtype == np.float64
    schema, bound = agreed(X, np.c_[Y, X], nodes=2)
    assert schema.outputs == 4
    np.testing.assert_allclose(np.asarray(schema.target_center), np.c_[Y, X].mean(axis=0))


def test_a_column_without_values_goes_along_with_text_and_with_numbers() -> None:
    text = TABLE[["a"]].assign(s=np.array(["u", None] * 10))
    nothing = TABLE[["a"]].assign(s=np.nan)
    schema, bound = agreed({"p": nothing, "q": text, "r": text.assign(s=None)})
    assert schema.kinds == ("number", "text")
    assert {k: next(s.blocks()).X["s"].tolist()[:2] for k, s in bound.items()} == {
        "p": [None, None],
        "q": ["u", None],
        "r": [None, None],
    }
    schema, bound = agreed({"p": TABLE[["a"]].assign(s=None), "q": TABLE[["a"]].assign(s=1)})
    assert schema.kinds == ("number", "number")
    assert np.isnan(next(bound["p"].blocks()).X[:, 1]).all()


def test_columns_left_out_may_be_of_any_kind() -> None:
    table = TABLE.assign(day=pd.Timestamp("2020-01-01"))
    assert agreed(table, columns=["a"])[0].names == ("a",)


def test_listeners_hear_of_the_schema_and_not_of_a_round() -> None:
    heard: list[tuple[str, Mapping[str, Any]]] = []
    with Inline().open(shards(TABLE.assign(y=Y), "y")) as nodes:
        agree_on(nodes, labels=True, emit=lambda *event: heard.append(event))
    assert [event for event, _ in heard] == ["schema"]
    facts = dict(heard[0][1])
    assert facts.pop("seconds") >= 0
    rows = {"node0": 20}
    assert facts == {"rows": 20, "features": 3, "names": ["a", "b", "c"], "classes": [0, 1], "nodes": rows}


def test_bound_shards_know_their_rows_and_encode_only_once() -> None:
    _, bound = agreed(X, np.where(Y, "yes", "no"), labels=True, nodes=2)
    assert [source.rows for source in bound.values()] == [10, 10]
    first, second = (next(bound["node0"].blocks()).y for _ in range(2))
    assert first is not None
    assert second is not None
    assert np.shares_memory(first, second)


NAN = np.where(Y, np.nan, 1.0)
HOUR = pd.Timestamp("2020-01-01")
WRONG: list[tuple[Any, Any, bool, str]] = [
    (
        {"p": TABLE, "q": TABLE.assign(b="?")},
        None,
        False,
        "column 'b': text here (for example '?' in row 1, counted from 1), but numbers at 'p'",
    ),
    (
        {"p": TABLE.assign(b=["1"] * 19 + ["n/k"]), "q": TABLE},
        None,
        False,
        "column 'b': text here (for example 'n/k' in row 20, counted from 1), but numbers at 'q'",
    ),
    (
        {"p": TABLE, "q": TABLE[["a", "b"]]},
        None,
        False,
        "node 'q', agreeing on a schema, column 'c': lacks 'c'",
    ),
    ({"p": TABLE, "q": TABLE.rename(columns={"a": "A"})}, None, False, "lacks 'a' and has 'A' besides"),
    ({"p": TABLE, "q": X}, None, False, "node 'q', agreeing on a schema: the columns have no names here"),
    ({"p": X, "q": X[:, :2]}, None, False, "node 'q', agreeing on a schema: 2 columns here, but 3 at 'p'"),
    (
        {"p": TABLE.assign(d=HOUR)},
        None,
        False,
        "node 'p', agreeing on a schema, column 'd': it holds timestamp",
    ),
    ({"p": X[:0], "q": X[:0]}, None, False, "no node has any rows"),
    (X[:, :0], None, False, "no feature columns"),
    (
        {"p": (X, Y), "q": (X, NAN)},
        None,
        False,
        "node 'q', agreeing on a schema: Input y contains NaN: 10 rows",
    ),
    (X, np.where(Y, np.inf, 1.0), False, "Input y contains infinity"),
    (
        TABLE.assign(y=np.array(["a", None] * 10)),
        "y",
        True,
        "column 'y': Input y contains NaN: 10 rows have no target",
    ),
    (X, X[:, 0], True, "Unknown label type: continuous"),
    (X, X, True, "the target has 3 columns, and a classifier learns one"),
    (TABLE.assign(y="m"), "y", False, "column 'y': the target holds text (for example 'm')"),
    (
        {"p": (X, Y), "q": (X, Y.astype(str))},
        None,
        True,
        "node 'q', agreeing on a schema: the labels are text",
    ),
    ({"p": (X, Y), "q": X}, None, True, "node 'q', agreeing on a schema: there is no target here, but"),
    (X, None, True, "node 'node0', agreeing on a schema: there is no target here"),
    ({"p": (X, Y), "q": (X, X)}, None, False, "the target has 3 outputs here and 0 at 'p'"),
    (
        {"p": (X, Y, np.full(20, np.nan))},
        None,
        False,
        "node 'p', agreeing on a schema: 20 sample weights are",
    ),
]


@pytest.mark.parametrize(("data", "target", "labels", "text"), WRONG, ids=[text[-40:] for *_, text in WRONG])
def test_what_nodes_cannot_agree_on_is_named(data: Any, target: Any, labels: bool, text: str) -> None:
    with pytest.raises((DataError, SchemaError)) as caught:
        agreed(data, target, labels=labels)
    assert text in str(caught.value)


def test_a_label_that_nobody_told_of_is_refused() -> None:
    schema, _ = agreed(X, Y, labels=True)
    with pytest.raises(SchemaError, match="label 7 is none of the classes"):
        shards(X, np.full(20, 7))["node0"].bind(schema)
