from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast, final

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import BernoulliNB, GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from examples import examples
from talkoot.api.fit import fit
from talkoot.api.result import Fit
from talkoot.api.verify.attributes import align_signs, fitted_attributes, relative_difference
from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema, Shard
from talkoot.data.shards import Shards
from talkoot.engines.inline import Inline

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(120, 4)) @ RNG.normal(size=(4, 4)) + [0.0, 1e3, -5.0, 2.0]
LABELS = np.where(ROWS[:, 0] + RNG.normal(size=120) > 0, "ill", "well")
LABELS[30:50] = "odd"  # at one node only
NUMBERS = ROWS @ [1.0, -2.0, 0.5, 3.0] + RNG.normal(size=120)
CUTS = {"a": slice(0, 30), "b": slice(30, 50), "c": slice(50, 120)}
LEFT = np.r_[0:30, 50:120]


@final
@dataclass(frozen=True)
class Sealed(Shard):
    """A node that must not be asked."""

    node: str
    rows: int | None

    @property
    def name(self) -> str:
        return self.node

    def bind(self, schema: Schema, *, target: bool = True) -> Sealed:
        return self

    def blocks(self) -> Iterator[Block]:
        raise AssertionError(f"the rows of {self.node} were touched")


def sealed(done: Fit, but: str) -> Fit:
    rest: Mapping[str, Any] = {n: s if n == but else Sealed(n, s.rows) for n, s in done.job.shards.items()}
    return replace(done, job=replace(done.job, shards=Shards(cast("Any", rest))))


def sites(y: np.ndarray | None) -> dict[str, Any]:
    return {n: ROWS[s] if y is None else (ROWS[s], y[s]) for n, s in CUTS.items()}


def assert_alike(ours: Any, theirs: Any, rtol: float) -> None:
    mine = dict(fitted_attributes(ours))
    for name, value in fitted_attributes(theirs):
        found = align_signs(mine[name], value) if name == "scalings_" else mine[name]
        assert relative_difference(found, value) <= rtol, name


CLOSED = [
    (StandardScaler(), None),
    (PCA(2), None),
    (Ridge(), NUMBERS),
    (LinearRegression(), NUMBERS),
    (GaussianNB(), LABELS),
    (BernoulliNB(), LABELS),
    (LinearDiscriminantAnalysis(), LABELS),
]


@pytest.mark.parametrize(("estimator", "y"), CLOSED, ids=lambda v: type(v).__name__)
def test_closed_forms_are_subtracted_and_no_other_node_is_asked(estimator: Any, y: np.ndarray | None) -> None:
    done = fit(estimator, sites(y), on=Inline())
    left = sealed(done, but="b").forget("b")
    assert left.note == "the sums of node 'b' were subtracted; no other node took part"
    assert list(left.shards) == ["a", "c"]
    assert left.schema.rows == 100
    assert_alike(left.model, clone(estimator).fit(ROWS[LEFT], None if y is None else y[LEFT]), 1e-9)


