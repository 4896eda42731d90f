"""Boosting with warm_start=True goes on from trees of an earlier fit, as scikit-learn does on pooled rows."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boosted import assert_same_trees, dealt, table, together
from disturbing import interrupted
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier as Classifier
from sklearn.ensemble import HistGradientBoostingRegressor as Regressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_early_stopping import X as MANY
from test_early_stopping import Y as MANY_Y
from test_early_stopping import alone, assert_same_fit, held_out, pooled

import talkoot as tk
from documented import only_bytes
from examples import examples
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.data.schema import agree
from talkoot.learners import learner_for
from talkoot.learners.trees.boosting.bins import Bins
from talkoot.learners.trees.boosting.boosting import Boosting
from talkoot.learners.trees.boosting.warm_start.trees import Trees

X, Y = table(200)
KINDS = np.array(["high", "low", "mid"])[np.digitize(Y, [-1, 1])]
W = np.random.default_rng(1).uniform(0, 3, len(Y)) * (np.random.default_rng(2).random(len(Y)) > 0.2)
WARM: dict[str, Any] = {"warm_start": True, "max_iter": 3, "max_leaf_nodes": 8}
FITS: dict[str, tuple[Any, np.ndarray]] = {
    "numbers": (Regressor(**WARM), Y),
    "medians": (Regressor(**WARM, loss="absolute_error"), Y),
    "counts": (Regressor(**WARM, loss="poisson"), np.round(np.exp(Y / 3))),
    "two classes": (Classifier(**WARM), (Y > 0).astype(int)),
    "three classes": (Classifier(**WARM), KINDS),
}
SITES = {f"n{i}": (X[i::3], Y[i::3]) for i in range(3)}


def more(fitted: Any, **params: Any) -> Any:
    """A copy of a fitted estimator that may have more trees."""
    return deepcopy(fitted).set_params(**{"max_iter": 6, **params})


def on_from(fitted: Any, data: Any, on: Any = None, **rest: Any) -> Any:
    """The model of nodes that go on from an estimator, which does not change."""
    trees = bits(fitted)
    found = tk.fit(fitted, data, on=on or tk.Inline(), progress=False, **rest).model
    assert found is not fitted
    assert bits(fitted) == trees
    return found


def bits(fitted: Any) -> list[bytes]:
    return [tree.nodes.tobytes() for trees in fitted._predictors for tree in trees]


def by_thresholds(fitted: Any, X: np.ndarray, y: np.ndarray) -> Any:
    """scikit-learn's next fit, in which earlier trees read rows by thresholds, not by numbers of new bins."""
    want, raw = deepcopy(fitted), fitted._raw_predict(X)
    want._raw_predict = lambda *_, **__: raw.copy(order="F")
    want.fit(X, y)
    del want._raw_predict
    return want


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("weights", [(), (W,)], ids=["plain", "weighted"])
def test_it_goes_on_as_scikit_learn_does(fit: str, weights: tuple[np.ndarray, ...]) -> None:
    estimator, y = FITS[fit]
    alone = clone(estimator).fit(X, y, *weights)
    want = more(alone).fit(X, y, *weights)
    found = set()
    for nodes in (1, 2, 3, 7) if fit in ("numbers", "three classes") else (2, 3):
        data = dealt(nodes, X, y, *weights)
        if nodes > 1:
            assert_same_trees(on_from(more(alone), data), want, X)
        got = on_from(more(together(estimator, data)), data)
        assert_same_trees(got, want, X)
        found.add(tuple(bits(got)))
    assert len(found) == 1
    again = on_from(more(got, max_iter=8), data)
    assert_same_trees(again, more(want, max_iter=8).fit(X, y, *weights), X)
    assert bits(on_from(again, data)) == bits(again)  # there is nothing to add
    assert getattr(again, "_fitted_with_sw", False) is bool(weights)


