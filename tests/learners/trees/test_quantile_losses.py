"""Boosting whose leaves are medians and quantiles of residuals, against scikit-learn's on the pooled rows."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from boosted import assert_same_trees, dealt, table, together
from disturbing import interrupted
from hypothesis import given
from hypothesis import strategies as st
from sklearn._loss import loss as losses
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor as Regressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from test_early_stopping import alone, assert_same_fit, pooled
from test_interrupted import assert_same_bits

import talkoot as tk
from examples import examples
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.data.schema import agree
from talkoot.learners.trees.boosting.boosting import Boosting

X, Y = table()
W = np.random.default_rng(1).uniform(0, 3, len(Y)) * (np.random.default_rng(2).random(len(Y)) > 0.2)
LOSSES: dict[str, dict[str, Any]] = {
    "absolute error": {"loss": "absolute_error"},
    "upper": {"loss": "quantile", "quantile": 0.9},
    "middle": {"loss": "quantile", "quantile": 0.5, "learning_rate": 1.0},
    "almost all": {"loss": "quantile", "quantile": 0.999, "min_samples_leaf": 1, "learning_rate": 1.0},
}
RULES: dict[str, dict[str, Any]] = {
    "interactions": {"interaction_cst": "pairwise"},
    "depth": {"max_depth": 2, "max_leaf_nodes": None, "l2_regularization": 2.0},
    "few leaves": {"max_leaf_nodes": 4, "min_samples_leaf": 3},
    "every row a leaf": {"max_leaf_nodes": None, "min_samples_leaf": 1, "learning_rate": 1.0, "max_iter": 2},
}
TARGETS: dict[str, Any] = {
    "ties": lambda y: np.round(y),
    "whole": lambda y: np.round(y).astype(np.int32),
    "constant": np.zeros_like,
    "single precision": lambda y: y.astype(np.float32),
    "large": lambda y: y * 1e30,
    "small": lambda y: y * 1e-300,
    "yes or no": lambda y: y > 0,
    "one far away": lambda y: np.where(y == y.max(), 1e20, y),
}


def boosted(loss: str, **given: Any) -> Any:
    return Regressor(**{"max_iter": 3, **LOSSES[loss], **given})


@cache
def of_one_node(loss: str) -> Any:
    """The model of all rows at one node, beside one without any."""
    return together(boosted(loss), dealt(1, X, Y))


@pytest.mark.parametrize("nodes", [1, 2, 3, 7])
@pytest.mark.parametrize("loss", LOSSES)
def test_trees_are_those_of_the_pooled_rows(loss: str, nodes: int) -> None:
    got = together(boosted(loss), dealt(nodes, X, Y))
    assert_same_trees(got, boosted(loss).fit(X, Y), X)
    assert_same_bits(got, of_one_node(loss))


@pytest.mark.wide
@pytest.mark.parametrize("loss", LOSSES)
def test_weighted_quantiles_are_scikit_learns(loss: str) -> None:
    whole = np.random.default_rng(3).integers(0, 4, len(Y)).astype(float)
    for nodes, weights in ((3, W), (1, whole), (3, np.ones(len(Y)))):
        estimator = boosted(loss, max_iter=3)
        want = clone(estimator).fit(X, Y, sample_weight=weights)
        assert_same_trees(together(estimator, dealt(nodes, X, Y, weights)), want, X)


@pytest.mark.parametrize("loss", ["absolute error", "upper"])
def test_weights_that_are_no_binary_fractions_are_added_up_exactly(
    loss: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where half of the rows have half of the weight, scikit-learn's answer hangs on how sums are rounded."""
    tenths, real = np.full(len(Y), 0.1), losses._weighted_percentile
    monkeypatch.setattr(
        losses, "_weighted_percentile", lambda values, w, rank: real(values, np.ones_like(w), rank)
    )
    want = boosted(loss).fit(X, Y, sample_weight=tenths)
    assert_same_trees(together(boosted(loss), dealt(3, X, Y, tenths)), want, X)


