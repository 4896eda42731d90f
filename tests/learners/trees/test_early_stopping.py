"""Boosting that stops early, against scikit-learn's with the same rows held out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from boosted import assert_same_trees, dealt, table, together
from disturbing import interrupted
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone, is_classifier
from sklearn.ensemble import HistGradientBoostingClassifier as Classifier
from sklearn.ensemble import HistGradientBoostingRegressor as Regressor
from sklearn.model_selection import train_test_split
from sklearn.utils import compute_sample_weight

import talkoot as tk
from examples import examples
from talkoot.core.context import Ctx, stream_rng
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.shard import Block, InMemory, Schema
from talkoot.data.schema import agree
from talkoot.learners.trees.boosting import sklearn_private as private
from talkoot.learners.trees.boosting.boosting import Boosting
from talkoot.learners.trees.boosting.validation import drawn, validation_rows

pytestmark = pytest.mark.wide
X, Y = table(400)
LABELS = (Y > 0).astype(int)
KINDS = np.array(["high", "low", "mid"])[np.digitize(Y, [-1, 1])]
W = np.random.default_rng(1).uniform(0, 3, len(Y)) * (np.random.default_rng(2).random(len(Y)) > 0.2)
STOP: dict[str, Any] = {
    "early_stopping": True,
    "max_iter": 40,
    "max_leaf_nodes": 12,
    "learning_rate": 0.5,
    "n_iter_no_change": 2,
}
FITS: dict[str, tuple[Any, np.ndarray]] = {
    "numbers": (Regressor(**STOP, random_state=4), Y),
    "counts": (Regressor(**STOP, loss="poisson", validation_fraction=50), np.round(np.exp(Y / 3))),
    "two classes": (Classifier(**STOP, random_state=2), LABELS),
    "three classes": (Classifier(**STOP, tol=1e-3, validation_fraction=0.3), KINDS),
    "to the end": (Regressor(**{**STOP, "max_iter": 4}), Y),
    "accuracy": (Classifier(**STOP, scoring=None), KINDS),
    "logarithms": (Classifier(**STOP, scoring="neg_log_loss"), KINDS),
    "r2": (Regressor(**STOP, scoring=None), Y),
    "squares": (Regressor(**STOP, scoring="neg_mean_squared_error"), Y),
    "absolute": (Regressor(**STOP, scoring="neg_mean_absolute_error", loss="gamma"), np.exp(Y / 3)),
}


def held_out(estimator: Any, y: np.ndarray, seed: int | None = None) -> np.ndarray:
    """(rows,) whether a row of the pooled rows is held out."""
    classes = np.unique(y) if is_classifier(estimator) else None
    at = np.searchsorted(classes, y) if classes is not None else np.zeros(len(y), dtype=int)
    schema = Schema(
        names=None, kinds=("number",), dtype=np.dtype(float), rows=len(y), center=np.zeros(1), classes=classes
    )
    found = seed_of(estimator) if seed is None else seed
    validation = drawn(np.bincount(at)[None], schema, estimator.validation_fraction, found)
    rows = InMemory(name="all", held=(Block(X=np.arange(len(y))[:, None], y=at),))
    ctx = Ctx(node="all", cohort=("all",), schema=schema)
    chosen = np.concatenate([block.X[:, 0] for block in validation_rows(rows, validation, ctx).blocks()])
    return np.isin(np.arange(len(y)), chosen)


def seed_of(estimator: Any) -> int:
    """The seed of the rows that are held out, in a fit whose own seed is 0."""
    return private.seed_of(estimator, stream_rng(0, "init"))


def alone(estimator: Any, y: np.ndarray, w: np.ndarray | None = None) -> Any:
    """scikit-learn's, with the same rows held out."""
    out = held_out(estimator, y)
    weights = {} if w is None else {"sample_weight": w[~out], "sample_weight_val": w[out]}
    return clone(estimator).fit(X[~out], y[~out], X_val=X[out], y_val=y[out], **weights)


