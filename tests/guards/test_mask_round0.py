"""Under masks round 0 is masked too: nothing that a site sends in a fit holds a cell, a count or a mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from documented import only_bytes, program
from talkoot.core.errors import SchemaError
from talkoot.core.update import Update
from talkoot.data.inventory import LABELS
from talkoot.data.schema import agree_on
from talkoot.formats.answers import answer_from_bytes
from talkoot.guards import limbs
from talkoot.testing.compare import assert_same

CHAIN = (tk.fixed(), tk.mask())
RNG = np.random.default_rng(8)
X = RNG.normal(size=(90, 3)) + np.array([1e3, 5.0, -2.0])
Y = X @ [0.5, 2.0, -1.0]
LABELS_OF = np.where(np.median(Y) < Y, "ill", "well").astype(object)
PARTS = {"oslo": slice(0, 37), "rome": slice(37, 60), "wien": slice(60, 90)}


def parts(y: Any) -> dict[str, tuple[Any, Any]]:
    return {name: (X[rows], y[rows]) for name, rows in PARTS.items()}


@pytest.fixture
def frames(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, bytes]]:
    """All that sites send, where nothing but bytes leaves them."""
    found: list[tuple[str, bytes]] = []
    site = program("docs/extending.md").Site
    answer = site.answer

    def recorded(self: Any, frame: Any) -> Any:
        reply = answer(self, frame)
        found.append((self.shard.name, bytes(reply)))
        return reply

    monkeypatch.setattr(site, "answer", recorded)
    return found


def traces(value: float) -> list[bytes]:
    """How a number would look in a frame: as a float, and in fixed point."""
    return [np.float64(value).tobytes(), limbs.from_floats(np.array([value])).tobytes()[8:24]]


@pytest.mark.parametrize(
    ("estimator", "target"),
    [(Ridge(), Y), (LogisticRegression(), LABELS_OF), (GaussianNB(), LABELS_OF), (StandardScaler(), Y)],
    ids=lambda each: type(each).__name__,
)
def test_no_cell_no_count_and_no_mean_of_a_site_is_sent(
    estimator: Any, target: Any, frames: list[tuple[str, bytes]]
) -> None:
    masked = tk.fit(estimator, parts(target), on=only_bytes(), chain=CHAIN)
    assert_same(masked.model, tk.fit(estimator, parts(target)).model, rtol=1e-8)
    assert {name for name, _ in frames} == PARTS.keys()
    everything = b"".join(frame for _, frame in frames)
    for rows in PARTS.values():
        numbers = [*X[rows].ravel(), *Y[rows], *X[rows].sum(axis=0), *X[rows].mean(axis=0), Y[rows].sum()]
        for number in numbers:
            assert not any(trace in everything for trace in traces(number))
    answers = [answer_from_bytes(frame) for _, frame in frames]
    sent = [answer for answer in answers if isinstance(answer, Update)]
    assert len(sent) == len(answers)
    counts = [value for update in sent for name, value in update.values.items() if name == "rows"]
    assert all(value.tolist() == [1] for value in counts)
    assert {update.weight for update in sent} <= {0.0, 1.0}


def test_without_masks_the_same_search_finds_them(frames: list[tuple[str, bytes]]) -> None:
    tk.fit(Ridge(), parts(Y), on=only_bytes())
    everything = b"".join(frame for _, frame in frames)
    assert any(trace in everything for trace in traces(Y[PARTS["rome"]].sum()))


def test_the_schema_is_the_same() -> None:
    def schema(chain: Any, y: Any, **more: Any) -> Any:
        with tk.Inline().open(tk.shards(parts(y))) as nodes:
            return agree_on(nodes, chain=chain, **more)

    for y, labels in ((Y, False), (LABELS_OF, True)):
        hidden, plain = (schema(chain, y, labels=labels) for chain in (CHAIN, ()))
        assert hidden.rows is None
        assert plain.rows == {"oslo": 37, "rome": 23, "wien": 30}
        assert hidden.schema.rows == 90
        np.testing.assert_allclose(hidden.schema.center, plain.schema.center, rtol=1e-14)
        assert_same(hidden.schema.classes, plain.schema.classes, rtol=0)
        assert_same(hidden.schema.target_center, plain.schema.target_center, rtol=1e-14)
        assert hidden.schema.dtypes == plain.schema.dtypes


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_files_are_read_by_sites_that_count_their_own_rows(kind: str, tmp_path: Path) -> None:
    for name, rows in PARTS.items():
        table = pd.DataFrame({**{f"x{i}": X[rows, i] for i in range(3)}, "text": "a", "y": Y[rows]})
        if kind == "csv":
            table.to_csv(tmp_path / f"{name}.csv", index=False)
        else:
            table.to_parquet(tmp_path / f"{name}.parquet")
    data = {name: str(tmp_path / f"{name}.{kind}") for name in PARTS}
    found, plain = (
        tk.fit(Ridge(), data, "y", columns=["x0", "x1", "x2"], chain=chain) for chain in (CHAIN, None)
    )
    np.testing.assert_allclose(found.model.coef_, plain.model.coef_, rtol=1e-9)
    assert found.schema.rows == 90


def test_nodes_that_disagree_are_named_without_a_cell(tmp_path: Path) -> None:
    for name, text in (("oslo", "1.5"), ("rome", "canary"), ("wien", "2.5")):
        rows = [f"{number},{text if number == 7 else number},{number}" for number in range(20)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["a,b,y", *rows]))
    data = {name: str(tmp_path / f"{name}.csv") for name in PARTS}
    with pytest.raises(SchemaError, match="node 'rome'.*column 'b': text here, but numbers at") as caught:
        tk.fit(Ridge(), data, "y", chain=CHAIN)
    assert "canary" not in str(caught.value)
    with pytest.raises(SchemaError, match="canary"):
        tk.fit(Ridge(), data, "y")


def test_a_node_all_of_whose_labels_are_rare_is_refused() -> None:
    labels = LABELS_OF.copy()
    labels[PARTS["rome"]] = [f"rare{row // (LABELS - 1)}" for row in range(23)]
    with pytest.raises(SchemaError, match="node 'rome'.*none of the classes that the nodes agreed on"):
        tk.fit(GaussianNB(), parts(labels), chain=CHAIN)
    every = np.array([f"rare{row // (LABELS - 1)}" for row in range(len(labels))])
    with pytest.raises(tk.DataError, match=r"no node has a label.*Declare the classes"):
        tk.fit(GaussianNB(), parts(every), chain=CHAIN)


def test_a_label_of_few_rows_is_not_reported_and_refused_by_name() -> None:
    labels = LABELS_OF.copy()
    labels[40 : 40 + LABELS - 1] = "rare"
    with pytest.raises(SchemaError, match="node 'rome'.*label 'rare' is none of the classes"):
        tk.fit(GaussianNB(), parts(labels), chain=CHAIN)
    labels[40 : 40 + LABELS] = "rare"
    model = tk.fit(GaussianNB(), parts(labels), chain=CHAIN).model
    assert model.classes_.tolist() == ["ill", "rare", "well"]
    assert tk.fit(GaussianNB(), parts(labels), chain=[tk.fixed()]).model.classes_.tolist() == [
        "ill",
        "rare",
        "well",
    ]
