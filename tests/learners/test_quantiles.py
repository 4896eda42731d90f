from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given
from numpy.testing import assert_allclose
from pooling import FITS, assert_alike, assert_as_pooled, dealt, even, learn, pooled, together
from scipy import sparse
from sklearn.impute import SimpleImputer
from sklearn.preprocessing import KBinsDiscretizer, QuantileTransformer, RobustScaler

import talkoot as tk
from examples import examples
from talkoot.core.context import Ctx
from talkoot.core.errors import DataError, NotDistributable
from talkoot.data.tables.arrays import ArrayShard
from talkoot.learners.sums import counting
from talkoot.testing import check_learner
from talkoot.testing.strategies import deals

pytestmark = pytest.mark.wide

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
ONCE = examples(16, derandomize=True, suppress_health_check=list(HealthCheck))


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


def hard(rows: int) -> np.ndarray:
    """Far from 0, heavy tails, few values, whole numbers, money, times, missing values, all the same."""
    return np.column_stack(
        [
            RNG.normal(size=rows),
            RNG.normal(1e6, 1, rows),
            RNG.standard_cauchy(rows),
            RNG.integers(0, 10, rows),
            RNG.choice([0.1, 0.2, 0.3, -7.7], rows),
            1.6e9 + RNG.integers(0, 10**7, rows),
            np.where(RNG.random(rows) < 0.9, 0.0, RNG.normal(size=rows)),
            np.where(RNG.random(rows) < 0.3, np.nan, RNG.gamma(2, size=rows)),
            np.exp(RNG.normal(size=rows) * 80),
            np.full(rows, -3.25),
        ]
    )


MANY = hard(12_000)


@pytest.mark.parametrize(
    "scaler",
    [RobustScaler(), RobustScaler(quantile_range=(1.0, 99.9)), QuantileTransformer(subsample=None)],
    ids=repr,
)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_many_rows_have_the_quantiles_of_scikit_learn_to_the_bit(scaler: Any, dtype: Any) -> None:
    rows = np.clip(MANY, -1e30, 1e30).astype(dtype)
    got, want = together(scaler, even(rows, 3)), pooled(scaler, rows)
    assert_alike(got, want, 0.0, atol=0.0)


def test_many_rows_have_the_bins_of_scikit_learn() -> None:
    rows = MANY[:, [0, 1, 2, 3, 5, 6]]
    for method in METHODS:
        bins = KBinsDiscretizer(7, quantile_method=method, subsample=None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got = together(bins, even(rows, 3))
        assert_alike(got, pooled(bins, rows), 0.0, atol=0.0)


def test_nodes_that_cannot_keep_their_values_read_them_again(monkeypatch: pytest.MonkeyPatch) -> None:
    want = together(QuantileTransformer(n_quantiles=50), even(MANY, 3)).quantiles_
    for limit in (0, 10_000, 400_000):
        monkeypatch.setattr(counting, "KEY_BYTES", limit)
        got = together(QuantileTransformer(n_quantiles=50), even(MANY, 3)).quantiles_
        assert_allclose(got, want, rtol=0, atol=0)


@pytest.mark.parametrize("on", [tk.Inline(), tk.Local(2)], ids=["Inline", "Local"])
def test_the_answer_is_the_same_on_every_engine_and_at_every_call(on: Any) -> None:
    for estimator in (SimpleImputer(strategy="median"), QuantileTransformer(n_quantiles=30)):
        for nodes in (1, 3):
            got = tk.fit(estimator, MANY, nodes=nodes, on=on).model.transform(MANY[:100])
            want = pooled(estimator.set_params(**WHOLE.get(type(estimator), {})), MANY).transform(MANY[:100])
            assert_allclose(got, want, rtol=0, atol=0)


WHOLE: dict[type, dict[str, Any]] = {QuantileTransformer: {"subsample": None}}


def test_an_update_stays_small() -> None:
    """4 MB, and where more than 2^14 values are searched at once 256 bytes for each."""
    rows = RNG.normal(size=(400, 50))
    run = learn(QuantileTransformer(n_quantiles=400), even(rows, 2))
    schema, learner = run.schema, FITS[QuantileTransformer](QuantileTransformer(n_quantiles=400))
    model, sizes = learner.init(schema, np.random.default_rng(0)), []
    while not model.done:
        ctx = Ctx(node="a", schema=schema)
        update, _ = learner.work(learner.question(model), None, ArrayShard(name="a", X=rows), ctx)
        sizes.append(sum(leaf.nbytes for leaf in update.values.values()))
        model = learner.step(model, update)
    assert max(sizes) <= max(4.2e6, 256 * 400 * 50)
    assert len(sizes) <= 10


def test_rows_that_change_between_rounds_are_noticed() -> None:
    learner: Any = FITS[RobustScaler](RobustScaler())
    run = learn(RobustScaler(), even(MANY, 2))
    model = learner.init(run.schema, np.random.default_rng(0))
    ctx = Ctx(node="a", schema=run.schema)
    update, _ = learner.work(learner.question(model), None, ArrayShard(name="a", X=MANY), ctx)
    model = learner.step(model, update)
    fewer = ArrayShard(name="a", X=MANY[:9000])
    update, _ = learner.work(learner.question(model), None, fewer, ctx)
    with pytest.raises(DataError, match="the rows changed while they were read"):
        learner.step(model, update)


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
            KBinsDiscretizer(quantile_method="linear"),
            (X, None, np.ones(80)),
            "quantile_method='linear'. takes no sample weights.*averaged_inverted_cdf, inverted_cdf",
        ),
        (
            KBinsDiscretizer(quantile_method="inverted_cdf"),
            (X, None, np.zeros(80)),
            "weights add up to 0.0",
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


@pytest.mark.parametrize("method", ["averaged_inverted_cdf", "inverted_cdf"])
@pytest.mark.parametrize("draw", ["whole", "zeros", "any"])
def test_bins_of_rows_with_weights(method: str, draw: str) -> None:
    rows = np.column_stack([RNG.normal(size=900), RNG.integers(0, 40, 900), RNG.exponential(size=900)])
    w = {
        "whole": RNG.integers(1, 5, 900).astype(float),
        "zeros": RNG.integers(0, 2, 900) * 0.5,
        "any": RNG.random(900),
    }[draw]
    bins = KBinsDiscretizer(6, quantile_method=method, encode="ordinal")
    for count in (1, 3):
        parts = [(rows[i::count], None, w[i::count]) for i in range(count)]
        assert_alike(together(bins, parts), pooled(bins, rows, sample_weight=w), 1e-12)
