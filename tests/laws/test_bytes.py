"""Law 4 for nodes that only bytes reach: whatever can be fitted gives the same answer through `formats`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest
from composing import MIXED, NUMBERS, SICK, TABLE, X, Y
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from test_engines_agree import KINDS, fit, made

import talkoot as tk
from documented import only_bytes
from talkoot.core.context import Ctx, addressed
from talkoot.core.errors import DataError, NodeFailed
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.transform import Stage, Transform
from talkoot.core.update import Update
from talkoot.data.schema import agree
from talkoot.data.shards import shards
from talkoot.testing.compare import assert_same
from talkoot.testing.engines import FailingNode
from talkoot.testing.toys import Walk

KNOWN = {kind.__name__: kind for kind in (Walk, FailingNode)}


def composed(estimator: Any, engine: Any) -> Any:
    rows, y = (X, Y) if estimator in NUMBERS else (TABLE, SICK)
    return tk.fit(estimator, rows, y if hasattr(estimator, "predict") else None, nodes=3, on=engine).model


@KINDS
def test_bytes_do_not_change_answers(kind: type) -> None:
    assert_same(fit(made(kind), only_bytes(KNOWN)), fit(made(kind), tk.Inline()), rtol=0)


@pytest.mark.parametrize("estimator", [*NUMBERS, *MIXED], ids=lambda each: type(each).__name__)
def test_nor_do_they_those_of_compositions(estimator: Any) -> None:
    if "lambda" in repr(estimator):
        with pytest.raises(tk.PlanError, match="<lambda>. cannot be imported by a name.*module of its own"):
            composed(estimator, only_bytes(KNOWN))
    else:
        assert_same(composed(estimator, only_bytes(KNOWN)), composed(estimator, tk.Inline()), rtol=0)


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_nor_those_of_trees_with_categories(loss: str) -> None:
    site = np.random.default_rng(0).choice(["Aachen", "Köln", "Ulm"], 300)
    arm = pd.Categorical([1, 2] * 150)
    frame = pd.DataFrame({"dose": np.arange(300.0), "site": pd.Categorical(site), "arm": arm})
    y = np.char.str_len(site) + frame["dose"] * frame["arm"].astype(float)
    estimator = HistGradientBoostingRegressor(loss=loss, max_iter=3, early_stopping=True)
    fits = [
        tk.fit(estimator, frame, y.to_numpy(), nodes=3, on=engine)
        for engine in (only_bytes(KNOWN), tk.Inline())
    ]
    found, want = (each.model for each in fits)
    assert any(tree.nodes["is_categorical"].any() for trees in want._predictors for tree in trees)
    np.testing.assert_array_equal(found.predict(frame), want.predict(frame))


CHAINS: tuple[list[Transform], ...] = (
    [],
    [tk.weigh("rows")],
    [tk.weigh("rows"), tk.quantize(bits=4)],
    [tk.weigh("nodes"), tk.topk(0.5)],
)


@pytest.mark.parametrize("chain", CHAINS, ids=str)
@pytest.mark.parametrize("merge", [None, tk.Median(), tk.TrimmedMean(0.2)], ids=str)
def test_every_chain_and_every_merge(chain: list[Transform], merge: Any) -> None:
    if merge is not None and any(link.sum_only for link in chain):
        pytest.skip("what each node sends cannot be read by itself")
    schema, bound = agree(shards(X, nodes=4), tk.Inline())
    plan = Plan(Walk(), chain=chain, merge=merge, sync=tk.rounds(4, sample=0.75))
    found, want = (
        run(plan, bound, engine, schema=schema).model for engine in (only_bytes(KNOWN), tk.Inline())
    )
    assert_same(found, want, rtol=0)


class Phased(Transform):
    """Adds a number that a neighbour has sent to it alone, and takes away the one that it sent."""

    stage = Stage.MASK
    before = ("keys",)

    def answer(self, phase: str, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        at = ctx.cohort[(ctx.cohort.index(ctx.node) + 1) % len(ctx.cohort)]
        key = ctx.rng("key").integers(100, size=1).astype(float)
        return Update(values={addressed(at, "key"): key}), key

    def encode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        (key,) = [values["key"] for values in ctx.posted("keys").values() if values]
        return Update(values={"at": update.values["at"] + key - state}, weight=update.weight), None

    def decode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        return update, None


def test_phases_of_a_guard_travel_too() -> None:
    link = dataclass(frozen=True)(Phased)
    schema, bound = agree(shards(X, nodes=4), tk.Inline())
    plan = Plan(Walk(), chain=[link()], sync=tk.rounds(2))
    engines = (only_bytes({"Walk": Walk, "Phased": link}), tk.Inline())
    found, want = (run(plan, bound, engine, schema=schema).model for engine in engines)
    assert_same(found, want, rtol=0)


def test_a_module_of_torch_travels_by_the_name_that_a_site_has_registered() -> None:
    torch = pytest.importorskip("torch")

    def build() -> Any:
        module = torch.nn.Linear(5, 1)
        return module, torch.optim.SGD(module.parameters(), lr=0.001)

    task = tk.Torch(build, loss=torch.nn.functional.mse_loss, batch=24, epochs=2)
    data, y = X.astype("float32"), Y.astype("float32")[:, None]
    plan = tk.Plan(task, chain=[tk.weigh("rows")], sync=tk.every(steps=5))
    found, want = (
        tk.run(plan, tk.shards(data, y, nodes=2), on=engine, progress=False).model
        for engine in (only_bytes({"line": task}), tk.Inline())
    )
    assert torch.equal(found.weight, want.weight)
    with pytest.raises(tk.PlanError, match='Torch is no part .*registered={"name": it}'):
        tk.run(plan, tk.shards(data, y, nodes=2), on=only_bytes(), progress=False)


def test_errors_of_a_site_name_the_node_and_keep_their_kind() -> None:
    schema, bound = agree(shards(X, nodes=3), only_bytes(KNOWN))
    with pytest.raises(NodeFailed, match=r"(?s)node 'node1', round 0.*KeyError"):
        run(Plan(FailingNode("node1"), sync=tk.rounds(1)), bound, only_bytes(KNOWN), schema=schema)
    holes = X.copy()
    holes[0, 0] = np.nan
    with pytest.raises(DataError, match="node 'node0'.*missing") as caught:
        tk.fit(Ridge(), holes, Y, nodes=3, on=only_bytes(KNOWN))
    assert type(caught.value) is DataError


def test_functions_of_a_module_are_run_only_where_they_are_trusted() -> None:
    estimator = make_pipeline(FunctionTransformer(np.nan_to_num), StandardScaler())
    with pytest.raises(DataError, match="'numpy.nan_to_num', which would be imported"):
        tk.fit(estimator, X, on=only_bytes(KNOWN))


def test_text_travels() -> None:
    assert_same(fit(HashingVectorizer(), only_bytes(KNOWN)), fit(HashingVectorizer(), tk.Inline()), rtol=0)