@examples(20)
@given(first=st.integers(1, 5), rest=st.integers(0, 4), nodes=st.integers(1, 4))
def test_two_fits_are_one(first: int, rest: int, nodes: int) -> None:
    estimator, data = Regressor(warm_start=True, max_leaf_nodes=5), dealt(nodes, X, Y)
    fitted = together(clone(estimator).set_params(max_iter=first), data)
    want = together(clone(estimator).set_params(max_iter=first + rest), data)
    assert_same_trees(on_from(more(fitted, max_iter=first + rest), data), want, X)


def test_without_warm_start_it_begins_with_the_first_tree() -> None:
    fitted = more(Regressor(max_iter=3).fit(X, Y))
    assert_same_trees(on_from(fitted, dealt(2, X, Y)), Regressor(max_iter=6).fit(X, Y), X)


def test_trees_read_other_rows_by_thresholds() -> None:
    for first in (Regressor(**WARM).fit(X[:100], Y[:100]), Regressor(**WARM, max_bins=7).fit(X, Y)):
        fitted = more(first, max_bins=255)
        want = by_thresholds(fitted, X[100:], Y[100:])
        assert_same_trees(on_from(fitted, dealt(3, X[100:], Y[100:])), want, X)
    for kind in (np.float32, int):
        rows = np.nan_to_num(X * 9).astype(kind)
        fitted = Regressor(**WARM).fit(rows, Y)
        assert_same_trees(on_from(more(fitted), dealt(2, rows, Y)), more(fitted).fit(rows, Y), rows)


def with_categories() -> pd.DataFrame:
    frame = pd.DataFrame(X, columns=list("abcde"))
    frame["c"] = pd.Categorical(np.array(["u", "v", "w", "x"])[np.nan_to_num(X[:, 2]).astype(int)])
    frame.loc[::17, "c"] = np.nan
    return frame


def test_categories_are_those_of_the_earlier_fit() -> None:
    frame = with_categories()
    first = Classifier(**WARM).fit(frame, KINDS)
    assert any(tree.nodes["is_categorical"].any() for trees in first._predictors for tree in trees)
    want = more(first).fit(frame, KINDS)
    data = {f"n{i}": (frame[i::3], KINDS[i::3]) for i in range(3)}
    for fitted in (first, tk.fit(clone(first), data, on=tk.Inline()).model):
        assert_same_trees(on_from(more(fitted), data), want, frame)
    other = frame.assign(c=frame["c"].cat.rename_categories({"x": "y"}))
    with pytest.raises(tk.DataError, match=r"column 'c'.*other categories: 'x' is missing"):
        on_from(more(first), {"n": (other, KINDS)})


STOP: dict[str, Any] = {"early_stopping": True, "learning_rate": 0.4, "n_iter_no_change": 3, **WARM}
LABELS = np.array(["high", "low", "mid"])[np.digitize(MANY_Y, [-1, 1])]


@pytest.mark.parametrize(
    ("estimator", "y"),
    [(Regressor(**STOP, random_state=4), MANY_Y), (Classifier(**STOP, scoring=None), LABELS)],
    ids=["numbers", "accuracy"],
)
def test_the_same_rows_are_held_out_again(estimator: Any, y: np.ndarray) -> None:
    out = held_out(estimator, y)
    rows = {"X": MANY[~out], "y": y[~out], "X_val": MANY[out], "y_val": y[out]}
    first = alone(estimator, y)
    want = more(first, max_iter=40).fit(**rows)
    assert want.n_iter_ < 40
    for nodes in (1, 7):
        data = pooled(nodes, MANY, y)
        got = on_from(more(together(estimator, data), max_iter=40), data)
        assert_same_fit(got, want)
        assert_same_fit(on_from(got, data), deepcopy(want).fit(**rows))  # one tree more, as before


@pytest.mark.parametrize("scored", [True, False])
def test_scores_of_training_rows_go_on(scored: bool) -> None:
    estimator = Regressor(**{**STOP, "early_stopping": scored}, validation_fraction=None, tol=0.01)
    first = estimator.fit(X, Y)
    want = more(first, max_iter=40, early_stopping=True).fit(X, Y)
    assert want.n_iter_ < 40 + scored
    got = on_from(more(first, max_iter=40, early_stopping=True), dealt(3, X, Y))
    assert_same_trees(got, want, X)
    np.testing.assert_allclose(got.train_score_, want.train_score_, rtol=1e-9)


