"""XGBRanker and LGBMRanker over nodes, against their own fits of the pooled rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boosted import table
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from test_xgboost_merged import SHAPE, agreed_cuts, margins, trees

import talkoot as tk
from examples import examples
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.data.schema import agree
from talkoot.learners import learner_for
from talkoot.learners.common.queries import by_query
from talkoot.learners.xgboost.cuts import reference

xgboost = pytest.importorskip("xgboost", reason="XGBoost is not installed")
lightgbm = pytest.importorskip("lightgbm", reason="LightGBM is not installed")

RNG = np.random.default_rng(0)
X = np.round(RNG.normal(size=(300, 4)), 1)  # so that XGBoost's own bins are the values
Q = RNG.integers(0, 31, len(X))
Y = np.clip(np.round(X[:, 0] + X[:, 1] ** 2 + RNG.normal(size=len(X)) / 2 + 1), 0, 4)
TABLE = pd.DataFrame(X, columns=[*"abcd"]).assign(relevance=Y, query=Q, site=Q % 3)
WEIGHTS = RNG.uniform(0.5, 2, 31)
ORDER = np.argsort(Q, kind="stable")


def ranker(**params: Any) -> Any:
    return xgboost.XGBRanker(**{"n_estimators": 12, "max_depth": 3, **params})


def light(**params: Any) -> Any:
    return lightgbm.LGBMRanker(**{"n_estimators": 12, "num_leaves": 7, "verbose": -1, **params})


def dealt(
    nodes: int, y: np.ndarray = Y, ids: np.ndarray = Q, w: np.ndarray | None = None
) -> Mapping[str, Any]:
    """Whole queries dealt over nodes in turn, and one node more without any."""
    places = [np.flatnonzero(Q % nodes == node) for node in range(nodes)] + [np.arange(0)]
    columns = [X, y] if w is None else [X, y, w]
    data = {f"n{i}": tuple(each[part] for each in columns) for i, part in enumerate(places)}
    return {"data": data, "qid": {f"n{i}": ids[part] for i, part in enumerate(places)}}


def fitted(estimator: Any, rows: Mapping[str, Any], on: Any = None) -> Any:
    return tk.fit(clone(estimator), **rows, on=on or tk.Inline()).model


def pooled(estimator: Any, y: np.ndarray = Y, w: np.ndarray | None = None) -> Any:
    """Its own fit of all rows, which must stand query by query."""
    queries = {"group": np.unique(Q, return_counts=True)[1]}
    return clone(estimator).fit(X[ORDER], y[ORDER], **queries, sample_weight=w)


def assert_same(model: Any, want: Any, close: float = 1e-6) -> None:
    assert type(model) is type(want)
    np.testing.assert_allclose(model.predict(X), want.predict(X), rtol=0, atol=close)


RANKERS = {
    "ndcg": (ranker(), Y),
    "ndcg without exponents": (ranker(ndcg_exp_gain=False, lambdarank_normalization=False), Y / 2),
    "pairwise": (ranker(objective="rank:pairwise", lambdarank_num_pair_per_sample=3), Y - 2.5),
    "map": (ranker(objective="rank:map"), (Y > 1).astype(float)),
    "drawn pairs": (ranker(lambdarank_pair_method="mean", lambdarank_num_pair_per_sample=2), Y),
    "LightGBM": (light(), Y),
    "LightGBM's xendcg": (light(objective="rank_xendcg", label_gain=[0, 1, 2, 4, 9]), Y),
}


@pytest.mark.parametrize("name", RANKERS)
def test_the_model_is_that_of_the_pooled_rows(name: str) -> None:
    estimator, y = RANKERS[name]
    want = pooled(estimator, y)
    for nodes in (1, 2, 3, 7) if name in ("ndcg", "LightGBM") else (3,):
        assert_same(fitted(estimator, dealt(nodes, y)), want)


@examples(20)
@given(st.permutations(range(31)), st.integers(1, 5))
def test_neither_names_nor_nodes_of_queries_matter(names: list[int], nodes: int) -> None:
    ids = np.array([f"query {name:02d}" for name in names], dtype=object)[Q]
    model, want = fitted(ranker(), dealt(nodes, ids=ids)), pooled(ranker())
    scores = model.predict(X), want.predict(X)
    np.testing.assert_allclose(*scores, rtol=0, atol=1e-4)  # gradients are added in another order


def test_queries_are_weighed_by_xgboost_and_rows_by_lightgbm() -> None:
    assert_same(fitted(ranker(), dealt(3, w=WEIGHTS[Q])), pooled(ranker(), w=WEIGHTS))
    rows = RNG.uniform(0.5, 2, len(X))
    assert_same(fitted(light(), dealt(3, w=rows)), pooled(light(), w=rows[ORDER]))
    with pytest.raises(tk.DataError, match="rows of some query differ in weight"):
        fitted(ranker(), dealt(3, w=rows))


@pytest.mark.parametrize("form", ["table", "nullable", "csv", "parquet"])
def test_queries_are_named_by_a_column(form: str, tmp_path: Path) -> None:
    data: Any = TABLE.astype({"query": "Int64"}) if form == "nullable" else TABLE
    if form == "csv":
        data = tmp_path / "rows.csv"
        TABLE.to_csv(data, index=False)
    elif form == "parquet":
        data = tmp_path / "rows.parquet"
        TABLE.to_parquet(data)
    fit = tk.fit(ranker(), data, "relevance", qid="query", by="site", on=tk.Inline())
    assert fit.model.get_booster().feature_names == [*"abcd"]
    np.testing.assert_allclose(fit.model.predict(TABLE[[*"abcd"]]), pooled(ranker()).predict(X), atol=1e-6)


def test_a_table_is_split_between_queries_and_files_are_not(tmp_path: Path) -> None:
    shards = tk.shards(TABLE, "relevance", qid="query", nodes=4)
    found = [np.unique(np.concatenate([block.qid for block in shard.blocks()])) for shard in shards.values()]
    assert sum(map(len, found)) == len(np.unique(np.concatenate(found))) == 31
    TABLE.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(tk.DataError, match="within queries"):
        tk.shards(tmp_path / "rows.csv", "relevance", qid="query", nodes=4)


def in_workers(estimator: Any, rows: Mapping[str, Any]) -> Any:
    """The model of two processes, which `tk.fit` would not start on one machine."""
    schema, bound = agree(tk.shards(**rows), tk.Inline())
    learner = learner_for(clone(estimator))
    return learner.finish(run(Plan(learner), bound, tk.Local(2), schema=schema).model)


def test_processes_learn_what_one_does() -> None:
    assert_same(in_workers(ranker(), dealt(4)), pooled(ranker()), close=1e-4)


@pytest.mark.parametrize("what", ["weighs", "draws"])
def test_what_follows_from_the_rows_of_one_process(what: str) -> None:
    estimator = ranker(lambdarank_pair_method="mean") if what == "draws" else ranker()
    with pytest.raises(tk.PlanError, match=f"{what}.*by the rows of one process"):
        in_workers(estimator, dealt(4, w=WEIGHTS[Q] if what == "weighs" else None))


MERGED: dict[str, dict[str, Any]] = {
    "ndcg": {},
    "few pairs": {"lambdarank_num_pair_per_sample": "3", "n_estimators": 2},
    "plain": {"lambdarank_normalization": "false", "lambdarank_score_normalization": 0, "n_estimators": 2},
    "without exponents": {"ndcg_exp_gain": False, "reg_alpha": 0.1, "base_score": 0.3},
    "pairwise": {"objective": "rank:pairwise", "n_estimators": 20},
    "map": {"objective": "rank:map", "n_estimators": 20},
    "one tree": {"n_estimators": 1},
}
WIDE, SCORE = table(900)
QUERY = np.random.default_rng(5).integers(0, 70, len(WIDE))


def behind_sums(estimator: Any, nodes: int, y: np.ndarray, *chain: Any) -> Any:
    places = [np.flatnonzero(QUERY % nodes == node) for node in range(nodes)]
    places += [] if chain else [np.arange(0)]  # which masks refuse
    data = {f"n{i}": (WIDE[part], y[part]) for i, part in enumerate(places)}
    qid = {f"n{i}": QUERY[part] for i, part in enumerate(places)}
    return tk.fit(clone(estimator), data, qid=qid, chain=[tk.fixed(), *chain], on=tk.Inline()).model


@pytest.mark.parametrize("name", MERGED)
def test_behind_sums_trees_are_xgboosts_own_in_the_same_bins(name: str) -> None:
    estimator = ranker(**{"max_depth": 4, **MERGED[name]})
    y = np.clip(np.round(SCORE + 1), 0, 4)
    y = (y > 1).astype(float) if name == "map" else y
    order, sizes = by_query(QUERY)
    bins = reference(agreed_cuts(WIDE, None), None, 256)
    rows = xgboost.QuantileDMatrix(WIDE[order], y[order], group=sizes, max_bin=256, ref=bins)
    want = xgboost.train(estimator.get_xgb_params() | {"nthread": 1}, rows, estimator.n_estimators)
    model = behind_sums(estimator, 3, y)
    assert type(model) is type(estimator)
    for one, other in zip(trees(model), trees(want), strict=True):
        assert [one[name] for name in SHAPE] == [other[name] for name in SHAPE]
    np.testing.assert_allclose(margins(model, WIDE), margins(want, WIDE), rtol=0, atol=1e-5)


def test_behind_sums_neither_nodes_nor_masks_matter() -> None:
    y = np.clip(np.round(SCORE + 1), 0, 4)
    want = behind_sums(ranker(), 1, y).predict(WIDE)
    for nodes in (2, 7):
        np.testing.assert_array_equal(behind_sums(ranker(), nodes, y).predict(WIDE), want)
    np.testing.assert_array_equal(behind_sums(ranker(), 3, y, tk.mask()).predict(WIDE), want)


def test_behind_sums_weights_and_drawn_pairs_are_refused() -> None:
    with pytest.raises(tk.DataError, match="does not weigh queries yet"):
        tk.fit(ranker(), **dealt(3, w=WEIGHTS[Q]), chain=[tk.fixed()], on=tk.Inline())
    with pytest.raises(tk.NotDistributable, match="nodes draw no pairs"):
        behind_sums(ranker(lambdarank_pair_method="mean"), 3, SCORE)


@pytest.mark.parametrize("estimator", [ranker(), light()], ids=["XGBoost", "LightGBM"])
def test_a_query_at_two_nodes_is_named(estimator: Any) -> None:
    rows = {"here": (X[:99], Y[:99]), "there": (X[99:], Y[99:])}
    with pytest.raises(tk.DataError, match="have rows at two nodes, such as query .* 'here' and 'there'"):
        tk.fit(estimator, rows, qid={"here": Q[:99], "there": Q[99:]}, on=tk.Inline())
    texts = {"here": Q[:99] % 15, "there": (Q[99:] % 15 + 15).astype(str)}
    with pytest.raises(tk.DataError, match="text at some nodes and numbers at others"):
        tk.fit(estimator, rows, qid=texts, on=tk.Inline())


@pytest.mark.parametrize(
    ("estimator", "y", "words"),
    [
        (ranker(), Y + 0.5, "whole number from 0 to 31"),
        (ranker(), Y * 10, "whole number from 0 to 31"),
        (ranker(objective="rank:map"), Y, "0 or 1"),
        (light(), Y * 10, "refuses: Label"),
    ],
    ids=["half", "large", "map", "LightGBM"],
)
def test_relevances_that_cannot_be_learned_from(estimator: Any, y: np.ndarray, words: str) -> None:
    with pytest.raises(tk.DataError, match=words):
        fitted(estimator, dealt(2, y))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"objective": "rank:listwise"}, "rank:pairwise"),
        ({"lambdarank_unbiased": True}, "bias of positions"),
        ({"anything": 1}, "anything"),
    ],
    ids=["objective", "unbiased", "unknown"],
)
def test_parameters_that_are_refused(params: Mapping[str, Any], words: str) -> None:
    with pytest.raises(tk.NotDistributable, match=words):
        learner_for(ranker(**params))


def test_who_ranks_needs_queries_and_nobody_else_takes_them() -> None:
    for estimator in (ranker(), light()):
        with pytest.raises(tk.DataError, match="rows have no query ids"):
            tk.fit(estimator, X, Y, on=tk.Inline())
    with pytest.raises(tk.DataError, match="is for estimators that rank"):
        tk.fit(xgboost.XGBRegressor(), X, Y, qid=Q)
    with pytest.raises(tk.PlanError, match=r"tk\.verify.*needs query ids"):
        tk.verify(ranker(), X, Y)


@pytest.mark.parametrize(
    ("ids", "words"),
    [
        (Q + 0.5, "no whole numbers"),
        (np.where(Q == 3, np.nan, Q), "have no query id"),
        (np.c_[Q, Q], "shape"),
        (Q[1:], "query ids have 299"),
        (np.full(len(Q), 2**64 - 1, dtype=np.uint64), "63 bits"),
    ],
    ids=["half", "missing", "two", "short", "large"],
)
def test_ids_that_are_none(ids: np.ndarray, words: str) -> None:
    with pytest.raises(tk.DataError, match=words):
        tk.shards(X, Y, qid=ids)


def test_each_node_in_memory_has_its_own_ids() -> None:
    with pytest.raises(tk.DataError, match="query ids of each node"):
        tk.shards({"a": (X, Y), "b": (X, Y)}, qid={"a": Q})
