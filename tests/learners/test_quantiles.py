from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.testing import assert_allclose
from pooling import FITS, assert_alike, assert_as_pooled, dealt, even, learn, pooled, together
from scipy import sparse
from sklearn.preprocessing import KBinsDiscretizer, QuantileTransformer, RobustScaler

from talkoot.core.errors import DataError, NotDistributable
from talkoot.testing import check_learner
from talkoot.testing.strategies import deals

RNG = np.random.default_rng(0)
X = np.column_stack(
    [RNG.normal(1e6, 1, 80), RNG.integers(0, 9, 80), np.full(80, 4.0), RNG.exponential(100, 80)]
)
HOLES = np.where(RNG.random(X.shape) < 0.2, np.nan, X)
WIDE: Any = sparse.random(80, 4, density=0.4, format="csr", random_state=0)
SCALERS = [
    RobustScaler(),
    RobustScaler(quantile_range=(10.0, 80.0), unit_variance=True, with_centering=False),
    RobustScaler(with_scaling=False),
    QuantileTransformer(n_quantiles=30),
    QuantileTransformer(n_quantiles=1000, output_distribution="normal"),
]
METHODS = ["inverted_cdf", "averaged_inverted_cdf", "closest_observation", "interpolated_inverted_cdf"]
METHODS += ["hazen", "weibull", "linear", "median_unbiased", "normal_unbiased"]
BINS = [KBinsDiscretizer(4, strategy="uniform", encode=e) for e in ("onehot", "onehot-dense", "ordinal")]
BINS += [KBinsDiscretizer(4, quantile_method=method) for method in METHODS]
BINS += [KBinsDiscretizer([2, 12, 3, 5], encode="onehot-dense", dtype=np.float32)]
ONCE = settings(max_examples=8, derandomize=True, deadline=None, suppress_health_check=list(HealthCheck))


@pytest.mark.parametrize("scaler", SCALERS, ids=repr)
@ONCE
@given(deals(80))
def test_few_rows_are_exact_however_they_are_dealt(scaler: Any, deal: list[np.ndarray]) -> None:
    assert_as_pooled(scaler, HOLES, dealt(HOLES, deal))


@pytest.mark.parametrize("bins", BINS, ids=repr)
@ONCE
@given(deals(80))
def test_bins_of_few_rows_are_exact_however_they_are_dealt(bins: Any, deal: list[np.ndarray]) -> None:
    assert_as_pooled(bins, X, dealt(X, deal))


@pytest.mark.parametrize("estimator", [*SCALERS, BINS[0], BINS[4]], ids=repr)
def test_float32(estimator: Any) -> None:
    rows = X.astype(np.float32)
    assert_as_pooled(estimator, rows, even(rows, 3), rtol=1e-6)


@pytest.mark.parametrize("negative", [False, True])
def test_sparse_rows(negative: bool) -> None:
    rows = WIDE.copy()
    rows.data = rows.data - 0.5 * negative
    cases: list[Any] = [RobustScaler(with_centering=False)]
    cases += [QuantileTransformer(n_quantiles=20, ignore_implicit_zeros=negative)]
    for scaler in cases:
        assert_as_pooled(scaler, rows, even(rows, 3))


def test_a_sparse_column_that_stores_nothing() -> None:
    rows = sparse.csr_matrix(np.array([[0.0, 1.0], [0.0, 2.0], [0.0, 0.0]]))
    for ignore in (False, True):
        scaler = QuantileTransformer(n_quantiles=3, ignore_implicit_zeros=ignore)
        assert_as_pooled(scaler, rows, even(rows, 2))


def test_many_rows_are_within_the_stated_rank_error() -> None:
    rows = np.column_stack([RNG.normal(size=60_000), RNG.exponential(size=60_000)])
    scaler = QuantileTransformer(n_quantiles=200, subsample=None)
    run = learn(scaler, even(rows, 3))
    stated = run.plan.learner.measures(run.model)["rank_error"]
    want = pooled(scaler, rows)
    for j, found in enumerate(run.model.result.quantiles_.T):
        ranks = np.searchsorted(np.sort(rows[:, j]), found) / len(rows)
        assert np.abs(ranks - want.references_).max() <= stated + 1 / len(rows)
    assert run.plan.learner.kind == "sketched"
    assert stated == pytest.approx(0.00071, abs=1e-5)


def test_an_exact_sketch_says_so() -> None:
    run = learn(RobustScaler(), even(X, 2))
    assert run.plan.learner.measures(run.model) == {"rank_error": 0.0}


