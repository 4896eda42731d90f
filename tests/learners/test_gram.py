from __future__ import annotations

import pickle
import warnings
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, Ridge, RidgeCV
from summing import FITS, NODES, assert_fits, fit, forgotten, learn, over, pooled

from examples import examples
from talkoot.core.errors import DataError, NotDistributable
from talkoot.core.update import Update
from talkoot.learners import learner_for
from talkoot.learners.sums.factor import factor
from talkoot.testing import check_learner

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 5)) @ RNG.normal(size=(5, 5)) + RNG.normal(size=5)
Y = X @ RNG.normal(size=(5, 2)) + RNG.normal(size=(120, 2)) + 3
y = Y[:, 0]
W = RNG.uniform(0, 2, 120) * (RNG.random(120) < 0.9)
WIDE: Any = sparse.random(120, 12, density=0.3, format="csr", random_state=0)

CLOSED = [
    LinearRegression(),
    LinearRegression(fit_intercept=False),
    LinearRegression(positive=True),
    Ridge(2.0),
    Ridge(0.5, fit_intercept=False, solver="svd"),
    Ridge(positive=True),
    Lasso(0.1),
    Lasso(0.01, fit_intercept=False, positive=True),
    ElasticNet(0.1, l1_ratio=0.3),
    ElasticNet(0.1, selection="random", random_state=0),
]
LEFT_OUT = [
    RidgeCV(),
    RidgeCV(alphas=np.logspace(-3, 3, 7), fit_intercept=False),
    RidgeCV(alphas=(0.1, 30.0), alpha_per_target=True),
]
ALL = CLOSED + LEFT_OUT


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_equals_scikit_learn_on_the_pooled_rows(estimator: Any, nodes: int) -> None:
    assert_fits(fit(estimator, over(nodes, X, y)), pooled(estimator, X, y))


@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_sample_weights_zeros_included(estimator: Any) -> None:
    got = fit(estimator, over(3, X, y, W))
    assert_fits(got, pooled(estimator, X, y, W))


@pytest.mark.parametrize("weights", [None, W], ids=["plain", "weighted"])
@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_several_targets(estimator: Any, weights: Any) -> None:
    assert_fits(fit(estimator, over(3, X, Y, weights)), pooled(estimator, X, Y, weights))


@pytest.mark.parametrize("estimator", [LinearRegression(), Ridge(), Lasso(0.1), RidgeCV()], ids=repr)
def test_one_target_in_a_column_of_its_own(estimator: Any) -> None:
    assert_fits(fit(estimator, over(2, X, Y[:, :1])), pooled(estimator, X, Y[:, :1]))


def test_a_penalty_for_each_target() -> None:
    estimator = Ridge(alpha=np.array([0.1, 50.0]))
    assert_fits(fit(estimator, over(3, X, Y)), pooled(estimator, X, Y))


@pytest.mark.parametrize("solver", ["sag", "saga", "lsqr", "sparse_cg"])
def test_iterative_ridge_goes_where_its_solver_goes(solver: str) -> None:
    want = pooled(Ridge(solver=solver, tol=1e-14, max_iter=100_000, random_state=0), X, y)
    got = fit(Ridge(solver=solver), over(3, X, y))
    assert_allclose(got.coef_, want.coef_, rtol=1e-6)
    assert got.solver_ == "cholesky"


@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_columns_near_a_million_with_unit_variance(estimator: Any) -> None:
    if isinstance(estimator, RidgeCV) and not estimator.fit_intercept:
        estimator = RidgeCV(estimator.alphas, fit_intercept=False, gcv_mode="svd")  # scikit-learn's exact way
    far, near = X + 1e6, y + 1e6
    want = pooled(estimator, far, near)
    assert_fits(fit(estimator, over(3, far, near)), want)


def test_float32_rows_near_a_million_are_summed_in_float64_and_kept_as_float32() -> None:
    """The reference is scikit-learn in float64: its own float32 answer is wrong in the first digit."""
    far = (X + 1e6).astype(np.float32)
    want = pooled(LinearRegression(), far.astype(np.float64), y)
    got = fit(LinearRegression(), over(3, far, y))
    assert_allclose(got.coef_, want.coef_, rtol=1e-6)
    assert_allclose(got.singular_, want.singular_, rtol=1e-6)
    own = pooled(LinearRegression(), far, y)
    assert np.abs(own.coef_ / want.coef_ - 1).max() > 0.01
    assert got.coef_.dtype == got.intercept_.dtype == own.coef_.dtype == np.float32


@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_float32(estimator: Any) -> None:
    rows = X.astype(np.float32)
    got, own = fit(estimator, over(3, rows, y)), pooled(estimator, rows, y)
    assert_fits(got, own, rtol=1e-3, without=("n_iter_",))  # that is all float32 allows there
    want = pooled(estimator, rows.astype(np.float64), y)
    assert_allclose(got.coef_, want.coef_, rtol=2e-7, atol=1e-9)