def test_early_stopping_by_rows_that_trees_have_seen_is_refused() -> None:
    estimator, data = Regressor(**STOP, random_state=4), pooled(3, MANY, MANY_Y)
    fitted = together(estimator, data)
    seen = "did not hold out the rows that nodes would, so its trees have seen some.*early_stopping=False"
    without = on_from(more(fitted, early_stopping=False), data)
    assert without.train_score_.tolist() == fitted.train_score_.tolist()
    plain = clone(estimator).set_params(early_stopping=False).fit(MANY, MANY_Y)
    alone_on = more(fitted).fit(MANY, MANY_Y)
    for other in (clone(estimator).fit(MANY, MANY_Y), plain, without, alone_on):
        with pytest.raises(tk.NotDistributable, match=seen):
            on_from(more(other, early_stopping=True, max_iter=9), data)
    with pytest.raises(tk.NotDistributable, match=r"validation_fraction=None.*rows that were held out"):
        on_from(more(fitted, validation_fraction=None), data)
    order = np.random.default_rng(0).permutation(len(MANY))
    for other in (pooled(3, MANY[order], MANY_Y[order]), pooled(3, MANY, MANY_Y * 2)):
        with pytest.raises(tk.DataError, match=r"last scores were .*score .* now.*stopping would compare"):
            on_from(more(fitted), other)
    with pytest.raises(tk.DataError, match="scoring= or the rows"):
        on_from(more(fitted, scoring="r2"), data)


