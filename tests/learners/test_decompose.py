from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.covariance import EmpiricalCovariance
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis as LDA
from summing import FITS, NODES, assert_fits, fit, forgotten, learn, over, pooled

from talkoot.core.errors import DataError, NotDistributable
from talkoot.learners import learner_for
from talkoot.testing import check_learner

RNG = np.random.default_rng(0)
TURN = np.linalg.qr(RNG.normal(size=(6, 6)))[0]
X = RNG.normal(size=(200, 6)) * np.arange(1, 7) @ TURN + RNG.normal(size=6)
LABELS = np.array(["ash", "elm", "fir", "oak"])[RNG.integers(0, 4, 200)]
AWAY = X + 2 * (LABELS[:, None] == ["ash", "elm", "fir", "oak", "x", "y"])
WIDE: Any = sparse.random(200, 15, density=0.3, format="csr", random_state=0)

PCAS = [
    PCA(svd_solver="full"),
    PCA(3, whiten=True, svd_solver="full"),
    PCA(0.8, svd_solver="full"),
    PCA("mle", svd_solver="full"),
    PCA(0, svd_solver="full"),
    PCA(2, svd_solver="arpack"),
    PCA(svd_solver="arpack"),
    PCA(2, svd_solver="randomized", iterated_power=60, random_state=0),
    PCA(4, svd_solver="covariance_eigh"),
    PCA(),
]
SVDS = [TruncatedSVD(3, algorithm="arpack"), TruncatedSVD(3, n_iter=60, random_state=0)]
PRIORS = [0.1, 0.2, 0.3, 0.4]
LDAS = [
    LDA(),
    LDA(n_components=1, store_covariance=True),
    LDA(priors=PRIORS, store_covariance=True),
    LDA("lsqr"),
    LDA("lsqr", shrinkage=0.3, priors=PRIORS),
    LDA("eigen"),
    LDA("eigen", shrinkage=0.2),
    LDA("eigen", priors=PRIORS, n_components=2),
]


