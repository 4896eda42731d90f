from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn.datasets import load_breast_cancer, load_diabetes

import talkoot as tk
from talkoot.api.check import check
from talkoot.core.errors import DataError
from talkoot.data.contract.contract import Contract

HEART = Path(__file__).parents[3] / "shared" / "data" / "heart4"


def people(rows: int, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "id": [f"{seed}-{i}" for i in range(rows)],
            "height": rng.normal(170, 10, rows),
            "income": rng.lognormal(10, 1, rows),
            "temp": rng.normal(37, 0.7, rows),
            "sex": rng.choice(["M", "F"], rows),
            "kids": rng.poisson(1.2, rows),
            "ill": rng.choice(["yes", "no"], rows, p=[0.3, 0.7]),
        }
    )


A, B, C = people(400, 1), people(300, 2), people(200, 3)


def found(contract: Contract, *kinds: str) -> set[tuple[str, str | None, str | None, str]]:
    """(kind, node, column, severity) of the findings of some kinds; of all for none."""
    chosen = [f for f in contract.findings if not kinds or f.kind in kinds]
    return {(f.kind, f.node, f.column, f.severity) for f in chosen}


def abc(**changed: pd.DataFrame) -> Contract:
    return check({"a": A, "b": B, "c": C, **changed}, "ill", keys="id")


def test_nodes_that_agree_are_left_in_peace() -> None:
    contract = abc()
    assert contract.ok
    assert contract.findings == ()
    assert str(contract) == "3 nodes agree: nothing found in 5 columns of 900 rows (a 400, b 300, c 200)"


@pytest.mark.parametrize("nodes", [2, 5, 12])
@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("load", [load_breast_cancer, load_diabetes])
def test_rows_dealt_at_random_give_no_findings(load: Any, seed: int, nodes: int) -> None:
    table = load(as_frame=True).frame
    place = np.random.default_rng(seed).integers(0, nodes, len(table)).astype(str)
    assert check(table.assign(node=place), "target", by="node").findings == ()


def test_the_same_holds_on_workers() -> None:
    place = np.random.default_rng(0).integers(0, 3, len(A)).astype(str)
    table = A.assign(node=place, temp=np.where(place == "1", A.temp * 10, A.temp))
    here = check(table, "ill", by="node", keys="id", on=tk.Inline())
    there = check(table, "ill", by="node", keys="id", on=tk.Local(2))
    assert here == there
    assert found(here) == {("units", "1", "temp", "warning")}


@pytest.mark.parametrize(
    ("changed", "want"),
    [
        ({"b": B.assign(height=B.height / 2.54)}, ("units", "b", "height", "warning")),
        ({"c": C.assign(temp=C.temp * 1.8 + 32)}, ("units", "c", "temp", "warning")),
        ({"b": B.assign(income=np.log(B.income))}, ("units", "b", "income", "warning")),
        ({"b": B.assign(sex=B.sex.replace("M", " m"))}, ("spelling", "b", "sex", "warning")),
        ({"b": B.assign(sex=B.sex.where(B.index % 3 > 0, "X"))}, ("category", "b", "sex", "warning")),
        ({"b": B.assign(kids=B.kids.where(B.index % 3 > 0, 99))}, ("category", "b", "kids", "warning")),
        ({"b": B.assign(height=B.height.where(B.index % 2 > 0))}, ("missing", "b", "height", "warning")),
        ({"b": B.assign(height=B.height.where(B.index % 9 > 0))}, ("missing", "b", "height", "note")),
        ({"b": B.assign(temp=0.0)}, ("constant", "b", "temp", "warning")),
        ({"b": B.assign(temp=B.temp.where(B.index % 5 > 0, -9))}, ("code", "b", "temp", "warning")),
        ({"b": B.assign(temp=B.temp.where(B.index > 1, np.inf))}, ("infinite", "b", "temp", "warning")),
        ({"b": B.assign(temp=B.temp + 0.7)}, ("shift", "b", "temp", "warning")),
        ({"b": B.assign(ill=np.where(B.index % 3 > 0, "yes", "no"))}, ("labels", "b", "ill", "warning")),
        ({"b": B.assign(ill="yes")}, ("labels", "b", "ill", "warning")),
        ({"b": B.assign(ill=1)}, ("labels", "a", "ill", "error")),
        ({"b": B.assign(ill=B.ill.where(B.index > 1))}, ("labels", "b", "ill", "error")),
        ({"b": B.assign(height="tall")}, ("text", "b", "height", "error")),
        ({"b": B.assign(height=B.height.astype(str))}, ("text", "b", "height", "error")),
        ({"b": B.assign(height=pd.Timestamp("2020"))}, ("type", "b", "height", "error")),
        ({"b": B.drop(columns="kids")}, ("schema", "b", "kids", "error")),
        ({"b": B.assign(more=1)}, ("schema", "b", "more", "error")),
        ({"b": B[:0]}, ("rows", "b", None, "note")),
        ({"b": pd.concat([B, A[:9]])}, ("duplicates", "b", None, "warning")),
        ({"b": pd.concat([B, B[:9]])}, ("keys", "b", None, "warning")),
    ],
    ids=lambda value: "-".join(map(str, value)) if isinstance(value, tuple) else "",
)
def test_what_was_changed_is_found_and_nothing_else(
    changed: dict[str, pd.DataFrame], want: tuple[str, str, str, str]
) -> None:
    contract = abc(**changed)
    assert want in found(contract)
    assert {f.kind for f in contract.findings} == {want[0]}
    assert contract.ok == (want[3] != "error")
    assert all(f.what and f.cure.endswith((".", ")")) for f in contract.findings)


