from __future__ import annotations

import pickle
import warnings
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy import sparse
from sklearn.naive_bayes import BernoulliNB, CategoricalNB, ComplementNB, GaussianNB, MultinomialNB
from summing import FITS, NODES, assert_fits, fit, forgotten, learn, over, pooled

from examples import examples
from talkoot.core.errors import DataError, NotDistributable
from talkoot.core.update import Update
from talkoot.learners import learner_for
from talkoot.testing import check_learner

RNG = np.random.default_rng(0)
LABELS = np.array(["ash", "elm", "fir"])[RNG.integers(0, 3, 150)]
IS = (LABELS[:, None] == ["ash", "elm", "fir", "oak", "yew"]).astype(float)
X = RNG.normal(size=(150, 5)) * np.arange(1, 6) + IS
COUNTS = RNG.poisson(1.5, size=(150, 5)).astype(float)
W = RNG.uniform(0, 2, 150) * (RNG.random(150) < 0.9)
WIDE: Any = sparse.random(150, 30, density=0.2, format="csr", random_state=0)
PRIORS = [0.1, 0.2, 0.7]

GAUSSIAN = [
    GaussianNB(),
    GaussianNB(priors=PRIORS, var_smoothing=1e-3),
    GaussianNB(var_smoothing=0),
]
COUNTING = [
    MultinomialNB(),
    MultinomialNB(alpha=0.3, class_prior=PRIORS),
    MultinomialNB(fit_prior=False, alpha=0.0, force_alpha=True),
    ComplementNB(),
    ComplementNB(norm=True, alpha=0.5),
    BernoulliNB(),
    BernoulliNB(binarize=1.5, alpha=2.0),
]
CATEGORICAL = [
    CategoricalNB(),
    CategoricalNB(min_categories=12, alpha=0.1),
    CategoricalNB(min_categories=[3, 20, 3, 3, 3], fit_prior=False),
    CategoricalNB(class_prior=PRIORS),
]
ALL = [(e, X) for e in GAUSSIAN] + [(e, COUNTS) for e in COUNTING + CATEGORICAL]


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize(("estimator", "rows"), ALL, ids=lambda given: repr(given)[:60])
def test_equals_scikit_learn_on_the_pooled_rows(estimator: Any, rows: np.ndarray, nodes: int) -> None:
    got, want = fit(estimator, over(nodes, rows, LABELS)), pooled(estimator, rows, LABELS)
    assert_fits(got, want)
    assert_array_equal(got.predict(rows), want.predict(rows))
    assert_allclose(got.predict_proba(rows), want.predict_proba(rows), rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(("estimator", "rows"), ALL, ids=lambda given: repr(given)[:60])
def test_sample_weights_zeros_included(estimator: Any, rows: np.ndarray) -> None:
    assert_fits(fit(estimator, over(3, rows, LABELS, W)), pooled(estimator, rows, LABELS, W))


@pytest.mark.parametrize("estimator", COUNTING, ids=repr)
def test_sparse_counts_stay_sparse_and_equal(estimator: Any) -> None:
    if not isinstance(estimator, BernoulliNB):  # which takes no array, whatever it says
        estimator = type(estimator)(**estimator.get_params() | {"alpha": RNG.uniform(0.1, 1, 30)})
    for weights in (None, W):
        got = fit(estimator, over(3, WIDE, LABELS, weights))
        assert_fits(got, pooled(estimator, WIDE, LABELS, weights))


def test_bernoulli_of_bits_needs_no_threshold() -> None:
    bits = (COUNTS > 1).astype(float)
    estimator = BernoulliNB(binarize=None)
    assert_fits(fit(estimator, over(3, bits, LABELS)), pooled(estimator, bits, LABELS))


@pytest.mark.parametrize("estimator", COUNTING + CATEGORICAL, ids=repr)
def test_counts_of_float32_are_float64_as_in_scikit_learn(estimator: Any) -> None:
    rows = COUNTS.astype(np.float32)
    assert_fits(fit(estimator, over(3, rows, LABELS)), pooled(estimator, rows, LABELS))


@pytest.mark.parametrize("weights", [None, W], ids=["plain", "weighted"])
@pytest.mark.parametrize("estimator", GAUSSIAN, ids=repr)
@pytest.mark.parametrize(("shift", "apart"), [(1e6, 0.0), (0.0, 1e6), (-1e3, 1e6)])
def test_unit_variances_far_from_zero_and_from_each_other(
    estimator: Any, shift: float, apart: float, weights: Any
) -> None:
    rows = RNG.normal(size=(150, 5)) + shift + apart * IS
    done = learn(estimator, over(3, rows, LABELS, weights))
    assert len(done.history) == 1 + bool(apart)
    want = pooled(estimator, rows, LABELS, weights)
    assert_fits(done.model.result, want)
    assert_allclose(done.model.result.var_, want.var_, rtol=1e-9)  # each by itself, not only the greatest


def test_gaussian_float32_is_summed_in_float64_and_kept_as_float32() -> None:
    rows = (X + 1e4).astype(np.float32)
    got, own = fit(GaussianNB(), over(3, rows, LABELS)), pooled(GaussianNB(), rows, LABELS)
    assert_fits(got, own, rtol=1e-2)  # scikit-learn sums in float32
    want = pooled(GaussianNB(), rows.astype(np.float64), LABELS)
    assert_allclose(got.var_, want.var_, rtol=1e-6)
    assert_allclose(got.theta_, want.theta_, rtol=1e-7)


def test_constant_and_binary_columns() -> None:
    rows = np.column_stack([X, np.full(150, 1e5 / 3), COUNTS > 1, IS[:, 0], np.zeros(150)])
    done = learn(GaussianNB(), over(3, rows, LABELS))
    assert len(done.history) == 2
    assert_allclose(done.model.result.var_, pooled(GaussianNB(), rows, LABELS).var_, rtol=1e-9)


def test_a_class_whose_rows_all_weigh_nothing_stays() -> None:
    weights = W * (LABELS != "elm")
    for estimator, rows in ((GaussianNB(), X), (MultinomialNB(), COUNTS)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # log(0), as in scikit-learn
            got = fit(estimator, over(3, rows, LABELS, weights))
        assert_fits(got, pooled(estimator, rows, LABELS, weights))


@pytest.mark.parametrize("estimator", [GaussianNB(), MultinomialNB(), CategoricalNB()], ids=repr)
@pytest.mark.parametrize(
    "target", [LABELS == "ash", np.zeros(150, dtype=int), IS[:, 0]], ids=["2", "1", "0."]
)
def test_other_labels(estimator: Any, target: np.ndarray) -> None:
    assert_fits(fit(estimator, over(2, COUNTS, target)), pooled(estimator, COUNTS, target))


@pytest.mark.parametrize("weights", [None, W], ids=["plain", "weighted"])
@pytest.mark.parametrize(("estimator", "rows"), ALL, ids=lambda given: repr(given)[:60])
def test_a_node_that_is_subtracted_was_never_there(estimator: Any, rows: np.ndarray, weights: Any) -> None:
    data = over(3, rows, LABELS, weights)
    never = fit(estimator, {node: part for node, part in data.items() if node != "node1"})
    assert_fits(forgotten(estimator, data, "node1"), never)


@pytest.mark.parametrize("weights", [None, W], ids=["plain", "weighted"])
@pytest.mark.parametrize(
    ("estimator", "rows"),
    [(GaussianNB(), X), (MultinomialNB(), COUNTS), (CategoricalNB(), COUNTS + 9 * IS)],
    ids=lambda given: repr(given)[:60],
)
def test_classes_and_categories_leave_with_the_only_node_that_had_them(
    estimator: Any, rows: np.ndarray, weights: Any
) -> None:
    ash = LABELS == "ash"
    kept = [rows[~ash], LABELS[~ash]] + ([] if weights is None else [weights[~ash]])
    left = [rows[ash], LABELS[ash]] + ([] if weights is None else [weights[ash]])
    data: dict[str, Any] = over(2, *kept) | {"park": tuple(left)}
    got = forgotten(estimator, data, "park")
    assert got.classes_.tolist() == ["elm", "fir"]
    assert_fits(got, pooled(estimator, *kept))


@pytest.mark.parametrize(
    ("estimator", "rows"),
    [(GaussianNB(), X), (MultinomialNB(), COUNTS), (BernoulliNB(), WIDE), (CategoricalNB(), COUNTS)],
    ids=lambda given: repr(given)[:30],
)
def test_laws(estimator: Any, rows: Any) -> None:
    check_learner(FITS[type(estimator)](estimator), rows, LABELS, labels=True)


@examples(50, derandomize=True)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 30), classes=st.integers(1, 4))
def test_any_few_rows(seed: int, rows: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    table = rng.integers(0, 4, size=(rows, 3)).astype(float)
    target = rng.integers(0, classes, rows)
    for estimator in (GaussianNB(var_smoothing=0.1), ComplementNB(), CategoricalNB()):
        if estimator.__class__ is GaussianNB and np.ptp(table, axis=0).max() == 0:
            continue  # no variance anywhere: scikit-learn divides by zero
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # one class or a column of zeros: log(0), as in scikit-learn
            got = fit(estimator, over(2, table, target))
        assert_fits(got, pooled(estimator, table, target))


def test_names_and_a_model_that_needs_no_talkoot() -> None:
    table = pd.DataFrame(COUNTS, columns=list("abcde"))
    for estimator in (GaussianNB(), MultinomialNB(), CategoricalNB()):
        got = pickle.loads(pickle.dumps(fit(estimator, over(3, table, LABELS))))
        want = pooled(estimator, table, LABELS)
        assert got.feature_names_in_.tolist() == list("abcde")
        assert_allclose(got.predict_log_proba(table), want.predict_log_proba(table), rtol=1e-9)


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (GaussianNB(var_smoothing=-1), "'var_smoothing' parameter of GaussianNB must be"),
        (MultinomialNB(alpha="much"), "'alpha' parameter of MultinomialNB must be"),
        (CategoricalNB(min_categories=2.5), "'min_categories' parameter of CategoricalNB must be"),
    ],
    ids=repr,
)
def test_parameters_are_refused_with_a_reason(estimator: Any, reason: str) -> None:
    with pytest.raises(NotDistributable, match=reason):
        learner_for(estimator)


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (GaussianNB(priors=[0.5, 0.5]), "3 classes with rows and 2 priors"),
        (GaussianNB(priors=[0.5, 0.5, 0.5]), "no probabilities that add up to 1"),
        (MultinomialNB(class_prior=[0.5, 0.5]), "Number of priors must match number of classes"),
        (BernoulliNB(alpha=[1.0, 2.0]), "should contains `n_features`"),
        (CategoricalNB(class_prior=[0.5, 0.5]), "Number of priors must match number of classes"),
        (CategoricalNB(min_categories=[2, 2]), r"nor one for each of 5 columns"),
    ],
    ids=repr,
)
def test_parameters_that_do_not_fit_the_rows_are_found_before_any_sum(estimator: Any, reason: str) -> None:
    schema = learn(GaussianNB(), over(1, COUNTS, LABELS)).schema
    with pytest.raises(DataError, match=reason):
        FITS[type(estimator)](estimator).init(schema, RNG)


