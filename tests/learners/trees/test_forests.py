"""Forests over nodes: scikit-learn's own trees, dealt over nodes and joined."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import scipy.sparse as sp
import skops.io
from boosted import table
from disturbing import interrupted
from hypothesis import given
from hypothesis import strategies as st
from sklearn.base import clone, is_classifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.utils.validation import check_is_fitted

import talkoot as tk
from examples import examples
from talkoot.data.shards import Shards
from talkoot.formats.estimators import fitted_from_bytes
from talkoot.formats.trees import without_trees
from talkoot.learners.trees.forests.dealing import dealt as shared_out
from talkoot.learners.trees.forests.forests import Forest

X, Y = table(150)
KINDS = np.array(["high", "low", "mid"])[np.digitize(Y, [-1, 1])]
WEIGHTS = np.random.default_rng(1).random(len(Y))
CLASSIFIERS: dict[str, Any] = {
    "plain": RandomForestClassifier(),
    "extra": ExtraTreesClassifier(),
    "balanced": RandomForestClassifier(class_weight="balanced"),
    "balanced by tree": RandomForestClassifier(class_weight="balanced_subsample", max_samples=0.5),
    "balanced without bootstrap": ExtraTreesClassifier(class_weight="balanced_subsample"),
    "listed": RandomForestClassifier(class_weight={"high": 2.0, "low": 0.5}, max_samples=40),
    "pruned": RandomForestClassifier(ccp_alpha=0.01, criterion="entropy", max_leaf_nodes=9),
}
REGRESSORS: dict[str, Any] = {
    "plain": RandomForestRegressor(),
    "extra": ExtraTreesRegressor(max_features=0.5),
    "monotone": RandomForestRegressor(monotonic_cst=[1, 0, 0, 0, 0], min_samples_leaf=0.05),
}


def assert_same(got: Any, want: Any, rows: Any) -> None:
    """The same trees to the last bit, the same attributes, the same answers."""
    assert type(got) is type(want)
    assert len(got.estimators_) == len(want.estimators_)
    for ours, theirs in zip(got.estimators_, want.estimators_, strict=True):
        assert vars(ours).keys() == vars(theirs).keys()
        assert ours.random_state == theirs.random_state
        one, other = ours.tree_.__getstate__(), theirs.tree_.__getstate__()
        assert one["max_depth"] == other["max_depth"]
        for name in one["nodes"].dtype.names:
            np.testing.assert_array_equal(one["nodes"][name], other["nodes"][name])
        np.testing.assert_array_equal(one["values"], other["values"])
    for name in ("predict", "predict_proba", "score_samples", "decision_function", "apply"):
        if hasattr(want, name):
            np.testing.assert_array_equal(getattr(got, name)(rows), getattr(want, name)(rows))
    if hasattr(want, "feature_importances_"):
        np.testing.assert_array_equal(got.feature_importances_, want.feature_importances_)


def dealt(nodes: int, *given: npt.ArrayLike) -> dict[str, Any]:
    """Rows dealt over nodes in turn, and one node more without any."""
    columns = [np.asarray(each) for each in given]
    deal = [np.arange(len(columns[0]))[node::nodes] for node in range(nodes)] + [np.arange(0)]
    return {f"n{i}": tuple(each[part] for each in columns) for i, part in enumerate(deal)}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_of_one_node_is_scikit_learns(name: str, weighted: bool) -> None:
    estimator = clone(CLASSIFIERS[name]).set_params(n_estimators=5, random_state=3)
    got = tk.fit(clone(estimator), X, KINDS, weight=WEIGHTS if weighted else None).model
    assert_same(got, estimator.fit(X, KINDS, WEIGHTS if weighted else None), X)


@pytest.mark.parametrize("outputs", [0, 2])
@pytest.mark.parametrize("name", REGRESSORS)
def test_a_regressor_of_one_node_is_scikit_learns(name: str, outputs: int) -> None:
    estimator = clone(REGRESSORS[name]).set_params(n_estimators=5, random_state=3)
    if outputs and estimator.monotonic_cst is not None:
        pytest.skip("scikit-learn takes one target here")
    y = np.stack([Y, -Y], axis=1) if outputs else Y
    assert_same(tk.fit(clone(estimator), {"n": (X, y)}).model, estimator.fit(X, y), X)


@pytest.mark.parametrize("estimator", [RandomForestClassifier(9), RandomForestRegressor(9)], ids=str)
def test_the_same_call_gives_the_same_forest_on_any_engine(estimator: Any) -> None:
    data = dealt(3, X, KINDS if is_classifier(estimator) else Y)
    first = tk.fit(estimator, data, on=tk.Inline()).model
    assert_same(tk.fit(estimator, data, on=tk.Local(2)).model, first, X)
    assert_same(tk.fit(estimator, dict(reversed(data.items())), on=tk.Inline(threads=2)).model, first, X)
    other = tk.fit(estimator, data, on=tk.Inline(), seed=1).model
    assert [tree.random_state for tree in other] != [tree.random_state for tree in first]


def test_a_table_is_not_split_unless_the_caller_does() -> None:
    estimator = RandomForestRegressor(6, random_state=0)
    want = clone(estimator).fit(X, Y)
    assert_same(tk.fit(estimator, X, Y, on=tk.Local(2)).model, want, X)
    split = tk.fit(estimator, X, Y, nodes=2, on=tk.Inline())
    assert split.kind == "bagged"
    assert {tree.tree_.n_node_samples[0] < 75 for tree in split.model} == {True}


def test_trees_are_grown_in_proportion_to_rows() -> None:
    parts = {"many": (X[:100], Y[:100]), "some": (X[100:140], Y[100:140]), "few": (X[140:], Y[140:])}
    model = tk.fit(RandomForestRegressor(15, random_state=0, bootstrap=False), parts).model
    seen = [int(tree.tree_.n_node_samples[0]) for tree in model]
    assert {size: seen.count(size) for size in sorted(set(seen))} == {10: 1, 40: 4, 100: 10}
    assert [tree.random_state for tree in model] == [
        tree.random_state for tree in RandomForestRegressor(15, random_state=0).fit(X, Y)
    ]


@given(
    trees=st.integers(1, 500),
    shares=st.dictionaries(st.text(max_size=3), st.floats(1e-6, 1e9), min_size=1, max_size=8),
)
def test_all_trees_are_dealt_once_and_in_proportion(trees: int, shares: dict[str, float]) -> None:
    parts = shared_out(trees, shares)
    assert parts == shared_out(trees, dict(reversed(shares.items())))
    dealt_trees = [tree for first, count in parts.values() for tree in range(first, first + count)]
    assert sorted(dealt_trees) == list(range(trees))
    for node, (_, count) in parts.items():
        assert abs(count - trees * shares[node] / sum(shares.values())) <= 1 + 1e-6


def test_every_tree_knows_the_classes_of_all_nodes() -> None:
    own = {kind: np.flatnonzero(np.equal(KINDS, kind)) for kind in ("low", "mid", "high")}
    parts = {kind: (X[rows], KINDS[rows]) for kind, rows in own.items()}
    parts["both"] = X[:40], KINDS[:40]
    model = tk.fit(RandomForestClassifier(24, random_state=0), parts).model
    assert model.classes_.tolist() == ["high", "low", "mid"]
    assert all(tree.n_classes_ == 3 and tree.tree_.value.shape[2] == 3 for tree in model)
    proba = model.predict_proba(X)
    np.testing.assert_allclose(proba.sum(axis=1), 1)
    np.testing.assert_allclose(proba, np.mean([tree.predict_proba(X) for tree in model], axis=0))
    alone = [tree for tree in model if tree.tree_.node_count == 1]
    assert {int(tree.tree_.value[0, 0].argmax()) for tree in alone} == {0, 1, 2}


def test_what_comes_back_is_scikit_learns_own() -> None:
    frame = pd.DataFrame(X, columns=list("abcde"))
    parts = {"n": (frame[:90], KINDS[:90]), "m": (frame[90:], KINDS[90:])}
    model = tk.fit(RandomForestClassifier(6), parts).model
    check_is_fitted(model)
    assert (model.n_features_in_, model.n_outputs_, model.n_classes_, len(model)) == (5, 1, 3, 6)
    assert model.feature_names_in_.tolist() == list("abcde")
    assert model.get_params() == RandomForestClassifier(6).get_params()
    assert_same(pickle.loads(pickle.dumps(model)), model, frame)
    path, ends = model.decision_path(frame)
    assert path.shape == (150, ends[-1])
    assert not hasattr(model, "estimators_samples_")  # which rows, only their node could say
    clone(model).fit(frame, KINDS)


def test_a_saved_forest_is_the_same(tmp_path: Path) -> None:
    fit = tk.fit(RandomForestClassifier(5, random_state=0), dealt(2, X, KINDS))
    assert_same(tk.load(fit.save(tmp_path / "forest.talkoot")), fit.model, X)


@examples(50)
@given(
    rows=st.lists(st.integers(0, 7), min_size=1, max_size=5).filter(any),
    trees=st.integers(1, 9),
    seed=st.integers(0, 2**31 - 1),
    classes=st.integers(1, 4),
)
def test_any_small_nodes_make_a_whole_forest(rows: list[int], trees: int, seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(sum(rows), 2)), rng.integers(0, classes, sum(rows))
    ends = np.cumsum(rows)
    cuts = [slice(end - n, end) for n, end in zip(rows, ends, strict=True)]
    data = {f"n{i}": (x[cut], y[cut]) for i, cut in enumerate(cuts)}
    estimator = RandomForestClassifier(trees, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        model = tk.fit(estimator, data, on=tk.Inline()).model
    np.testing.assert_array_equal(model.classes_, np.unique(y))
    assert len(model) == trees
    np.testing.assert_allclose(model.predict_proba(x).sum(axis=1), 1)
    if sum(n > 0 for n in rows) == 1:
        assert_same(model, clone(estimator).fit(x, y), x)


REFUSED: list[tuple[Any, str]] = [
    (RandomForestClassifier(oob_score=True), "at its node alone"),
    (RandomForestClassifier(warm_start=True), "starts from the first tree"),
    (RandomForestRegressor(random_state=np.random.RandomState(0)), "Take a whole number"),
    (RandomForestClassifier(monotonic_cst=[1, 0]), "has shape 2 but"),
    (RandomForestClassifier(bootstrap=False, max_samples=0.5), "cannot be set if `bootstrap=False`"),
    (RandomForestClassifier(class_weight={"high": 1, "none": 2}), "are not in class_weight"),
]


@pytest.mark.parametrize(("estimator", "why"), REFUSED, ids=[why for _, why in REFUSED])
def test_what_cannot_be_distributed_is_refused(estimator: Any, why: str) -> None:
    with pytest.raises((tk.NotDistributable, tk.DataError), match=why):
        tk.fit(estimator, dealt(2, X, KINDS if is_classifier(estimator) else Y))


ODD: dict[str, tuple[Any, str]] = {
    "infinite": (np.where(X > 2, np.inf, X), "infinite"),
    "beyond 32 bits": (np.where(X > 2, 1e39, X), "holds numbers beyond"),
    "sparse": (sp.csr_array(np.nan_to_num(X)), "needs dense"),
    "text": (pd.DataFrame({"a": X[:, 0], "b": KINDS}), "column 'b': it holds text"),
}


@pytest.mark.parametrize("odd", ODD)
def test_rows_that_trees_cannot_read_are_refused(odd: str) -> None:
    rows, why = ODD[odd]
    with pytest.raises(tk.DataError, match=why):
        tk.fit(RandomForestRegressor(2), {"n": (rows, Y)})


def test_a_node_whose_rows_scikit_learn_refuses_is_named() -> None:
    parts = {"none": (X[:50], np.zeros(50)), "some": (X[50:], np.ones(100))}
    with pytest.raises(tk.DataError, match="node 'none', round 1: .* this node's rows alone: Sum of y"):
        tk.fit(RandomForestRegressor(4, criterion="poisson"), parts)


def test_weights_decide_how_many_trees_a_node_grows() -> None:
    w = np.repeat([0.0, 3.0, 1.0], 50)
    parts = {name: (X[w == v], Y[w == v], w[w == v]) for name, v in (("none", 0), ("heavy", 3), ("light", 1))}
    model = tk.fit(RandomForestRegressor(8, bootstrap=False), parts).model
    assert [float(tree.tree_.weighted_n_node_samples[0]) for tree in model] == [150.0] * 6 + [50.0] * 2


def test_classes_are_balanced_over_all_nodes() -> None:
    y = np.repeat(["rare", "often"], [30, 120])
    parts = {"a": (X[:60], y[:60]), "b": (X[60:], y[60:])}
    model = tk.fit(ExtraTreesClassifier(5, class_weight="balanced", random_state=0), parts).model
    tops = [tree.tree_.weighted_n_node_samples[0] for tree in model]
    np.testing.assert_allclose(tops, [30 * 2.5 + 30 * 0.625] * 2 + [90 * 0.625] * 3)


def test_a_node_without_a_tree_is_named() -> None:
    with pytest.warns(UserWarning, match="the rows of 'n1', 'n2' are in no tree"):
        assert len(tk.fit(RandomForestRegressor(1), dealt(3, X, Y)).model) == 1


def test_nodes_of_one_name_are_refused() -> None:
    same = tk.shards({"n": (X[:70], Y[:70])})
    with pytest.raises(tk.DataError, match="node 'n'.*several nodes have this name"):
        tk.fit(RandomForestRegressor(4), Shards({"one": same["n"], "other": same["n"]}))


def test_transforms_that_add_pass_on_every_bit_and_others_are_refused() -> None:
    data, estimator = dealt(3, X, KINDS), RandomForestClassifier(4)
    want = tk.fit(estimator, data, on=tk.Inline()).model
    assert_same(tk.fit(estimator, data, chain=[tk.fixed()], on=tk.Inline()).model, want, X)
    for chain, why in (([tk.quantize()], "would bias"), ([tk.fixed(), tk.mask()], "cannot hide")):
        with pytest.raises(tk.PlanError, match=f"RandomForestClassifier is bagged.*{why}"):
            tk.fit(estimator, data, chain=chain)


def test_a_killed_worker_grows_the_same_trees(tmp_path: Path) -> None:
    estimator, data = RandomForestRegressor(6, random_state=0), dealt(2, X, Y)
    plan = tk.Plan(interrupted(Forest(estimator), "kill", 1, tmp_path / "killed"))
    got = tk.run(plan, data, on=tk.Local(2)).model
    assert (tmp_path / "killed").exists()
    assert_same(got, tk.fit(estimator, data, on=tk.Inline()).model, X)


def test_a_file_whose_trees_were_changed_is_refused() -> None:
    model = tk.fit(RandomForestClassifier(2, random_state=0), X, KINDS).model
    plain = without_trees(model)
    assert_same(fitted_from_bytes(skops.io.dumps(plain)), model, X)
    plain.estimators_[1].tree_["whole"][0, 0] = 0  # its root leads to itself
    with pytest.raises(tk.DataError, match="a tree leads nowhere"):
        fitted_from_bytes(skops.io.dumps(plain))
    with pytest.raises(tk.DataError, match="sklearn.tree._tree.Tree, which would be imported"):
        fitted_from_bytes(skops.io.dumps(model))