def test_even_bins_are_exact_on_any_number_of_rows() -> None:
    rows = RNG.normal(size=(30_000, 1))
    bins = KBinsDiscretizer(strategy="uniform", subsample=None)
    run = learn(bins, even(rows, 3))
    assert run.plan.learner.kind == "exact"
    assert_alike(run.model.result, pooled(bins, rows), 1e-12)


def test_rows_of_weight_zero_do_not_stretch_the_bins() -> None:
    w = np.ones(80)
    w[[X[:, 0].argmin(), X[:, 3].argmax()]] = 0
    bins = KBinsDiscretizer(strategy="uniform")
    parts = [(part, None, v) for part, v in zip(even(X, 3), even(w, 3), strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        got = together(bins, parts)
    assert_alike(got, pooled(bins, X, sample_weight=w), 1e-12)


def test_a_column_without_any_value_is_named() -> None:
    table = pd.DataFrame({"age": [1.0, 2.0, 4.0], "dose": [np.nan] * 3})
    for scaler in (RobustScaler(), QuantileTransformer(n_quantiles=3)):
        with pytest.warns(UserWarning, match="column 'dose': every value is missing at every node"):
            got = together(scaler, even(table, 2))
        assert_alike(got, pooled(scaler, table), 1e-12)


def test_warnings_name_the_columns() -> None:
    table = pd.DataFrame({"age": [1.0, 2.0, 4.0], "ward": [7.0] * 3})
    with pytest.warns(UserWarning, match="constant: 'ward'; KBinsDiscretizer replaces"):
        together(KBinsDiscretizer(2, strategy="uniform"), [table])
    with pytest.warns(UserWarning, match="column 'age': 4 bins no wider than 1e-08 are removed"):
        together(KBinsDiscretizer(5, encode="ordinal"), [pd.DataFrame({"age": [0.0] * 9 + [1.0, 2.0]})])
    with pytest.warns(UserWarning, match="n_quantiles is set to 3"):
        together(QuantileTransformer(), [table])
    with pytest.warns(UserWarning, match="ignore_implicit_zeros has no effect on dense rows"):
        together(QuantileTransformer(n_quantiles=3, ignore_implicit_zeros=True), [table])


def test_laws() -> None:
    check_learner(FITS[RobustScaler](RobustScaler()), X)


@pytest.mark.parametrize(
    ("estimator", "rows", "said"),
    [
        (RobustScaler(), WIDE, "Cannot center sparse matrices: use `with_centering=False`"),
        (RobustScaler(quantile_range=(80.0, 20.0)), X, "Invalid quantile range"),
        (RobustScaler(), np.array([[np.inf]]), "column '0': at least 1 values are infinite"),
        (
            QuantileTransformer(n_quantiles=200, subsample=100),
            X,
            "The number of quantiles cannot be greater than the number",
        ),
        (QuantileTransformer(), -WIDE, "node 'node0'.* takes no negative values in sparse rows"),
        (KBinsDiscretizer(1), X, "The 'n_bins' parameter of KBinsDiscretizer must be"),
        (KBinsDiscretizer([2, 3]), X, "n_bins must be a scalar or array of shape"),
        (KBinsDiscretizer(), HOLES, "values are missing .NaN. or infinite"),
        (KBinsDiscretizer(strategy="uniform"), HOLES, "values are missing .NaN. or infinite"),
        (KBinsDiscretizer(), WIDE, "Sparse data was passed"),
        (KBinsDiscretizer(), pd.DataFrame({"n": [1.0], "t": ["x"]}), "column 't': it holds text"),
        (
            KBinsDiscretizer(),
            (X, None, np.ones(80)),
            "sample weights.*count every row once.*Leave weight= out",
        ),
        (RobustScaler(), (X, None, np.ones(80)), "RobustScaler takes no sample weights"),
    ],
)
def test_bad_rows_and_parameters_are_refused(estimator: Any, rows: Any, said: str) -> None:
    with pytest.raises(DataError, match=said):
        together(estimator, [rows])


def test_bins_from_clusters_are_refused_with_the_nearest() -> None:
    with pytest.raises(NotDistributable, match="strategy='kmeans'.* Take strategy=\"quantile\""):
        FITS[KBinsDiscretizer](KBinsDiscretizer(strategy="kmeans"))


def test_landmarks_are_those_of_scikit_learn_to_the_bit() -> None:
    rows = RNG.integers(0, 4, (57, 1)).astype(float)  # ties, where a last bit moves a rank
    got, want = (
        together(QuantileTransformer(n_quantiles=57), even(rows, 3)),
        pooled(QuantileTransformer(n_quantiles=57), rows),
    )
    assert_allclose(got.quantiles_, want.quantiles_, rtol=0, atol=0)
    assert_allclose(got.transform(rows), want.transform(rows), rtol=0, atol=0)