@pytest.mark.parametrize(
    ("estimator", "rows", "reason"),
    [
        (MultinomialNB(), -COUNTS, r"node 'a'.*column '\d'.*Negative values.*MinMaxScaler"),
        (ComplementNB(), -WIDE, r"node 'a'.*column '\d+'.*Negative"),
        (CategoricalNB(), -COUNTS, "Negative.*CategoricalNB"),
        (CategoricalNB(), COUNTS * 1e9, "codes go up to .*OrdinalEncoder"),
        (CategoricalNB(), WIDE, "the rows are sparse"),
        (GaussianNB(), WIDE, "the rows are sparse"),
        (MultinomialNB(), np.where(COUNTS > 2, np.nan, COUNTS), "missing.*SimpleImputer"),
        (CategoricalNB(), pd.DataFrame({"pet": list("ab") * 75}), "column 'pet'.*text.*OrdinalEncoder"),
    ],
    ids=lambda given: repr(given)[:30],
)
def test_rows_are_refused_with_column_and_cure(estimator: Any, rows: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        fit(estimator, {"a": (rows, LABELS)})


def test_weights_and_targets_are_refused() -> None:
    with pytest.raises(DataError, match="all sample weights are 0"):
        fit(GaussianNB(), {"a": (X, LABELS, np.zeros(150))})
    with pytest.raises(DataError, match="150 sample weights are negative"):
        fit(BernoulliNB(), {"a": (X, LABELS, np.full(150, -1.0))})


@pytest.mark.parametrize("estimator", [GaussianNB(), MultinomialNB(), CategoricalNB()], ids=repr)
def test_no_rows_at_all(estimator: Any) -> None:
    done = learn(estimator, over(1, COUNTS, LABELS))
    with pytest.raises(DataError, match="no node has rows"):
        done.plan.outer.apply(done.point, Update(), False)