@pytest.mark.parametrize("rule", RULES)
def test_rules_of_growth_are_scikit_learns(rule: str) -> None:
    for loss in ("absolute error", "upper"):
        estimator = boosted(loss, **RULES[rule])
        assert_same_trees(together(estimator, dealt(3, X, Y)), clone(estimator).fit(X, Y), X)


def test_constraints_that_scikit_learn_does_not_hold_leaves_to_are_named() -> None:
    for loss in ("absolute error", "upper"):
        estimator = boosted(loss, monotonic_cst=[1, 0, -1, 0, 0])
        with pytest.warns(UserWarning, match=r"splits to monotonic_cst=, but not the quantiles"):
            got = together(estimator, dealt(3, X, Y))
        assert_same_trees(got, clone(estimator).fit(X, Y), X)
    together(boosted("upper", monotonic_cst=[0] * 5), dealt(3, X, Y))


@pytest.mark.parametrize("kind", TARGETS)
def test_odd_targets(kind: str) -> None:
    y = TARGETS[kind](Y)
    for loss in ("absolute error", "upper"):
        assert_same_trees(together(boosted(loss), dealt(3, X, y)), boosted(loss).fit(X, y), X)


def test_few_rows() -> None:
    for loss in ("absolute error", "upper"):
        for rows in (1, 2, 3, 39, 41):
            want = boosted(loss).fit(X[:rows], Y[:rows])
            assert_same_trees(together(boosted(loss), dealt(2, X[:rows], Y[:rows])), want, X)


def test_categories() -> None:
    frame = pd.DataFrame({"x": X[:, 0], "site": pd.Categorical(np.array(list("abcdef"))[np.arange(300) % 6])})
    data = {f"n{k}": (frame[k::3], Y[k::3]) for k in range(3)}
    for loss in ("absolute error", "upper"):
        assert_same_trees(together(boosted(loss), data), boosted(loss).fit(frame, Y), frame)