@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_sparse_rows_equal_dense_ones(estimator: Any) -> None:
    target = WIDE @ RNG.normal(size=12) + y
    got = fit(estimator, over(3, WIDE, target))
    assert_fits(got, pooled(estimator, WIDE.toarray(), target))


@pytest.mark.parametrize("estimator", [LinearRegression(), Ridge(), RidgeCV(), Lasso(0.01)], ids=repr)
def test_sparse_columns_that_are_nearly_full_are_summed_about_their_mean(estimator: Any) -> None:
    full = sparse.csr_array(np.hstack([WIDE.toarray(), 1e6 + X, np.ones((120, 1))]))
    target = WIDE @ RNG.normal(size=12) + y
    done = learn(estimator, over(3, full, target))
    assert len(done.history) == 2 + isinstance(estimator, RidgeCV)
    assert_fits(done.model.result, pooled(estimator, full.toarray(), target))


@pytest.mark.parametrize("estimator", ALL, ids=repr)
def test_a_poor_center_costs_one_round_and_no_digits(estimator: Any) -> None:
    done = learn(estimator, over(3, X, y), center=np.full(5, 1e7), target_center=np.array([-1e9]))
    assert len(done.history) == 2 + isinstance(estimator, RidgeCV)
    assert_fits(done.model.result, pooled(estimator, X, y))


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("estimator", [LinearRegression(), Ridge(1.0), Ridge(0.0), Lasso(0.1)], ids=repr)
def test_collinear_and_constant_columns(estimator: Any, intercept: bool) -> None:
    rows = np.column_stack([X, X[:, 0] * 2 - X[:, 1], np.full(120, 5.0), X[:, 2]])
    estimator = type(estimator)(**estimator.get_params() | {"fit_intercept": intercept})
    reference = estimator  # without a penalty scikit-learn's Ridge is noise here; the least norm is not
    if getattr(estimator, "alpha", 1) == 0:
        reference = LinearRegression(fit_intercept=intercept)
    got, want = fit(estimator, over(3, rows, y)), pooled(reference, rows, y)
    assert_allclose(got.coef_, want.coef_, rtol=1e-9, atol=1e-9 * np.abs(want.coef_).max())
    if isinstance(estimator, LinearRegression):
        assert got.rank_ == want.rank_
        assert_allclose(got.singular_, want.singular_, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 4])
def test_fewer_rows_than_columns_give_the_least_norm(rows: int, intercept: bool) -> None:
    for estimator in (LinearRegression(fit_intercept=intercept), Ridge(0.1, fit_intercept=intercept)):
        got, want = fit(estimator, over(2, X[:rows], y[:rows])), pooled(estimator, X[:rows], y[:rows])
        assert_allclose(got.coef_, want.coef_, rtol=1e-9, atol=1e-12)
        assert_allclose(got.intercept_, want.intercept_, rtol=1e-9)
    if rows > 1 and intercept:
        ours = fit(LinearRegression(), over(2, X[:rows], y[:rows]))
        theirs = pooled(LinearRegression(), X[:rows], y[:rows])
        assert ours.rank_ == theirs.rank_ == rows - 1
        assert_allclose(ours.singular_, theirs.singular_, atol=1e-9)


@pytest.mark.parametrize("estimator", [LinearRegression(), Ridge(), Lasso(), RidgeCV()], ids=repr)
def test_columns_that_are_all_constant_leave_the_mean(estimator: Any) -> None:
    got = fit(estimator, over(2, np.ones((20, 3)), y[:20]))
    assert_allclose(got.coef_, 0)
    assert_allclose(got.intercept_, y[:20].mean())


def test_columns_of_very_different_scales() -> None:
    rows = X * 10.0 ** np.arange(-4, 6, 2)
    for estimator in (Ridge(1e-9), Lasso(1e-4, max_iter=3)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got = fit(estimator, over(3, rows, y))
        assert_allclose(got.coef_, pooled(estimator, rows, y).coef_, rtol=1e-9)


def test_lasso_takes_the_same_steps_and_warns_alike() -> None:
    estimator = Lasso(1e-6, max_iter=2)
    with pytest.warns(ConvergenceWarning):
        got = fit(estimator, over(3, X, y))
    want = pooled(estimator, X, y)
    assert got.n_iter_ == want.n_iter_ == 2
    assert_allclose(got.dual_gap_, want.dual_gap_, rtol=1e-6)
    assert_fits(got, want)


@pytest.mark.parametrize("leaver", ["node0", "node2", "node3"])
@pytest.mark.parametrize("estimator", CLOSED, ids=repr)
def test_a_node_that_is_subtracted_was_never_there(estimator: Any, leaver: str) -> None:
    data = over(3, X, y, W)
    never = fit(estimator, {node: part for node, part in data.items() if node != leaver})
    assert_fits(forgotten(estimator, data, leaver), never)


def test_a_node_far_from_the_others_asks_for_a_round_when_it_leaves() -> None:
    data = over(2, X, y)
    data["far"] = (X + 1e9, y)
    assert forgotten(Ridge(), data, "far") is None
    assert forgotten(Ridge(), data, "node0") is not None


@pytest.mark.parametrize("estimator", [LinearRegression(), Ridge(), ElasticNet(0.1), RidgeCV()], ids=repr)
def test_laws(estimator: Any) -> None:
    rtol = 1e-6 if isinstance(estimator, ElasticNet) else 1e-9  # its gap is a difference of large numbers
    for rows in (X, WIDE):
        check_learner(FITS[type(estimator)](estimator), rows, y, rtol=rtol)


@examples(50, derandomize=True)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 60),
    columns=st.integers(1, 8),
    shift=st.sampled_from([0.0, 1.0, 1e6]),
    intercept=st.booleans(),
)
def test_any_shape_any_shift(seed: int, rows: int, columns: int, shift: float, intercept: bool) -> None:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, columns)) + shift
    target = rng.normal(size=rows) + shift
    estimator = Ridge(1.0, fit_intercept=intercept, solver="svd")
    got, want = fit(estimator, over(3, table, target)), pooled(estimator, table, target)
    exact = 1e-9 if intercept or not shift else 1e-7  # without an intercept the shift is a condition number
    assert_allclose(got.predict(table), want.predict(table), rtol=exact, atol=exact)