NAMED = pd.DataFrame(X, columns=list("abcde"))
REFUSED: dict[str, tuple[dict[str, Any], Any, np.ndarray, str]] = {
    "trees": ({"max_iter": 2}, X, Y, r"max_iter=2.*has 3 iterations.*max_iter=3 or more.*clone"),
    "loss": ({"loss": "poisson"}, X, np.exp(Y), "loss='poisson'.*minimise another loss"),
    "fewer": ({}, X[:, :4], Y, "column 5 was numbers that have no name, and is not there"),
    "names": ({}, NAMED, Y, "column 1 was numbers that have no name, and is numbers named 'a'"),
    "kinds": ({"categorical_features": [2]}, X, Y, "column 3 was numbers.*and is categories"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_another_fit_is_refused(case: str) -> None:
    params, rows, y, words = REFUSED[case]
    with pytest.raises(tk.TalkootError, match=words):
        on_from(more(Regressor(**WARM).fit(X, Y), **params), {"n": (rows, y)})


def test_other_classes_and_columns_in_another_order_are_refused() -> None:
    fitted = Classifier(**WARM).fit(NAMED, KINDS)
    for kinds in (np.where(KINDS == "mid", "max", KINDS), np.where(KINDS == "mid", "low", KINDS)):
        with pytest.raises(tk.DataError, match=r"classes were \['high', .*\]: they are \['high', 'low'"):
            on_from(more(fitted), {"n": (NAMED, kinds)})
    with pytest.raises(tk.DataError, match="column 3 was numbers named 'c', and is numbers named 'd'"):
        on_from(more(fitted), {"n": (NAMED[list("abdce")], KINDS)})


def test_steps_before_it_would_be_fitted_again() -> None:
    pipeline = make_pipeline(StandardScaler(), Regressor(**WARM)).fit(X, Y)
    with pytest.raises(tk.NotDistributable, match=r"warm_start=True.*it are fitted again.*clone\(pipe"):
        tk.fit(pipeline, SITES, on=tk.Inline())
    assert tk.fit(clone(pipeline), SITES, on=tk.Inline()).model[-1].n_iter_ == 3


def test_what_holds_rows_out_begins_with_the_first_tree_or_is_refused() -> None:
    fitted = more(Regressor(**WARM).fit(X, Y))
    found, want = (tk.compare(each, SITES, folds=2, on=tk.Inline()) for each in (fitted, clone(fitted)))
    assert [row.scores for row in found.rows] == [row.scores for row in want.rows]
    assert tk.verify(fitted, X, Y, nodes=(2,), on=tk.Inline()).ok
    fit = tk.fit(fitted, SITES, on=tk.Inline())
    with pytest.raises(tk.PlanError, match=r"may have seen rows held out here.*clone\(estimator\)"):
        fit.value()
    with pytest.raises(tk.NotInvertible, match=r"may have seen its rows.*without the node"):
        fit.forget("n1")
    first = tk.fit(clone(fitted), SITES, on=tk.Inline())
    assert first.forget("n1").model.n_iter_ == 6


def test_engines_and_bytes_do_not_change_it() -> None:
    fitted = more(Classifier(**WARM).fit(X, KINDS))
    data = dealt(2, X, KINDS)
    want = on_from(fitted, data)
    for on in (tk.Local(2), only_bytes({})):
        assert bits(on_from(fitted, data, on)) == bits(want)


@pytest.mark.wide
@pytest.mark.parametrize(
    ("how", "on"), [("forget", tk.Inline()), ("kill", tk.Local(2))], ids=["forget", "kill"]
)
def test_a_worker_that_loses_its_state_reads_all_trees(how: str, on: Any, tmp_path: Path) -> None:
    boosting = learner_for(more(Classifier(**WARM).fit(X, KINDS)))
    assert isinstance(boosting, Boosting)
    schema, bound = agree(tk.shards(dealt(3, X, KINDS)), tk.Inline(), labels=True)
    learner = interrupted(boosting, how, 11, tmp_path / "done")
    done = run(Plan(learner), bound, on, schema=schema)
    assert (tmp_path / "done").exists()
    want = Classifier(**{**WARM, "max_iter": 6}).fit(X, KINDS)
    assert_same_trees(learner.finish(done.model), want, X)


def test_behind_fixed_and_masks_trees_are_read_by_agreed_bins() -> None:
    masked, found = [tk.fixed(), tk.mask()], set()
    want = tk.fit(Regressor(**{**WARM, "max_iter": 6}), SITES, chain=masked[:1], on=tk.Inline()).model
    for chain, data in ((masked[:1], dealt(2, X, Y)), (masked, SITES)):
        first = tk.fit(Regressor(**WARM), data, chain=chain, on=tk.Inline()).model
        got = on_from(more(first), data, chain=chain)
        assert_same_trees(got, want, X)
        found.add(tuple(bits(got)))
    assert len(found) == 1
    for other in (Regressor(**WARM).fit(X, Y), more(first, max_bins=3)):
        with pytest.raises(tk.DataError, match=r"at other values than all nodes agree on.*of the same rows"):
            on_from(more(other), SITES, chain=masked)
    assert_same_trees(on_from(more(first), SITES), by_thresholds(more(first), X, Y), X)


def test_nodes_look_at_trees_before_they_read_rows_by_them() -> None:
    bins = Bins((np.array([0.0, 1.0]),) * 5, np.zeros(5, bool), 4)
    trees, baseline = Trees.of(Regressor(**WARM).fit(X, Y)._predictors), np.zeros(1)
    assert trees.raw(X[:3], baseline, bins).shape == (3, 1)
    with pytest.raises(tk.DataError, match="read by edges that all nodes agree on"):
        trees.require_bins()
    for name, value in (("left", 10**6), ("left", 0), ("feature_idx", 5), ("is_categorical", 1)):
        nodes = {**trees.nodes, name: np.full_like(trees.nodes[name], value)}
        with pytest.raises(tk.DataError, match="do not lead to leaves"):
            replace(trees, nodes=nodes).raw(X[:3], baseline, bins)


def test_a_saved_fit_goes_on(tmp_path: Path) -> None:
    data = pooled(3, MANY, MANY_Y)
    fit = tk.fit(Regressor(**STOP), data, on=tk.Inline())
    fit.save(tmp_path / "model")
    read = tk.load(tmp_path / "model")
    assert bits(on_from(more(read), data)) == bits(on_from(more(fit.model), data))