@pytest.mark.wide
@examples(60)
@given(
    rows=st.integers(2, 80),
    nodes=st.integers(1, 4),
    leaf=st.sampled_from([1, 2, 20]),
    level=st.one_of(st.none(), st.sampled_from([0.1, 0.5, 0.8]), st.floats(0.001, 0.999)),
    rate=st.sampled_from([0.1, 1.0]),
    digits=st.sampled_from([0, 1, 12]),
    weighted=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_any_rows(
    rows: int, nodes: int, leaf: int, level: Any, rate: float, digits: int, weighted: bool, seed: int
) -> None:
    """Targets with few digits have many equal residuals."""
    rng = np.random.default_rng(seed)
    X, y = rng.normal(size=(rows, 2)), np.round(rng.normal(size=rows), digits)
    weights = (rng.integers(1, 9, rows) / 4,) if weighted else ()
    loss: dict[str, Any] = {"loss": "quantile", "quantile": level} if level else {"loss": "absolute_error"}
    estimator = Regressor(max_iter=3, min_samples_leaf=leaf, learning_rate=rate, **loss)
    owner = rng.integers(0, nodes, rows)
    data = {f"n{k}": tuple(each[owner == k] for each in (X, y, *weights)) for k in range(nodes)}
    want = clone(estimator).fit(X, y, *weights)
    np.testing.assert_allclose(together(estimator, data).predict(X), want.predict(X), rtol=0, atol=1e-9)


STOP: dict[str, Any] = {
    "early_stopping": True,
    "max_iter": 40,
    "max_leaf_nodes": 6,
    "learning_rate": 0.8,
    "n_iter_no_change": 2,
}


@pytest.mark.wide
@pytest.mark.parametrize("scoring", ["loss", None, "neg_mean_absolute_error"])
@pytest.mark.parametrize("loss", ["absolute error", "upper"])
def test_it_stops_where_scikit_learn_does(loss: str, scoring: Any) -> None:
    X, y = table(400)
    estimator = boosted(loss, **STOP, scoring=scoring, random_state=1)
    want = alone(estimator, y)
    assert want.n_iter_ < 40
    assert_same_fit(together(estimator, pooled(3, X, y)), want)


def fitted_with(boosting: Boosting, how: str, at: int, marker: Path, on: Any) -> Any:
    """The model of nodes, one of which is killed, or loses its state, in a round."""
    schema, bound = agree(tk.shards(dealt(3, X, Y)), tk.Inline())
    learner = interrupted(boosting, how, at, marker)
    model = learner.finish(run(Plan(learner), bound, on, schema=schema).model)
    assert marker.exists()
    return model


@pytest.mark.wide
def test_a_node_that_loses_its_state_in_any_round_of_a_tree_begins_again(tmp_path: Path) -> None:
    estimator = boosted("absolute error", max_iter=2, max_leaf_nodes=3)
    want = clone(estimator).fit(X, Y)
    rounds = len(tk.fit(estimator, dealt(3, X, Y), on=tk.Inline()).run.history)
    for at in range(1, rounds):
        got = fitted_with(Boosting(estimator), "forget", at, tmp_path / str(at), tk.Inline())
        assert_same_trees(got, want, X)


@pytest.mark.wide
@pytest.mark.parametrize("at", [2, 13])  # where the target is counted, and the residuals of the first tree
def test_a_worker_that_is_killed_is_replaced(at: int, tmp_path: Path) -> None:
    estimator = boosted("absolute error")
    got = fitted_with(Boosting(estimator), "kill", at, tmp_path / "done", tk.Local(2))
    assert_same_trees(got, clone(estimator).fit(X, Y), X)


@pytest.mark.wide
def test_within_a_pipeline_and_on_workers() -> None:
    for loss, on in (("absolute error", tk.Inline()), ("upper", tk.Local(2))):
        estimator = boosted(loss)
        pipeline = make_pipeline(StandardScaler(), estimator)
        for model in (pipeline, estimator):
            got = together(model, dealt(3, X, Y), on)
            np.testing.assert_allclose(got.predict(X), clone(model).fit(X, Y).predict(X), rtol=0, atol=1e-9)
        assert_same_bits(got, of_one_node(loss))  # of the estimator alone


@pytest.mark.wide
def test_it_is_saved_and_verified(tmp_path: Path) -> None:
    for loss in ("absolute error", "upper"):
        fit = tk.fit(boosted(loss), {"n": (X, Y)}, on=tk.Inline())
        fit.save(tmp_path / loss)
        np.testing.assert_array_equal(tk.load(tmp_path / loss).predict(X), fit.model.predict(X))
        assert tk.verify(boosted(loss), X, Y, nodes=(3,), on=tk.Inline()).ok


def test_it_goes_on_from_a_folder(tmp_path: Path) -> None:
    on = tk.Inline(checkpoint=tk.Checkpoint(tmp_path, every=0))
    first, again = (tk.fit(boosted("upper"), dealt(2, X, Y), on=on, progress=False) for _ in range(2))
    assert_same_bits(first.model, of_one_node("upper"))
    assert_same_bits(again.model, first.model)
    assert len(again.run.history) < len(first.run.history)
    with pytest.raises(tk.DataError, match="learned from other rows"):
        tk.fit(boosted("upper"), dealt(2, X, Y + 1e-9), on=on, progress=False)


def test_a_tree_costs_few_rounds_more() -> None:
    def rounds(trees: int, **given: Any) -> int:
        estimator = Regressor(max_iter=trees, max_depth=1, **given)
        return len(tk.fit(estimator, dealt(2, X, Y), on=tk.Inline(), progress=False).run.history)

    for loss in ("absolute error", "upper"):
        assert rounds(8, **LOSSES[loss]) - rounds(2, **LOSSES[loss]) <= 6 * (1 + 5)


def test_what_only_sums_may_leave_and_levels_that_are_none_are_refused() -> None:
    data = dealt(3, X, Y)
    del data["n3"]
    for loss in ("absolute error", "upper"):
        for chain in ([tk.fixed()], [tk.fixed(), tk.mask()]):
            with pytest.raises(tk.NotDistributable, match=r"residuals of single rows.*loss='squared_error'"):
                tk.fit(boosted(loss), data, chain=chain, on=tk.Inline())
    for level in (None, 0.0, 1.0):
        with pytest.raises(tk.NotDistributable, match="needs a level. Take one above 0 and below 1"):
            tk.fit(Regressor(loss="quantile", quantile=level), X, Y, on=tk.Inline())