def test_a_column_that_nobody_filled() -> None:
    changed = {name: table.assign(more=np.nan) for name, table in (("a", A), ("b", B), ("c", C))}
    assert found(abc(**changed)) == {("missing", None, "more", "warning")}


def test_signs_for_missing_values_are_named_and_the_rest_is_still_compared() -> None:
    odd = B.assign(height=np.where(B.index % 2 > 0, (B.height / 2.54).astype(str), "?"))
    contract = abc(b=odd)
    assert {("text", "b", "height", "error"), ("units", "b", "height", "warning")} <= found(contract)
    assert {("missing", "b", "height", "warning")} <= found(contract)
    assert "'?' stands in 50% of the rows, first in row 1, counted from 1, and numbers" in str(contract)
    assert "say missing=['?']" in str(contract)


def test_rows_at_two_nodes_without_keys() -> None:
    contract = check({"a": A, "b": pd.concat([B, A[:25]])}, "ill")
    assert found(contract) == {("duplicates", "b", None, "warning")}
    assert "25 row(s) (7.7%) also occur at a" in str(contract)
    common = pd.DataFrame({"x": np.arange(300) % 7})
    assert found(check({"a": common, "b": common})) == {("duplicates", "a", None, "note")}


def test_numeric_targets_and_classes_that_a_node_lacks() -> None:
    rng = np.random.default_rng(0)
    X = rng.normal(size=(600, 2))
    assert found(check({"a": (X[:300], X[:300, 0]), "b": (X[300:], X[300:, 0] + 2)})) == {
        ("shift", "a", "target", "warning")
    }
    y = rng.integers(0, 3, 600)
    contract = check({"a": (X[y < 2], y[y < 2]), "b": (X, y)})
    assert ("labels", "a", "target", "warning") in found(contract)
    assert "no row has the label 2, which 3" in str(contract)


def test_a_target_in_another_unit() -> None:
    rng = np.random.default_rng(0)
    X, cost = rng.normal(size=(600, 2)), rng.lognormal(6, 1, 600)
    tables = {"a": pd.DataFrame(X[:300]).assign(cost=cost[:300])}
    tables["b"] = pd.DataFrame(X[300:]).assign(cost=cost[300:] * 100)
    contract = check({k: t.rename(columns=str) for k, t in tables.items()}, "cost")
    assert found(contract) == {("units", "a", "cost", "warning")}
    assert "whole units of money here and cents there" in str(contract)


def test_sparse_rows_and_rows_without_names() -> None:
    rng = np.random.default_rng(0)
    X = sparse.csr_array(rng.normal(size=(300, 9)) * (rng.random((300, 9)) < 0.9))
    assert check({"a": X[:150], "b": X[150:]}).findings == ()
    assert found(check({"a": rng.normal(size=(50, 3)), "b": rng.normal(size=(50, 4))})) == {
        ("schema", "b", "3", "error")
    }
    named = pd.DataFrame(rng.normal(size=(50, 2)), columns=["a", "b"])
    assert ("schema", "q", None, "error") in found(check({"p": named, "q": named.to_numpy()}))


@pytest.mark.parametrize(
    ("data", "options", "text"),
    [
        (
            {"a": A, "b": B},
            {"keys": "ids"},
            "checking the data, column 'ids': keys= names a column",
        ),
        ({"a": A[:0]}, {}, "no node has any rows"),
        (
            {"a": sparse.csr_array((9, 3000))},
            {},
            "checking the data: the sparse matrix has 3000 columns",
        ),
    ],
)
def test_what_cannot_be_checked_is_said(data: Any, options: dict[str, Any], text: str) -> None:
    with pytest.raises(DataError) as caught:
        check(data, **options)
    assert text in str(caught.value)


def test_one_node_has_nothing_to_be_compared_with() -> None:
    assert found(check(A, "ill")) == {("rows", None, None, "note")}


@pytest.mark.skipif(not HEART.exists(), reason="the four hospitals' data are not here")
def test_four_hospitals() -> None:
    names = ("cleveland", "hungarian", "switzerland", "va")
    contract = check({name: HEART / f"processed.{name}.csv" for name in names}, "target")
    assert not contract.ok
    assert {f.node for f in contract.findings if f.kind == "text"} == {"hungarian"}
    assert found(contract, "constant", "code", "units") == {
        ("constant", "switzerland", "chol", "warning"),
        ("code", "va", "chol", "warning"),
    }
    missing = {f.column: f.what for f in contract.findings if f.kind == "missing"}
    assert missing["ca"] == "missing in 99% at va, 99% at hungarian, 96% at switzerland, 1% at cleveland"
    assert missing["fbs"].startswith("missing in 61% at switzerland")
    assert any("no row has the label 2, 3, 4" in f.what for f in contract.findings)