def pooled(nodes: int, *columns: Any) -> dict[str, Any]:
    """Rows cut into nodes of different sizes, in their order, and a node without any."""
    cuts = np.sort(np.random.default_rng(nodes).integers(0, len(Y), nodes - 1))
    parts = zip(*(np.split(column, cuts) for column in columns), strict=True)
    return {**{f"n{i}": part for i, part in enumerate(parts)}, "none": tuple(c[:0] for c in columns)}


def assert_same_fit(got: Any, want: Any) -> None:
    """The same trees, and the same scores."""
    assert_same_trees(got, want, X)
    for name in ("train_score_", "validation_score_"):
        np.testing.assert_allclose(getattr(got, name), getattr(want, name), rtol=1e-9, atol=1e-12)
    assert got.do_early_stopping_


@pytest.mark.parametrize("fit", FITS)
def test_it_stops_where_scikit_learn_does(fit: str) -> None:
    estimator, y = FITS[fit]
    want = alone(estimator, y)
    assert (want.n_iter_ < estimator.max_iter) == (fit != "to the end")
    for nodes in (1, 2, 3, 7) if fit in ("numbers", "two classes", "three classes") else (3,):
        assert_same_fit(together(estimator, pooled(nodes, X, y)), want)


@pytest.mark.parametrize("fit", ["numbers", "three classes", "accuracy", "r2"])
def test_weights_count_in_training_and_in_scores(fit: str) -> None:
    estimator, y = FITS[fit]
    got = together(estimator, pooled(3, X, y, W))
    assert_same_fit(got, alone(estimator, y, W))
    assert got._fitted_with_sw


def test_balanced_classes_are_those_of_all_rows() -> None:
    estimator = Classifier(**STOP, class_weight="balanced")
    weights = compute_sample_weight("balanced", KINDS)
    want = alone(clone(estimator).set_params(class_weight=None), KINDS, weights)
    assert_same_fit(together(estimator, pooled(3, X, KINDS)), want)


def test_without_validation_the_training_rows_are_scored() -> None:
    estimator = Regressor(**{**STOP, "tol": 0.01}, validation_fraction=None)
    got, want = together(estimator, dealt(3, X, Y)), clone(estimator).fit(X, Y)
    assert want.n_iter_ < 40
    assert_same_trees(got, want, X)
    np.testing.assert_allclose(got.train_score_, want.train_score_, rtol=1e-9)
    assert got.validation_score_.tolist() == want.validation_score_.tolist() == []


def test_auto_stops_above_ten_thousand_rows() -> None:
    rng = np.random.default_rng(0)
    for rows, stops in ((10_000, False), (10_001, True)):
        columns = rng.integers(0, 9, (rows, 2)).astype(float)
        got = together(Regressor(max_iter=2, learning_rate=1.0), {"n": (columns, columns[:, 0])})
        assert got.do_early_stopping_ is stops
        assert len(got.validation_score_) == (3 if stops else 0)