@examples(100, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), rank=st.integers(0, 6), columns=st.integers(1, 6))
def test_factor_has_as_many_rows_as_the_rank(seed: int, rank: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(20, rank)) @ rng.normal(size=(rank, columns))
    table *= 10.0 ** rng.integers(-6, 6, columns)
    scatter = table.T @ table
    spread = np.sqrt(scatter.diagonal()) + 1e-150
    slopes = rng.normal(size=(columns, 2)) / spread[:, None]
    R, T = factor(scatter, scatter @ slopes)
    assert R.shape == (min(rank, columns), columns)
    assert_allclose(R.T @ R / np.outer(spread, spread), scatter / np.outer(spread, spread), atol=1e-13)
    assert_allclose(R.T @ T / spread[:, None], scatter @ slopes / spread[:, None], atol=1e-9)


def test_names_and_a_model_that_needs_no_talkoot() -> None:
    table = pd.DataFrame(X, columns=list("abcde"))
    got = fit(Ridge(), over(3, table, y))
    assert got.feature_names_in_.tolist() == list("abcde")
    again = pickle.loads(pickle.dumps(got))
    assert_allclose(again.predict(table), pooled(Ridge(), table, y).predict(table), rtol=1e-9)


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (Lasso(precompute=np.eye(5)), "precompute"),
        (RidgeCV(cv=5), "depends on their order.*Leave cv out"),
        (RidgeCV(scoring="r2"), "only squared errors add up"),
        (RidgeCV(store_cv_results=True), "would leave its node"),
        (RidgeCV(alphas=(0.0, 1.0)), "penalties above 0"),
        (Ridge(alpha=-1), "'alpha' parameter of Ridge must be"),
        (RidgeCV(gcv_mode="magic"), "'gcv_mode' parameter of RidgeCV must be"),
    ],
    ids=repr,
)
def test_parameters_are_refused_with_a_reason(estimator: Any, reason: str) -> None:
    with pytest.raises(NotDistributable, match=reason):
        learner_for(estimator)


def test_rows_are_refused_with_node_column_and_cure() -> None:
    holes = X.copy()
    holes[5, 3] = np.nan
    data: dict[str, Any] = {"good": (X, y), "bad": (holes, y)}
    with pytest.raises(DataError, match=r"node 'bad', round 0, column '3'.*missing.*SimpleImputer") as caught:
        fit(Ridge(), data)
    assert caught.value.column == "3"
    with pytest.raises(DataError, match="3 sample weights are negative"):
        fit(Ridge(), {"a": (X, y, np.r_[np.full(3, -1.0), np.ones(117)])})
    with pytest.raises(DataError, match="all sample weights are 0"):
        fit(Ridge(), {"a": (X, y, np.zeros(120))})
    with pytest.raises(DataError, match=r"needs a target.*target="):
        fit(Ridge(), {"a": X})
    with pytest.raises(DataError, match=r"column 'x'.*text"):
        fit(Ridge(), {"a": (pd.DataFrame({"x": list("ab")}), y[:2])})
    with pytest.raises(DataError, match="number of penalties"):
        fit(Ridge(alpha=[1.0, 2.0, 3.0]), {"a": (X, Y)})


def test_so_many_columns_that_their_products_fill_the_memory_are_refused_before_any_sum() -> None:
    schema = learn(Ridge(), over(1, X, y)).schema
    wide = replace(schema, kinds=("number",) * 20_000, center=np.zeros(20_000))
    with pytest.raises(DataError, match=r"20000 columns: 3 GiB at every node"):
        FITS[Ridge](Ridge()).init(wide, RNG)


def test_no_rows_at_all() -> None:
    learner = FITS[Ridge](Ridge())
    done = learn(Ridge(), over(1, X, y))
    with pytest.raises(DataError, match="no node has rows"):
        learner.outer().apply(done.point, Update(), False)