@examples(30)
@given(st.integers(1, 118), st.integers(0, 2**32 - 1))
def test_whatever_leaves_is_as_if_it_had_never_been(size: int, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(120)
    gone, left = order[:size], order[size:]
    data = {"gone": (ROWS[gone], NUMBERS[gone]), "left": (ROWS[left], NUMBERS[left])}
    model = fit(Ridge(), data, on=Inline()).forget("gone").model
    assert (
        relative_difference(model.predict(ROWS), Ridge().fit(ROWS[left], NUMBERS[left]).predict(ROWS)) < 1e-9
    )


def test_a_solver_starts_again_from_the_present_solution() -> None:
    labels = np.where(LABELS == "odd", "ill", LABELS)
    estimator = LogisticRegression(tol=1e-8, max_iter=1000, solver="newton-cholesky")
    done = fit(estimator, scaled_sites(labels), on=Inline())
    left = done.forget("b")
    assert left.note == "the other nodes fitted again without 'b', from the present solution"
    never = fit(estimator, {n: v for n, v in scaled_sites(labels).items() if n != "b"}, on=Inline())
    assert left.history[0].metrics["loss"] < never.history[0].metrics["loss"]
    assert_alike(left.model, never.model, 1e-6)


def scaled_sites(y: np.ndarray) -> dict[str, Any]:
    Z = StandardScaler().fit_transform(ROWS)
    return {n: (Z[s], y[s]) for n, s in CUTS.items()}


def test_a_class_that_only_the_node_had_is_forgotten_too() -> None:
    estimator = LogisticRegression(tol=1e-8, max_iter=1000, solver="newton-cholesky")
    left = fit(estimator, scaled_sites(LABELS), on=Inline()).forget("b")
    Z = StandardScaler().fit_transform(ROWS)
    assert left.model.classes_.tolist() == ["ill", "well"]
    assert_alike(left.model, clone(estimator).fit(Z[LEFT], LABELS[LEFT]), 1e-6)


def test_what_has_no_inverse_is_fitted_again() -> None:
    left = fit(MinMaxScaler(), sites(None)).forget("b")
    assert left.note == "the other nodes fitted again without 'b', from the start"
    assert_alike(left.model, MinMaxScaler().fit(ROWS[LEFT]), 1e-12)


def test_a_pipeline_is_fitted_again() -> None:
    estimator = make_pipeline(StandardScaler(), Ridge())
    left = fit(estimator, sites(NUMBERS)).forget("b")
    assert "fitted again" in left.note
    assert_alike(left.model, clone(estimator).fit(ROWS[LEFT], NUMBERS[LEFT]), 1e-9)


def test_sums_that_would_lose_their_digits_are_not_subtracted() -> None:
    huge = {"huge": ROWS[:30] * 1e9, "small": ROWS[30:]}
    left = fit(StandardScaler(), huge).forget("huge")
    assert_alike(left.model, StandardScaler().fit(ROWS[30:]), 1e-9)


def test_nodes_leave_one_after_the_other() -> None:
    left = sealed(fit(Ridge(), sites(NUMBERS)).forget("b"), but="a").forget("a")
    assert_alike(left.model, Ridge().fit(ROWS[50:], NUMBERS[50:]), 1e-9)


def test_a_node_that_is_not_there_gets_the_nearest_name() -> None:
    done = fit(StandardScaler(), {"lima": ROWS[:50], "oslo": ROWS[50:]})
    with pytest.raises(DataError, match="there is no node 'lina'. Did you mean 'lima'?"):
        done.forget("lina")
    with pytest.raises(DataError, match="The nodes are 'lima', 'oslo'"):
        done.forget("xyz")
    with pytest.raises(DataError, match="nothing would be left"):
        done.forget("lima").forget("oslo")
    with pytest.raises(DataError, match="no other node has rows"):
        fit(StandardScaler(), {"all": ROWS, "none": ROWS[:0]}).forget("all")


def stored(kind: str, folder: Path, name: str, table: pd.DataFrame) -> Any:
    path = folder / f"{name}.{kind}"
    match kind:
        case "csv":
            table.to_csv(path, index=False)
        case "parquet":
            table.to_parquet(path, index=False)
        case _:
            return table
    return str(path)


@pytest.mark.parametrize("kind", ["csv", "parquet", "memory"])
@pytest.mark.parametrize(
    "estimator",
    [GaussianNB(), LogisticRegression(max_iter=1000), make_pipeline(StandardScaler(), GaussianNB())],
    ids=lambda v: type(v).__name__,
)
def test_the_schema_and_the_report_are_those_of_the_rows_that_remain(
    tmp_path: Path, kind: str, estimator: Any
) -> None:
    Z = StandardScaler().fit_transform(ROWS)
    table = pd.DataFrame(Z, columns=list("pqrs")).assign(ill=LABELS)
    data = {n: stored(kind, tmp_path, n, table[s]) for n, s in CUTS.items()}
    done = fit(estimator, data, "ill", on=Inline())
    assert "b: 20 rows" in str(done.shards)
    whole = done.report(tmp_path / "whole.html").read_text()
    assert "120 rows with 4 features and 3 classes" in whole
    assert ">?<" not in whole

    left = done.forget("b")
    assert left.schema.rows == 100
    assert left.schema.classes is not None
    assert left.schema.classes.tolist() == ["ill", "well"]
    assert str(left.shards) == "Shards(a: 30 rows, c: 70 rows)"
    page = left.report(tmp_path / "left.html").read_text()
    assert "One model from 2 nodes" in page
    assert "100 rows with 4 features and 2 classes" in page
    assert ">?<" not in page
    assert left.forget("a").schema.rows == 70