@examples(200)
@given(
    rows=st.integers(8, 400),
    fraction=st.one_of(st.floats(0.05, 0.95), st.integers(3, 6)),
    classes=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_as_many_rows_are_held_out_as_in_scikit_learn(
    rows: int, fraction: float, classes: int, seed: int
) -> None:
    y: Any = np.random.default_rng(seed).integers(0, max(classes, 1), rows)
    estimator: Any = (Classifier if classes > 1 else Regressor)(validation_fraction=fraction)
    stratify = y if classes > 1 else None
    try:
        _, want = train_test_split(y, test_size=fraction, stratify=stratify, random_state=seed)
    except ValueError:
        with pytest.raises(tk.DataError, match="early_stopping=False"):
            held_out(estimator, y, seed)
        return
    out = held_out(estimator, y, seed)
    assert np.bincount(y[out], minlength=3).tolist() == np.bincount(want, minlength=3).tolist()


def test_seeds_hold_other_rows_out_and_none_are_left_over() -> None:
    each = [held_out(Regressor(validation_fraction=0.2), Y, seed) for seed in range(400)]
    times = np.sum(each, axis=0)
    assert 40 < times.min() <= times.max() < 130  # of 400, 80 on average


@pytest.mark.parametrize(
    ("how", "on"), [("forget", tk.Inline()), ("kill", tk.Local(2))], ids=["forget", "kill"]
)
@pytest.mark.parametrize("at", [2, 14])
def test_a_worker_that_loses_its_state_holds_the_same_rows_out(
    how: str, on: Any, at: int, tmp_path: Path
) -> None:
    estimator, y = FITS["three classes"]
    schema, bound = agree(tk.shards(pooled(3, X, y)), tk.Inline(), labels=True)
    learner = interrupted(Boosting(estimator), how, at, tmp_path / "done")
    done = run(Plan(learner), bound, on, schema=schema)
    assert (tmp_path / "done").exists()
    assert_same_fit(learner.finish(done.model), alone(estimator, y))


def test_small_nodes_and_nodes_of_one_class() -> None:
    estimator, y = FITS["three classes"]
    order = np.argsort(y, kind="stable")
    by_class = {k: (X[y == k], y[y == k]) for k in ("high", "low", "mid")}
    out = held_out(estimator, y[order])
    rows, labels = X[order], y[order]
    want = clone(estimator).fit(rows[~out], labels[~out], X_val=rows[out], y_val=labels[out])
    assert_same_fit(together(estimator, by_class), want)
    single = {f"r{i}": (X[i : i + 1], y[i : i + 1]) for i in range(20)}
    data = {**single, "rest": (X[20:], y[20:])}
    assert_same_fit(together(estimator, data), alone(estimator, y))


def test_it_is_saved_and_verified(tmp_path: Path) -> None:
    estimator, y = FITS["two classes"]
    fit = tk.fit(estimator, {"n": (X, y)}, on=tk.Inline())
    fit.save(tmp_path / "model")
    again = tk.load(tmp_path / "model")
    np.testing.assert_array_equal(again.predict_proba(X), fit.model.predict_proba(X))
    assert again.validation_score_.tolist() == fit.model.validation_score_.tolist()
    found = tk.verify(estimator, X, y, nodes=(1, 3), on=tk.Inline())
    assert found.ok
    assert "early_stopping=False" in str(found)


def test_what_cannot_be_scored_or_held_out_is_refused() -> None:
    with pytest.raises(tk.NotDistributable, match=r"scoring='roc_auc'.*='loss', or one of accuracy"):
        tk.fit(Classifier(**STOP, scoring="roc_auc"), X, LABELS, on=tk.Inline())
    with pytest.raises(tk.NotDistributable, match=r"scoring='max_error'.*or one of r2"):
        tk.fit(Regressor(**STOP, scoring="max_error"), X, Y, on=tk.Inline())
    tk.fit(Classifier(max_iter=1, scoring="roc_auc"), X, LABELS, on=tk.Inline())  # nothing is scored
    rare = np.where(np.arange(len(Y)) == 5, "rare", KINDS)
    with pytest.raises(tk.DataError, match="rows of each class out, and there is one row of 'rare'"):
        tk.fit(Classifier(**STOP), X, rare, on=tk.Inline())
    with pytest.raises(tk.DataError, match="leaves 398 rows to learn from and 2 to hold out"):
        tk.fit(Classifier(**STOP, validation_fraction=2), X, KINDS, on=tk.Inline())
    with pytest.raises(tk.DataError, match=r"there are too few.*early_stopping=False"):
        tk.fit(Regressor(**STOP), X[:1], Y[:1], on=tk.Inline())
    weights = 1.0 - held_out(Regressor(**STOP), Y)
    with pytest.raises(tk.DataError, match="held out for validation add up to 0"):
        tk.fit(Regressor(**STOP), {"n": (X, Y, weights)}, on=tk.Inline())
    bad = np.where(held_out(Regressor(**STOP), Y), np.inf, X[:, 0])[:, None]
    with pytest.raises(tk.DataError, match="infinite"):
        tk.fit(Regressor(**STOP), bad, Y, on=tk.Inline())
