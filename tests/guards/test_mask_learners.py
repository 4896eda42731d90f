"""What is learned under masks is what one machine with all rows learns."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
)

import talkoot as tk
from documented import only_bytes
from talkoot.core.engine import Engine
from talkoot.testing.compare import assert_same

pytestmark = pytest.mark.wide

RNG = np.random.default_rng(11)
X = RNG.normal(size=(160, 4)) * [1.0, 20.0, 0.05, 3.0] + [0.0, 100.0, 2.0, -1.0]
Y = X @ [1.0, -0.2, 3.0, 0.5] + RNG.normal(size=160)
LABELS = (np.median(Y) < Y).astype(int)
CHAIN = (tk.fixed(), tk.mask())
ESTIMATORS = (
    Ridge(alpha=2.0),
    LinearRegression(),
    PCA(2),
    StandardScaler(),
    GaussianNB(),
    LogisticRegression(C=1.0),
    RobustScaler(),
    QuantileTransformer(n_quantiles=20),
    make_pipeline(StandardScaler(), LogisticRegression()),
)
EACH = pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda each: type(each).__name__)


def fit(estimator: Any, engine: Engine, chain: Any = CHAIN) -> Any:
    y = LABELS if hasattr(estimator, "predict_proba") else Y if hasattr(estimator, "predict") else None
    return tk.fit(estimator, X, y, nodes=4, on=engine, chain=chain).model


@EACH
def test_masks_do_not_change_a_bit_and_pooled_rows_give_the_same(estimator: Any) -> None:
    masked = fit(estimator, tk.Inline())
    assert_same(masked, fit(estimator, tk.Inline(), [tk.fixed()]), rtol=0)
    assert_same(masked, fit(estimator, tk.Inline(), []), rtol=1e-6)


@EACH
def test_one_machine_with_all_rows_says_the_same(estimator: Any) -> None:
    masked, alone = fit(estimator, tk.Inline()), clone(estimator)
    alone.fit(X, LABELS if hasattr(alone, "predict_proba") else Y)
    how = next(name for name in ("predict_proba", "predict", "transform") if hasattr(alone, name))
    iterative = "LogisticRegression" in str(estimator)  # each stops within its own tolerance
    np.testing.assert_allclose(
        getattr(masked, how)(X), getattr(alone, how)(X), rtol=0, atol=2e-3 if iterative else 1e-6
    )


@EACH
def test_nor_do_workers_or_bytes(estimator: Any) -> None:
    masked = fit(estimator, tk.Inline())
    for engine in (tk.Local(2), only_bytes()):
        assert_same(fit(estimator, engine), masked, rtol=0)


@pytest.mark.parametrize("estimator", [MinMaxScaler(), OneHotEncoder()], ids=repr)
def test_what_does_not_add_is_refused_with_advice(estimator: Any) -> None:
    with pytest.raises(tk.DataError, match=r"node 'node0'.*no mask can hide.*Declare bounds or a vocabulary"):
        tk.fit(estimator, X.round(), nodes=3, chain=CHAIN)


@pytest.mark.parametrize("kind", [OneHotEncoder, OrdinalEncoder])
def test_a_declared_vocabulary_is_all_that_it_needs(kind: Any) -> None:
    rows = RNG.integers(0, 3, size=(90, 2)).astype(float)
    encoder = kind(categories=[[0.0, 1.0, 2.0]] * 2)
    assert_same(
        tk.fit(encoder, rows, nodes=3, chain=CHAIN).model, tk.fit(encoder, rows, nodes=3).model, rtol=0
    )


def test_names_of_nodes_may_hold_anything() -> None:
    names = ("Krankenhaus Süd", "a/b", "to:3:a/x", " ")
    parts = {name: (X[at::4], Y[at::4]) for at, name in enumerate(names)}
    assert_same(tk.fit(Ridge(), parts, chain=CHAIN).model, tk.fit(Ridge(), parts).model, rtol=1e-9)


def test_a_node_without_rows_is_refused_by_name() -> None:
    parts = {name: (X[a:b], Y[a:b]) for name, a, b in (("a", 0, 50), ("b", 50, 100), ("c", 100, 160))}
    parts["empty"] = (X[:0], Y[:0])
    with pytest.raises(tk.DataError, match="node 'empty'.*no rows here.*Leave the node out"):
        tk.fit(Ridge(), parts, chain=CHAIN)


def test_two_sites_are_refused() -> None:
    with pytest.raises(tk.PlanError, match="a secure sum of 2 nodes hides nothing"):
        tk.fit(Ridge(), X, Y, nodes=2, chain=CHAIN)


def test_to_forget_a_node_is_to_fit_again() -> None:
    masked = tk.fit(Ridge(), X, Y, nodes=5, chain=CHAIN)
    left = masked.forget("node2")
    assert "fitted again" in left.note
    rows = np.concatenate([np.arange(64), np.arange(96, 160)])
    np.testing.assert_allclose(left.model.coef_, Ridge().fit(X[rows], Y[rows]).coef_, rtol=1e-8)


def test_what_a_node_is_worth_stays_hidden() -> None:
    masked = tk.fit(Ridge(), X, Y, nodes=3, chain=CHAIN)
    with pytest.raises(tk.PlanError, match="which masks are there to hide"):
        masked.value()


@pytest.mark.parametrize("engine", [tk.Inline(), tk.Local(2)], ids=repr)
@pytest.mark.parametrize("bits", [{}, {"bits": 64, "limit": 1e4}, {"bits": 32, "limit": 1e3}], ids=str)
def test_modules_of_torch_are_averaged_under_masks(engine: Engine, bits: dict[str, Any]) -> None:
    torch = pytest.importorskip("torch")

    def build() -> Any:
        module = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Linear(3, 1))
        return module, torch.optim.SGD(module.parameters(), lr=0.01)

    rows, y = (X / [1, 100, 1, 3]).astype("float32"), Y.astype("float32")[:, None]
    task = tk.Torch(build, loss=torch.nn.functional.mse_loss, batch=40, epochs=2)

    def trained(chain: Any, on: Engine) -> Any:
        done = tk.fit(task, rows, y, nodes=4, on=on, chain=chain, sync=tk.every(steps=2))
        return {name: value.numpy() for name, value in done.model.state_dict().items()}, done.history

    chain = [tk.weigh("rows"), tk.fixed(**bits)]
    masked, history = trained([*chain, tk.mask()], engine)
    assert_same(masked, trained(chain, tk.Inline())[0], rtol=0)
    assert all(outcome.metrics["loss"] > 0 for outcome in history)
    plain = trained([tk.weigh("rows")], tk.Inline())[0]
    for name, value in plain.items():
        np.testing.assert_allclose(masked[name], value, atol=1e-5 if bits.get("bits") != 32 else 2e-2)
