"""What nodes keep of the rows between the passes of a step."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from composing import SICK, TABLE, X, Y, classic, nodes
from scipy import sparse
from sklearn.linear_model import HuberRegressor, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import talkoot as tk
from talkoot.core.context import Ctx
from talkoot.core.shard import Block, InMemory
from talkoot.core.update import Update
from talkoot.data.schema import agree
from talkoot.data.shards import shards
from talkoot.learners import learner_for
from talkoot.learners.compose import block_cache as block_cache
from talkoot.learners.compose.block_cache import BlockCache

TRIED = 3  # times that a function is tried on all rows: twice, and in reverse order


def passes(limit: int, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """How often rows were transformed once the function had been tried, and how many rounds there were."""
    seen = []

    def noted(rows: np.ndarray) -> np.ndarray:
        seen.append(len(rows))
        return rows + 1.0

    monkeypatch.setattr(block_cache, "CACHE_BYTES", limit)
    fit = tk.fit(make_pipeline(FunctionTransformer(noted), HuberRegressor()), X, Y, on=tk.Inline())
    return seen.count(len(X)) - TRIED, len(fit.history) - 1


def test_rows_are_transformed_twice_however_many_passes_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    count, rounds = passes(1 << 20, monkeypatch)
    assert count == 2 < rounds


def test_rows_that_are_too_many_are_transformed_in_every_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    count, rounds = passes(X.nbytes - 1, monkeypatch)
    assert count == rounds + 1  # once in vain


def test_the_limit_is_for_all_nodes_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_cache, "CACHE_BYTES", X.nbytes)
    shard = InMemory(name="a", held=(Block(X=X),))
    assert BlockCache().through(shard, 1)[1].blocks is not None
    assert BlockCache().through(shard, 2)[1].over


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_the_answer_does_not_depend_on_it(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = make_pipeline(classic(), LogisticRegression(tol=1e-8))
    want = tk.fit(estimator, nodes(TABLE, SICK, 3), on=tk.Inline()).model.predict_proba(TABLE)
    monkeypatch.setattr(block_cache, "CACHE_BYTES", limit)
    got = tk.fit(estimator, nodes(TABLE, SICK, 3), on=tk.Inline()).model.predict_proba(TABLE)
    np.testing.assert_array_equal(got, want)


def test_blocks_count_what_they_hold() -> None:
    rows = sparse.csr_array(X)
    stored = rows.data.nbytes + rows.indices.nbytes + rows.indptr.nbytes
    for block, size in ((Block(X=rows), stored), (Block(X={"a": Y, "b": Y}), 2 * Y.nbytes)):
        shard = InMemory(name="a", held=(block,))
        assert block_cache._read(shard, size).blocks == (block,)
        assert block_cache._read(shard, size - 1).over


def test_what_is_kept_does_not_travel() -> None:
    learner = learner_for(make_pipeline(FunctionTransformer(np.arctan), HuberRegressor()))
    schema, bound = agree(shards(X, Y), tk.Inline())
    model: Any = learner.init(schema, np.random.default_rng(0))
    model, _ = learner.outer().apply(model, Update(), False)  # the function has been tried
    local, ctx = None, Ctx(node="node0", cohort=("node0",), schema=schema)
    for _ in range(2):
        _, local = learner.work(learner.question(model), local, bound["node0"], ctx)
    assert local is not None
    assert local.cache.blocks is not None
    again = pickle.loads(pickle.dumps(local))
    assert again.cache.blocks is None
    assert len(pickle.dumps(local)) < 1000