def assert_discriminates(got: Any, want: Any, rtol: float = 1e-9) -> None:
    """As scikit-learn's, but for the signs of scalings, and those that no class mean decides."""
    assert_fits(got, want, rtol, without=("scalings_",))
    assert (got._max_components, got._n_features_out) == (want._max_components, want._n_features_out)
    if hasattr(want, "scalings_"):
        assert got.scalings_.shape == want.scalings_.shape
        kept = got._max_components
        ours, theirs = got.scalings_[:, :kept], want.scalings_[:, :kept]
        theirs = theirs * np.sign((ours * theirs).sum(axis=0))
        assert_allclose(ours, theirs, rtol=rtol, atol=rtol * np.abs(theirs).max())


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("estimator", PCAS + SVDS, ids=repr)
def test_components_equal_scikit_learn_signs_included(estimator: Any, nodes: int) -> None:
    got, want = fit(estimator, over(nodes, X)), pooled(estimator, X)
    assert_fits(got, want)
    assert_allclose(got.transform(X), want.transform(X), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("estimator", PCAS + SVDS, ids=repr)
def test_columns_near_a_million_with_unit_variance(estimator: Any) -> None:
    """The reference is "full": covariance_eigh, which scikit-learn takes for many rows, keeps 4 digits."""
    far = X + 1e6
    if isinstance(estimator, PCA) and estimator.svd_solver in ("auto", "covariance_eigh"):
        want = pooled(PCA(estimator.n_components, svd_solver="full"), far)
    else:
        want = pooled(estimator, far)
    assert_fits(fit(estimator, over(3, far)), want)


@pytest.mark.parametrize("estimator", [PCA(3), TruncatedSVD(3, algorithm="arpack")], ids=repr)
def test_float32_is_summed_in_float64_and_kept_as_float32(estimator: Any) -> None:
    rows = (X + 100).astype(np.float32)
    got, own = fit(estimator, over(3, rows)), pooled(estimator, rows)
    assert_fits(got, own, rtol=2e-3)  # that is what float32 sums are worth
    want = pooled(estimator, rows.astype(np.float64))
    assert_allclose(got.components_, want.components_, atol=1e-7)
    assert got.transform(rows).dtype == np.float32


@pytest.mark.parametrize("estimator", [PCA(3), PCA(), PCA(3, svd_solver="covariance_eigh"), *SVDS], ids=repr)
def test_sparse_rows(estimator: Any) -> None:
    assert_fits(fit(estimator, over(3, WIDE)), pooled(estimator, WIDE), rtol=1e-9)


@pytest.mark.parametrize("estimator", [PCA(2), PCA(0.7), PCA(2, svd_solver="full"), *SVDS], ids=repr)
def test_fewer_rows_than_columns(estimator: Any) -> None:
    assert_fits(fit(estimator, over(2, X[:5])), pooled(estimator, X[:5]))


def test_all_components_of_few_rows_are_orthonormal() -> None:
    got, want = fit(PCA(), over(2, X[:4])), pooled(PCA(), X[:4])
    assert got.components_.shape == want.components_.shape == (4, 6)
    assert_allclose(got.components_[:3], want.components_[:3], atol=1e-9)
    assert_allclose(got.components_ @ got.components_.T, np.eye(4), atol=1e-12)
    assert_allclose(got.explained_variance_, want.explained_variance_, atol=1e-9)


@pytest.mark.parametrize("shift", [0.0, 1e6])
@pytest.mark.parametrize("estimator", [PCA(4, svd_solver="full"), TruncatedSVD(4)], ids=repr)
def test_a_few_components_of_many_columns(estimator: Any, shift: float) -> None:
    """Found by iteration; far from zero the first one dwarfs the others, and all are computed after all."""
    weak = RNG.normal(size=(150, 500)) + 10 * RNG.normal(size=(150, 4)) * [1, 2, 3, 4] @ RNG.normal(
        size=(4, 500)
    )
    got, want = fit(estimator, over(3, weak + shift)), pooled(PCA(4, svd_solver="full"), weak + shift)
    if isinstance(estimator, TruncatedSVD):
        want = pooled(TruncatedSVD(4, algorithm="arpack"), weak + shift)
    assert_fits(got, want, rtol=1e-9)


def test_constant_columns_have_no_variance_and_no_warning() -> None:
    got = fit(PCA(2), over(2, np.ones((8, 3))))
    assert_allclose(got.explained_variance_, 0)
    assert np.isnan(got.explained_variance_ratio_).all()  # as in scikit-learn


@pytest.mark.parametrize("nodes", NODES)
@pytest.mark.parametrize("estimator", LDAS, ids=repr)
def test_discriminants_equal_scikit_learn(estimator: Any, nodes: int) -> None:
    got, want = fit(estimator, over(nodes, AWAY, LABELS)), pooled(estimator, AWAY, LABELS)
    assert_discriminates(got, want)
    assert (got.predict(AWAY) == want.predict(AWAY)).all()
    assert_allclose(got.predict_proba(AWAY), want.predict_proba(AWAY), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("estimator", [LDA(), LDA("lsqr"), LDA("eigen", priors=[0.3, 0.7])], ids=repr)
def test_two_classes(estimator: Any) -> None:
    assert_discriminates(fit(estimator, over(3, AWAY, LABELS > "f")), pooled(estimator, AWAY, LABELS > "f"))


@pytest.mark.parametrize("estimator", [LDA(), LDA("lsqr", shrinkage=0.1), LDA(priors=PRIORS)], ids=repr)
def test_classes_a_million_apart(estimator: Any) -> None:
    rows = X + 1e6 * (LABELS[:, None] == ["ash", "elm", "fir", "oak", "x", "y"])
    done = learn(estimator, over(3, rows, LABELS))
    assert len(done.history) == 2
    assert_discriminates(done.model.result, pooled(estimator, rows, LABELS))


def test_discriminants_of_columns_near_a_million_keep_more_digits_than_scikit_learn() -> None:
    near = AWAY + 1e6 - 1e6  # the same rounding, without the distance
    want, far = pooled(LDA(), near, LABELS), pooled(LDA(), AWAY + 1e6, LABELS)
    got = fit(LDA(), over(3, AWAY + 1e6, LABELS))
    assert_allclose(got.coef_, want.coef_, rtol=1e-11)
    assert_discriminates(got, far, rtol=1e-8)
    assert np.abs(far.coef_ / want.coef_ - 1).max() > 1e-11


def test_constant_and_collinear_columns_change_nothing() -> None:
    rows = np.column_stack([AWAY, np.full(200, 7.0), np.full(200, 1e5 / 3), 2 * AWAY[:, 0] + 1])
    got, want = fit(LDA(), over(3, rows, LABELS)), pooled(LDA(), AWAY, LABELS)
    assert_allclose(got.decision_function(rows), want.decision_function(AWAY), rtol=1e-8, atol=1e-8)
    assert_allclose(got.coef_[:, 6:8], 0)
    with pytest.raises(DataError, match=r"collinear.*solver='svd'"):
        fit(LDA("eigen"), over(3, rows, LABELS))


def test_discriminants_of_float32_rows() -> None:
    rows = AWAY.astype(np.float32)
    got = fit(LDA(), over(3, rows, LABELS))
    assert_discriminates(got, pooled(LDA(), rows, LABELS), rtol=1e-4)
    want = pooled(LDA(), rows.astype(np.float64), LABELS)
    assert_allclose(got.coef_, want.coef_, rtol=1e-5)


@pytest.mark.parametrize("estimator", [PCA(3), PCA(0.9), *SVDS], ids=repr)
def test_a_node_that_is_subtracted_was_never_there(estimator: Any) -> None:
    data = over(3, X)
    never = fit(estimator, {node: part for node, part in data.items() if node != "node1"})
    assert_fits(forgotten(estimator, data, "node1"), never)


@pytest.mark.parametrize("estimator", [LDA(), LDA("lsqr"), LDA("eigen", shrinkage=0.1)], ids=repr)
def test_a_class_leaves_with_the_only_node_that_had_it(estimator: Any) -> None:
    oak = LABELS == "oak"
    data: dict[str, Any] = over(2, AWAY[~oak], LABELS[~oak]) | {"park": (AWAY[oak], LABELS[oak])}
    got, want = forgotten(estimator, data, "park"), pooled(estimator, AWAY[~oak], LABELS[~oak])
    assert got.classes_.tolist() == ["ash", "elm", "fir"]
    assert_discriminates(got, want)


@pytest.mark.parametrize("estimator", [PCA(3), PCA(), TruncatedSVD(3), LDA(), LDA("lsqr")], ids=repr)
def test_laws(estimator: Any) -> None:
    learner = FITS[type(estimator)](estimator)
    if isinstance(estimator, LDA):
        check_learner(learner, AWAY, LABELS, labels=True)
    else:
        check_learner(learner, X, rtol=1e-8)  # 7 nodes may leave a handful of rows: close eigenvalues


def test_names_and_pickles() -> None:
    table = pd.DataFrame(X, columns=list("abcdef"))
    got = pickle.loads(pickle.dumps(fit(PCA(2), over(3, table))))
    assert got.feature_names_in_.tolist() == list("abcdef")
    assert_allclose(got.transform(table), pooled(PCA(2), table).transform(table), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (LDA("lsqr", shrinkage="auto"), "fourth moments.*Give a number"),
        (LDA(shrinkage=0.5), "does not shrink.*solver='lsqr'"),
        (LDA("lsqr", covariance_estimator=EmpiricalCovariance()), "the rows of all nodes"),
        (PCA(n_components=-1), "'n_components' parameter of PCA must be"),
        (LDA("magic"), "'solver' parameter of LinearDiscriminantAnalysis must be"),
    ],
    ids=repr,
)
def test_parameters_are_refused_with_a_reason(estimator: Any, reason: str) -> None:
    with pytest.raises(NotDistributable, match=reason):
        learner_for(estimator)


@pytest.mark.parametrize(
    ("estimator", "rows", "reason"),
    [
        (PCA(7), X, "n_components=7.*200 rows of 6 features.*from 0 to 6"),
        (PCA(6, svd_solver="arpack"), X, "from 1 to 5"),
        (PCA(0.5, svd_solver="randomized"), X, "shares and 'mle' need svd_solver='full'"),
        (PCA("mle"), X[:5], "n_components='mle'.*5 rows"),
        (PCA(1), X[:1], "two rows or more"),
        (TruncatedSVD(7), X, "n_components=7.*from 1 to 6"),
        (TruncatedSVD(6, algorithm="arpack"), X, "from 1 to 5"),
        (TruncatedSVD(1), X[:, :1], "two features or more"),
    ],
    ids=lambda given: repr(given) if not isinstance(given, np.ndarray) else str(given.shape),
)
def test_more_components_than_there_are_is_found_before_any_sum(
    estimator: Any, rows: np.ndarray, reason: str
) -> None:
    with pytest.raises(DataError, match=reason):
        fit(estimator, {"a": rows})


@pytest.mark.parametrize(
    ("estimator", "reason"),
    [
        (LDA(n_components=4), "n_components=4.*Take at most 3"),
        (LDA(priors=[0.5, 0.5]), "4 classes with rows and 2 priors"),
        (LDA(priors=[0.5, 0.5, -1, 1]), "non-negative"),
    ],
    ids=repr,
)
def test_classes_that_do_not_fit_are_found_before_any_sum(estimator: Any, reason: str) -> None:
    with pytest.raises(DataError, match=reason):
        fit(estimator, over(2, AWAY, LABELS))


def test_priors_that_do_not_add_up_are_scaled_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="Renormalizing"):
        got = fit(LDA(priors=[1, 1, 1, 1]), over(2, AWAY, LABELS))
    assert_allclose(got.priors_, 0.25)


def test_rows_are_refused() -> None:
    with pytest.raises(DataError, match="PCA takes no sample weights"):
        fit(PCA(), {"a": (X, np.ones(200), np.ones(200))})
    with pytest.raises(DataError, match="the rows are sparse, and LinearDiscriminantAnalysis needs dense"):
        fit(LDA(), over(2, WIDE, LABELS))
    with pytest.raises(DataError, match="one row a class"):
        fit(LDA(), {"a": (X[:2], np.array([0, 1]))})
    with pytest.raises(DataError, match="no column varies"):
        fit(LDA(), {"a": (np.ones((9, 2)), np.arange(9) % 2)})
