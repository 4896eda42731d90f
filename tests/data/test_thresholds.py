"""Between organisations a column shows nothing that fewer rows have than the threshold."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import talkoot as tk
from examples import examples
from talkoot.core.errors import SchemaError
from talkoot.core.query import Answer
from talkoot.data.contract.checks.run import examine
from talkoot.data.contract.column import RANKS
from talkoot.data.contract.contract import Contract
from talkoot.data.contract.profile import Profile
from talkoot.data.inventory import Inventory
from talkoot.data.shards import shards

pytestmark = pytest.mark.wide

TEXTS = ("a", "b", "c", "?", "7", "12.5", "Ola Nordmann")
NUMBERS = st.one_of(
    st.sampled_from([0.0, 1.0, 2.0, -9.0, 99.0]),
    st.floats(-1e6, 1e6, width=32),
    st.sampled_from([None, np.inf]),
)
COLUMNS = st.fixed_dictionaries(
    {
        "least": st.integers(5, 12),
        "number": st.lists(NUMBERS, min_size=12, max_size=120),
        "seed": st.integers(0, 1000),
        "texts": st.integers(1, len(TEXTS)),
        "share": st.floats(0, 1),
    }
)


def answer(table: dict[str, Any], least: int, target: str | None = None) -> Answer:
    query = Profile(least=least, salt="salt")
    found: Answer = query.run(shards({"oslo": pa.table(table)}, target), tk.Inline())["oslo"]
    return found


def drawn(given: dict[str, Any]) -> dict[str, Any]:
    """A column of numbers, one of texts, and one of numbers with texts among them."""
    rows, rng = len(given["number"]), np.random.default_rng(given["seed"])
    texts = rng.choice(np.array([*TEXTS[: given["texts"]], None], dtype=object), rows)
    odd = rng.random(rows) < given["share"] / 2
    among = np.where(odd, rng.choice(TEXTS, rows), rng.normal(size=rows).round(2).astype(str))
    return {"number": given["number"], "text": texts.tolist(), "among": among.tolist()}


@given(COLUMNS)
@examples(80)
def test_no_count_below_the_threshold_leaves(given: dict[str, Any]) -> None:
    least, table = given["least"], drawn(given)
    found = answer(table, least)
    for index, values in enumerate(table.values()):
        rows, *counts = found[f"{index}.facts"].tolist()
        counts += found[f"{index}.strays"].tolist()
        counts += found.get(f"{index}.counts", np.zeros(0)).tolist()
        assert rows == len(values)
        assert all(count == 0 or count >= least for count in counts)
        known = Counter(values)
        for value in found.get(f"{index}.values", np.zeros(0)).tolist():
            assert known[value] >= least


@given(COLUMNS)
@examples(80)
def test_what_is_hidden_cannot_be_reckoned(given: dict[str, Any]) -> None:
    """What the counts that are shown leave over is nothing, or as many rows as the threshold."""
    least = given["least"]
    found = answer(drawn(given), least)
    for index in range(3):
        if f"{index}.counts" in found:
            rows, missing, infinite = found[f"{index}.facts"].tolist()
            rest = rows - missing - infinite - int(found[f"{index}.counts"].sum())
            assert rest == 0 or rest >= least or not len(found[f"{index}.counts"])


@given(COLUMNS)
@examples(80)
def test_no_quantile_is_near_an_end_or_a_single_row(given: dict[str, Any]) -> None:
    least, values = given["least"], given["number"]
    known = np.sort([value for value in values if value is not None and np.isfinite(value)])
    grid = answer({"number": values}, least).get("0.grid")
    if grid is None:
        return
    assert known[least] <= grid[0] <= grid[-1] <= known[-least - 1]
    assert len(grid) == len(RANKS)


@given(COLUMNS, st.integers(0, 4), st.booleans())
@examples(80)
def test_how_far_out_the_farthest_rows_lie_does_not_show(
    given: dict[str, Any], changed: int, least_too: bool
) -> None:
    """Fewer rows than the threshold, however great: the answer is the same byte for byte."""
    rng = np.random.default_rng(given["seed"])
    values = np.sort(rng.normal(size=len(given["number"])))
    other = values.copy()
    other[len(values) - changed :] += 1e6
    if least_too:
        other[0] -= 1e6
    for name, leaf in answer({"x": values}, 5).items():
        np.testing.assert_array_equal(answer({"x": other}, 5)[name], leaf, err_msg=name)


def test_each_mean_is_of_as_many_rows_as_the_threshold() -> None:
    values = np.arange(100.0)
    values[50] = 50_000.0  # moves to the end, so every other row moves by one
    found, near = (answer({"x": each}, 10)["0.grid"] for each in (values, np.delete(values, 50)))
    assert found.max() < 100
    assert np.abs(found - near).max() < 1.5


def test_neither_texts_nor_paths_nor_hashes_leave(tmp_path: Any) -> None:
    lines = ["age,name,ill", *(f"{20 + i % 50},canary{i},{i % 2}" for i in range(80))]
    lines[13] = "canary-cell,canary12,0"
    (tmp_path / "canary.csv").write_text("\n".join(lines))
    given = shards({"oslo": str(tmp_path / "canary.csv")}, "ill")
    for query in (Profile(least=5, salt="salt"), Inventory(labels=True, target="ill", least=5)):
        found = query.run(given, tk.Inline())["oslo"]
        shown = repr({name: np.asarray(leaf).tolist() for name, leaf in found.items()})
        assert "canary" not in shown.replace("'name'", "")
        assert len(found.get("hashes", ())) == 0
    open_answer = Profile(salt="salt").run(given, tk.Inline())["oslo"]
    assert "canary-cell" in repr({name: np.asarray(leaf).tolist() for name, leaf in open_answer.items()})


def test_a_label_of_few_rows_is_not_reported_nor_the_mean_of_few_values() -> None:
    table = {"x": [1.0] + [np.nan] * 39, "y": ["yes"] * 19 + ["no"] * 18 + ["canary"] * 3}
    found = Inventory(labels=True, target="y", least=5).run(
        shards({"oslo": pa.table(table)}, "y"), tk.Inline()
    )
    assert found["oslo"]["classes"].tolist() == ["no", "yes"]
    assert np.isnan(found["oslo"]["center"]).all()
    none = Inventory(labels=True, least=20).run(shards({"oslo": pa.table(table)}, "y"), tk.Inline())
    assert none["oslo"]["classes"].tolist() == []


def check(tables: dict[str, dict[str, Any]], least: int, target: str | None = None) -> Contract:
    given = shards({name: pa.table(table) for name, table in tables.items()}, target)
    found = Profile(least=least, salt="salt").run(given, tk.Inline())
    return examine(found, tuple(given), target=target or "target")


@pytest.mark.parametrize("least", [5, 20])
def test_rows_split_at_random_give_no_findings(least: int) -> None:
    for seed in range(6):
        rng = np.random.default_rng(seed)
        tables = {}
        for name, rows in zip(
            ("bergen", "lund", "oslo"), rng.choice([40, 123, 200, 303, 5000], 3), strict=True
        ):
            x = rng.normal(size=rows)
            tables[name] = {
                "normal": x,
                "skewed": np.exp(2 * x),
                "zeros": np.where(rng.random(rows) < 0.7, 0, x**2),
                "counts": rng.poisson(3, rows).astype(float),
                "rare": (rng.random(rows) < 0.06).astype(float),
                "code": rng.choice(list("abcdef"), rows, p=[0.4, 0.3, 0.2, 0.05, 0.03, 0.02]),
                "holes": np.where(rng.random(rows) < 0.08, np.nan, x),
                "y": rng.integers(0, 2, rows),
            }
        found = check(tables, least, "y").findings
        assert [str(one) for one in found if one.kind != "duplicates"] == [], seed


def test_what_differs_is_found_and_says_how_little_it_knows() -> None:
    rng = np.random.default_rng(0)

    def rows(count: int, height: float = 1.0, holes: float = 0.0) -> dict[str, Any]:
        chol = np.where(rng.random(count) < holes, np.nan, rng.normal(220, 40, count))
        return {"height": rng.normal(170, 10, count) / height, "chol": chol, "cp": rng.integers(1, 5, count)}

    tables = {"bergen": rows(300), "lund": rows(280), "oslo": rows(250, height=2.54, holes=0.3)}
    found = {one.kind: str(one) for one in check(tables, 20).findings}
    assert "centimetres there" in found["units"] or "inches here" in found["units"]
    assert "fewer than 20 rows at bergen" in found["missing"]
    assert "were not looked for" in found["duplicates"]


def test_another_unit_is_found_also_where_a_site_has_few_rows() -> None:
    rng = np.random.default_rng(0)
    tables = {
        name: {"mean radius": rng.gamma(16, 0.9, rows) * factor, "cost": rng.normal(size=rows)}
        for name, rows, factor in (("bergen", 48, 1), ("oslo", 130, 1), ("turku", 329, 10))
    }
    found = [str(one) for one in check(tables, 20).findings if one.kind != "duplicates"]
    assert len(found) == 1
    assert "mean radius: the unit" in found[0]
    assert "a factor of 10" in found[0]


def test_labels_that_are_text_are_compared_and_rare_ones_not_shown() -> None:
    shares = {"bergen": [0.7, 0.3], "lund": [0.3, 0.7]}
    rng = np.random.default_rng(0)
    tables = {
        name: {
            "x": rng.normal(size=300),
            "y": np.where(np.arange(300) < 4, "canary", rng.choice(["no", "yes"], 300, p=p)),
        }
        for name, p in shares.items()
    }
    found = [str(one) for one in check(tables, 20, "y").findings if one.kind == "labels"]
    assert len(found) == 1
    assert "total variation" in found[0]
    assert "canary" not in found[0]


def test_text_among_numbers_is_counted_and_not_shown() -> None:
    rng = np.random.default_rng(0)
    here = rng.normal(200, 30, 200).round(1).astype(str).astype(object)
    here[[3, 17]] = "canary"
    few = here.copy()
    few[40:80] = "?"
    elsewhere = rng.normal(200, 30, 200)
    for column, what in (
        (here, "fewer than 20 rows hold text in"),
        (few, "42 rows hold text, such as '?', in"),
    ):
        (found,) = (
            one
            for one in check({"a": {"chol": elsewhere}, "b": {"chol": column}}, 20).findings
            if one.kind == "text"
        )
        assert (found.severity, found.place) == ("error", "b, chol")
        assert what in found.what
        assert "site.toml" in found.cure
        assert "canary" not in str(found)
    with pytest.raises(SchemaError, match="text here, but numbers at 'a'"):
        _agreed({"a": {"chol": elsewhere}, "b": {"chol": here}})


def _agreed(tables: dict[str, dict[str, Any]]) -> None:
    from talkoot.data.schema import _common

    given = shards({name: pa.table(table) for name, table in tables.items()})
    _common(Inventory(least=20).run(given, tk.Inline()), None, False)
