"""Runs of compositions: weights, nodes that leave, processes, laws."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
from composing import (
    NUMBERS,
    RNG,
    SICK,
    TABLE,
    N,
    X,
    Y,
    assert_composed_alike,
    classic,
    leaves,
    nodes,
    pooled,
)
from sklearn import config_context
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    PolynomialFeatures,
    StandardScaler,
)

import talkoot as tk
from talkoot.core.context import Ctx
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Outer
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.learners import learner_for
from talkoot.learners.compose.parts import weakest
from talkoot.testing import check_learner
from talkoot.testing.toys import Walk

pytestmark = pytest.mark.wide

W = RNG.uniform(0.1, 3.0, N)


def weighted(rows: np.ndarray, count: int) -> dict[str, Any]:
    index = np.array_split(np.arange(N), count)
    return {f"n{i}": (rows[part], Y[part], W[part]) for i, part in enumerate(index)}


def test_weights_reach_the_last_step() -> None:
    estimator = make_pipeline(StandardScaler(), Ridge())
    got = tk.fit(estimator, weighted(X, 3)).model
    assert_composed_alike(got, pooled(estimator, X, Y, ridge__sample_weight=W), 1e-9)


def test_weights_reach_steps_that_ask_for_them_and_no_others() -> None:
    with config_context(enable_metadata_routing=True):
        scaler = StandardScaler().set_fit_request(sample_weight=True)
        plain = Ridge().set_fit_request(sample_weight=False)
        estimator = make_pipeline(
            ColumnTransformer([("a", scaler, [0, 1]), ("b", MinMaxScaler(), [2])]), plain
        )
        want = pooled(estimator, X, Y, sample_weight=W)
    got = tk.fit(estimator, weighted(X, 3)).model
    assert_composed_alike(got, want, 1e-9)


def test_weights_reach_every_part_of_a_union() -> None:
    union = FeatureUnion([("a", StandardScaler()), ("b", StandardScaler(with_mean=False))])
    assert_composed_alike(tk.fit(union, weighted(X, 2)).model, pooled(union, X, sample_weight=W), 1e-9)


def test_the_caller_s_estimator_is_left_alone() -> None:
    estimator = make_pipeline(classic(), LogisticRegression())
    before = repr(clone(estimator).get_params())
    tk.fit(estimator, nodes(TABLE, SICK, 2))
    assert repr(estimator.get_params()) == before
    assert not hasattr(estimator[0], "transformers_")


def test_the_model_works_without_talkoot(tmp_path: Path) -> None:
    fitted = tk.fit(make_pipeline(classic(), LogisticRegression()), nodes(TABLE, SICK, 2)).model
    (tmp_path / "model").write_bytes(pickle.dumps((fitted, TABLE)))
    script = (
        "import pickle, sys; sys.modules['talkoot'] = None; "
        "model, table = pickle.loads(open(sys.argv[1], 'rb').read()); print(model.predict_proba(table).sum())"
    )
    said = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "model"], capture_output=True, text=True, check=True
    )
    assert float(said.stdout) == pytest.approx(N)


def test_processes_give_the_same_answer() -> None:
    estimator = make_pipeline(classic(), LogisticRegression(tol=1e-10, max_iter=1000))
    data = nodes(TABLE, SICK, 3)
    here, there = (tk.fit(estimator, data, on=on).model for on in (tk.Inline(), tk.Local(2)))
    np.testing.assert_allclose(there.predict_proba(TABLE), here.predict_proba(TABLE), rtol=1e-9)


def test_one_fitted_step_can_be_forgotten_from_its_sums() -> None:
    estimator = make_pipeline(PolynomialFeatures(2), StandardScaler(), "passthrough")
    data = nodes(X, None, 3)
    rest = {name: rows for name, rows in data.items() if name != "n1"}
    left = tk.fit(estimator, data).forget("n1")
    assert "no other node took part" in left.note
    assert_composed_alike(left.model, tk.fit(estimator, rest).model, 1e-9)


def test_later_steps_are_fitted_again_when_a_node_leaves() -> None:
    estimator = make_pipeline(StandardScaler(), Ridge())
    assert not learner_for(estimator).closed
    data = nodes(X, Y, 3)
    rest = {name: rows for name, rows in data.items() if name != "n1"}
    left = tk.fit(estimator, data).forget("n1")
    assert_composed_alike(left.model, tk.fit(estimator, rest).model, 1e-9)


@final
@dataclass(frozen=True)
class Opened(Learner):
    """A composition whose result is its parts, so that all that they learned is compared."""

    inner: Learner

    @property
    def kind(self) -> Kind:
        return self.inner.kind

    @property
    def closed(self) -> bool:
        return self.inner.closed

    def init(self, schema: Schema, rng: np.random.Generator) -> Any:
        return self.inner.init(schema, rng)

    def question(self, model: Any) -> Any:
        return self.inner.question(model)

    def work(self, model: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        return self.inner.work(model, local, shard, ctx)

    def outer(self) -> Outer:
        return self.inner.outer()

    def finish(self, model: Any) -> Any:
        return list(leaves(self.inner.finish(model)).values())


LAWFUL = {"serial": NUMBERS[1], "closed": NUMBERS[13], "union": NUMBERS[5], "columns": NUMBERS[8]}


@pytest.mark.parametrize("estimator", LAWFUL.values(), ids=LAWFUL.keys())
def test_the_laws_hold(estimator: Any) -> None:
    check_learner(Opened(learner_for(estimator)), X[:60], Y[:60], rtol=1e-7)


def test_a_composition_is_as_weak_as_its_weakest_part() -> None:
    assert learner_for(make_pipeline(classic("median"), Ridge())).kind == "exact"
    assert weakest([learner_for(Ridge()), Walk()]) == "averaged"
