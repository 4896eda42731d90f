"""Boosting with columns of categories, against scikit-learn's on the pooled rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boosted import assert_same_trees, dealt, together
from disturbing import interrupted
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier as Classifier
from sklearn.ensemble import HistGradientBoostingRegressor as Regressor
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline

import talkoot as tk
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.data.schema import agree
from talkoot.learners.trees.boosting.boosting import Boosting

pytestmark = pytest.mark.wide
RNG = np.random.default_rng(0)
ROWS = 600
SITE: np.ndarray = RNG.choice(list("zyxwvu"), ROWS)
CODE = RNG.integers(0, 40, ROWS)
DOSE = RNG.normal(size=ROWS)
Y = DOSE + np.searchsorted(list("uvwxyz"), SITE) % 3 + np.sin(CODE * 7) + RNG.normal(size=ROWS) * 0.1
KINDS = np.array(["high", "low", "mid"])[np.digitize(Y, [0, 1.5])]
FRAME = pd.DataFrame(
    {
        "dose": np.where(RNG.random(ROWS) < 0.1, np.nan, DOSE),
        "site": pd.Series(SITE).mask(RNG.random(ROWS) < 0.1).astype("category"),
        "code": pd.Categorical(CODE),
        "noise": RNG.normal(size=ROWS),
        "flag": pd.Categorical(RNG.random(ROWS) < 0.5),
    }
)
FITS: dict[str, tuple[Any, np.ndarray]] = {
    "from dtype": (Regressor(max_iter=8), Y),
    "a mask": (Regressor(max_iter=5, categorical_features=[False, True, True, False, False]), Y),
    "places": (Regressor(max_iter=5, categorical_features=[4, 1, 2]), Y),
    "names": (Regressor(max_iter=5, categorical_features=["site", "code"]), Y),
    "numbers too": (Regressor(max_iter=5, categorical_features=["site", "flag"], min_samples_leaf=3), Y),
    "poisson": (Regressor(max_iter=5, loss="poisson"), np.exp(Y / 3)),
    "three classes": (Classifier(max_iter=3), KINDS),
    "few bins": (Regressor(max_iter=5, max_bins=41), Y),
    "monotone": (Regressor(max_iter=5, monotonic_cst=[1, 0, 0, -1, 0]), Y),
    "pairs": (Regressor(max_iter=5, interaction_cst="no_interactions"), Y),
}


def frames(nodes: int, frame: pd.DataFrame, *columns: Any) -> dict[str, Any]:
    """Rows dealt over nodes in turn, and a node without any."""
    parts = [np.arange(len(frame))[node::nodes] for node in range(nodes)] + [np.arange(0)]
    return {f"n{i}": (frame.iloc[at], *(c[at] for c in columns)) for i, at in enumerate(parts)}


def assert_same_categories(got: Any, want: Any, X: Any) -> None:
    """The same trees, the same sets of categories, and the same answers where categories are new."""
    assert_same_trees(got, want, X)
    assert vars(got).keys() == vars(want).keys()
    np.testing.assert_array_equal(got.is_categorical_, want.is_categorical_)
    for ours, theirs in zip(got._predictors, want._predictors, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(one.nodes["bitset_idx"], other.nodes["bitset_idx"])
            np.testing.assert_array_equal(one.raw_left_cat_bitsets, other.raw_left_cat_bitsets)
            np.testing.assert_array_equal(one.binned_left_cat_bitsets, other.binned_left_cat_bitsets)
    assert any(tree.nodes["is_categorical"].any() for trees in want._predictors for tree in trees)


@pytest.mark.parametrize("fit", FITS)
def test_trees_are_those_of_the_pooled_rows(fit: str) -> None:
    estimator, y = FITS[fit]
    want = clone(estimator).fit(FRAME, y)
    new = FRAME.assign(site=pd.Categorical(["new"] * ROWS))
    for nodes in (1, 2, 3, 7) if fit in ("from dtype", "three classes") else (3,):
        got = together(estimator, frames(nodes, FRAME, y))
        assert_same_categories(got, want, FRAME)
        np.testing.assert_allclose(got._raw_predict(new), want._raw_predict(new), rtol=0, atol=1e-9)


def test_weights_and_categories_without_weight() -> None:
    weights = RNG.uniform(0.1, 2, ROWS) * (SITE != "z")
    want = Regressor(max_iter=5).fit(FRAME, Y, sample_weight=weights)
    assert_same_categories(together(Regressor(max_iter=5), frames(3, FRAME, Y, weights)), want, FRAME)


def test_categories_that_only_some_nodes_have() -> None:
    want = Regressor(max_iter=5).fit(FRAME, Y)
    parts = {site: (FRAME[np.equal(SITE, site)], Y[np.equal(SITE, site)]) for site in "zyxwvu"}
    parts = {
        node: (frame.assign(site=frame["site"].cat.remove_unused_categories()), y)
        for node, (frame, y) in parts.items()
    }
    assert_same_categories(together(Regressor(max_iter=5), parts), want, FRAME)


def test_text_without_a_dtype_and_rows_without_names() -> None:
    text = FRAME.astype({"site": object}).drop(columns=["flag"])
    estimator = Regressor(max_iter=5, categorical_features=["site"])
    assert_same_categories(together(estimator, frames(3, text, Y)), clone(estimator).fit(text, Y), text)
    numbers = np.column_stack([DOSE, CODE, RNG.integers(0, 3, ROWS)]).astype(float)
    numbers[RNG.random(numbers.shape) < 0.05] = np.nan
    estimator = Regressor(max_iter=5, categorical_features=[1])
    assert_same_categories(
        together(estimator, dealt(3, numbers, Y)), clone(estimator).fit(numbers, Y), numbers
    )
    mixed = np.column_stack([DOSE.astype(object), SITE.astype(object)])
    estimator = Regressor(max_iter=5, categorical_features=[False, True])
    assert_same_categories(together(estimator, dealt(3, mixed, Y)), clone(estimator).fit(mixed, Y), mixed)


def test_numbers_stay_numbers_where_categories_are_not_wanted() -> None:
    estimator = Regressor(max_iter=3, categorical_features=None)
    whole = FRAME.drop(columns=["site"])
    assert_same_trees(together(estimator, frames(3, whole, Y)), clone(estimator).fit(whole, Y), whole)


def test_whole_numbers_beyond_floats_are_told_apart() -> None:
    ids = pd.DataFrame({"id": pd.Categorical(2**60 + RNG.integers(0, 8, ROWS)), "dose": DOSE})
    y = np.asarray(ids["id"].cat.codes % 3 + DOSE)
    want = Regressor(max_iter=5).fit(ids, y)
    assert_same_categories(together(Regressor(max_iter=5), frames(3, ids, y)), want, ids)
    plain = ids.astype({"id": "int64"})
    estimator = Regressor(max_iter=5, min_samples_leaf=3)
    assert_same_trees(together(estimator, frames(3, plain, y)), clone(estimator).fit(plain, y), plain)


def test_files_and_pipelines(tmp_path: Path) -> None:
    FRAME.assign(target=Y).to_parquet(tmp_path / "rows.parquet")
    got = tk.fit(Regressor(max_iter=5), tmp_path / "rows.parquet", target="target", on=tk.Inline()).model
    read = pd.read_parquet(tmp_path / "rows.parquet").drop(columns=["target"])
    assert_same_categories(got, Regressor(max_iter=5).fit(read, Y), read)
    impute = make_column_transformer((SimpleImputer(), ["dose", "noise"]), remainder="drop")
    within = make_pipeline(impute, Regressor(max_iter=3, categorical_features=[1]))
    coarse = FRAME.assign(noise=CODE % 5)
    want = clone(within).fit(coarse, Y)
    found = together(within, frames(3, coarse, Y))
    np.testing.assert_allclose(found.predict(coarse), want.predict(coarse), rtol=0, atol=1e-9)


@pytest.mark.parametrize("fit", ["from dtype", "three classes"])
def test_it_is_saved_and_verified(fit: str, tmp_path: Path) -> None:
    estimator, y = FITS[fit]
    found = tk.fit(clone(estimator), {"n": (FRAME, y)}, on=tk.Inline())
    found.save(tmp_path / "model")
    again = tk.load(tmp_path / "model")
    for frame in (FRAME, FRAME.assign(site=pd.Categorical(["new"] * ROWS))):
        np.testing.assert_array_equal(again._raw_predict(frame), found.model._raw_predict(frame))
    assert tk.verify(estimator, FRAME, y, nodes=(3,), on=tk.Inline()).ok


@pytest.mark.parametrize(
    ("how", "on"), [("forget", tk.Inline()), ("kill", tk.Local(2))], ids=["forget", "kill"]
)
def test_a_worker_that_loses_its_state_begins_anew(how: str, on: Any, tmp_path: Path) -> None:
    estimator = Regressor(max_iter=4)
    schema, bound = agree(tk.shards(frames(3, FRAME, Y)), tk.Inline(), whole=True)
    learner = interrupted(Boosting(estimator), how, 13, tmp_path / "done")
    done = run(Plan(learner), bound, on, schema=schema)
    assert (tmp_path / "done").exists()
    assert_same_categories(learner.finish(done.model), clone(estimator).fit(FRAME, Y), FRAME)


def test_early_stopping_counts_the_categories_of_all_rows() -> None:
    rare = FRAME.assign(site=pd.Categorical(np.where(np.arange(ROWS) == 7, "only here", SITE)))
    estimator = Regressor(max_iter=6, early_stopping=True, n_iter_no_change=2, learning_rate=0.5)
    one, three = (together(estimator, parts) for parts in ({"n": (rare, Y)}, cut(rare, Y)))
    assert_same_trees(one, three, rare)
    assert "only here" in one._preprocessor.named_transformers_["encoder"].categories_[0]
    np.testing.assert_allclose(one.validation_score_, three.validation_score_, rtol=1e-9)


def cut(frame: pd.DataFrame, y: np.ndarray) -> dict[str, Any]:
    """The rows in their order, on three nodes."""
    parts = slice(0, 100), slice(100, 110), slice(110, None)
    return {f"n{i}": (frame[at], y[at]) for i, at in enumerate(parts)}


def test_what_has_no_answer_is_refused() -> None:
    with pytest.raises(tk.DataError, match="'code'.*at least 40 categories, and .* max_bins=30"):
        tk.fit(Regressor(max_bins=30), FRAME, Y, on=tk.Inline())
    many = pd.DataFrame({"id": pd.Categorical(np.arange(ROWS).astype(str))})
    halves = {"a": (many[:200], Y[:200]), "b": (many[200:400], Y[200:400])}
    with pytest.raises(tk.DataError, match=r"'id'.*at least 400 categories.*OneHotEncoder\(max_categories"):
        tk.fit(Regressor(), halves, on=tk.Inline())
    with pytest.raises(tk.DataError, match="'nothing'"):
        tk.fit(Regressor(categorical_features=["nothing"]), FRAME, Y, on=tk.Inline())
    with pytest.raises(tk.DataError, match="Categorical features cannot have monotonic constraints"):
        tk.fit(Regressor(monotonic_cst=[0, 1, 0, 0, 0]), FRAME, Y, on=tk.Inline())
    with pytest.raises(tk.DataError, match=r"'flag'.*counts columns of categories first"):
        tk.fit(Regressor(interaction_cst=[[0, 1], [2, 3, 4]]), FRAME, Y, on=tk.Inline())
    text = FRAME.astype({"site": object})
    with pytest.raises(tk.DataError, match="'site'.*holds text"):
        tk.fit(Regressor(categorical_features=["code"]), text, Y, on=tk.Inline())
    infinite = FRAME.assign(noise=np.where(np.arange(ROWS) == 3, np.inf, 0.0))
    with pytest.raises(tk.DataError, match="'noise'.*infinite"):
        tk.fit(Regressor(), infinite, Y, on=tk.Inline())


def test_comparisons_read_categories_as_one_machine_does() -> None:
    """Folds are scored at the nodes by blocks, and the pooled model learns from a frame."""
    big = FRAME[["dose"]].assign(site=FRAME["site"], id=2**60 + CODE)
    for frame in (FRAME, big):
        found = tk.compare(Regressor(max_iter=2), frames(2, frame, Y), folds=2, on=tk.Inline())
        for row in filter(lambda row: row.rows, found.rows):
            assert row.scores["together"].value == pytest.approx(row.scores["pooled"].value, rel=1e-9)
    fit = tk.fit(Regressor(max_iter=2), frames(2, FRAME, Y), on=tk.Inline())
    assert "n1" in str(fit.value(folds=2))
    assert tk.verify(Regressor(max_iter=2), tk.shards(FRAME, Y), nodes=(3,), on=tk.Inline()).ok
