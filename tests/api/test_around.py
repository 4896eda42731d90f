"""scikit-learn's meta-estimators around tk.Distributed give what they give around the plain estimator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_diabetes, load_iris
from sklearn.ensemble import (
    BaggingClassifier,
    BaggingRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.feature_selection import RFE, RFECV, SelectFromModel, SequentialFeatureSelector
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, RANSACRegressor, Ridge
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    HalvingRandomSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
    cross_val_predict,
    cross_val_score,
)
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier, OutputCodeClassifier
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.semi_supervised import SelfTrainingClassifier

import talkoot as tk
from talkoot.learners.common.alternatives import META_ESTIMATORS

ORDER = np.random.default_rng(0).permutation(150)
IRIS, KINDS = (part[ORDER] for part in load_iris(return_X_y=True))
IRIS = (IRIS - IRIS.mean(axis=0)) / IRIS.std(axis=0)
BODY, ILL = load_diabetes(return_X_y=True)
BODY = BODY[:200] * 20
ILL = ILL[:200]
TWO = (KINDS > 0).astype(int)
SOME = np.where(np.arange(150) % 2, -1, KINDS)  # half of the labels are unknown
PAIR = np.c_[TWO, 1 - TWO]
SUMS = np.c_[ILL, np.sqrt(ILL)]

Around = Callable[[Any], Any]
CLASSIFIERS: list[tuple[Around, np.ndarray]] = [
    (lambda e: CalibratedClassifierCV(e, cv=3), KINDS),
    (lambda e: CalibratedClassifierCV(e, cv=3, ensemble=False), TWO),
    (OneVsRestClassifier, KINDS),
    (OneVsOneClassifier, KINDS),
    (lambda e: OutputCodeClassifier(e, random_state=0), KINDS),
    (lambda e: RFE(e, n_features_to_select=2), KINDS),
    (SelectFromModel, KINDS),
    (lambda e: GridSearchCV(e, grid(e, "C"), cv=3), KINDS),
    (lambda e: BaggingClassifier(e, 3, random_state=0), KINDS),
    (lambda e: VotingClassifier([("a", e), ("b", e)], voting="soft"), KINDS),
    (lambda e: StackingClassifier([("a", e)], LogisticRegression(tol=1e-8), cv=3), KINDS),
    (MultiOutputClassifier, PAIR),
    (ClassifierChain, PAIR),
    (SelfTrainingClassifier, SOME),
    (lambda e: FixedThresholdClassifier(e, threshold=0.3), TWO),
    (lambda e: TunedThresholdClassifierCV(e, cv=2, thresholds=9), TWO),
]
REGRESSORS: list[tuple[Around, np.ndarray]] = [
    (lambda e: RFE(e, n_features_to_select=4), ILL),
    (lambda e: RFECV(e, cv=3), ILL),
    (SelectFromModel, ILL),
    (lambda e: SequentialFeatureSelector(e, n_features_to_select=1, cv=2), ILL),
    (lambda e: RandomizedSearchCV(e, grid(e, "alpha"), n_iter=2, random_state=0, cv=3), ILL),
    (lambda e: HalvingGridSearchCV(e, grid(e, "alpha"), min_resources=60, random_state=0, cv=3), ILL),
    (
        lambda e: HalvingRandomSearchCV(
            e, grid(e, "alpha"), n_candidates=2, min_resources=60, random_state=0, cv=3
        ),
        ILL,
    ),
    (lambda e: BaggingRegressor(e, 3, random_state=0), ILL),
    (lambda e: VotingRegressor([("a", e)]), ILL),
    (lambda e: StackingRegressor([("a", e)], Ridge(), cv=3), ILL),
    (lambda e: TransformedTargetRegressor(e, func=np.log, inverse_func=np.exp), ILL),
    (MultiOutputRegressor, SUMS),
    (RegressorChain, SUMS),
    (lambda e: RANSACRegressor(e, random_state=0, min_samples=50, max_trials=5), ILL),
]


def distributed(estimator: Any) -> tk.Distributed:
    return tk.Distributed(estimator, on=tk.Inline(), nodes=3)


def grid(estimator: Any, name: str) -> dict[str, list[float]]:
    inside = "estimator__" if isinstance(estimator, tk.Distributed) else ""
    return {inside + name: [0.1, 10.0]}


def answer(fitted: Any, X: np.ndarray) -> np.ndarray:
    name = next(n for n in ("predict_proba", "predict", "transform") if hasattr(fitted, n))
    return np.asarray(getattr(fitted, name)(X), dtype=float)


def same(around: Around, estimator: Any, X: np.ndarray, y: np.ndarray) -> None:
    plain, spread = (around(part).fit(X, y) for part in (estimator, distributed(estimator)))
    np.testing.assert_allclose(answer(spread, X), answer(plain, X), rtol=1e-4, atol=1e-4)


def name_of(around: Around) -> str:
    return type(around(Ridge())).__name__


@pytest.mark.parametrize(("around", "y"), CLASSIFIERS, ids=[name_of(a) for a, _ in CLASSIFIERS])
def test_around_a_classifier(around: Around, y: np.ndarray) -> None:
    same(around, LogisticRegression(tol=1e-8, max_iter=500), IRIS, y)


@pytest.mark.parametrize(("around", "y"), REGRESSORS, ids=[name_of(a) for a, _ in REGRESSORS])
def test_around_a_regressor(around: Around, y: np.ndarray) -> None:
    same(around, Ridge(alpha=0.5), BODY, y)


def test_advice_to_put_it_inside_is_given_only_where_it_was_tried() -> None:
    tried = {name_of(around) for around, _ in (*CLASSIFIERS, *REGRESSORS)}
    assert set(META_ESTIMATORS.split()) == tried


@pytest.mark.parametrize(
    "estimator",
    [
        Lasso(alpha=3.0, tol=1e-10),
        ElasticNet(alpha=3.0, l1_ratio=1, tol=1e-10),
        ElasticNet(alpha=0.1, l1_ratio=0.5),
    ],
    ids=["lasso", "only l1", "both"],
)
def test_columns_are_selected_as_around_the_plain_estimator(estimator: Any) -> None:
    same(SelectFromModel, estimator, BODY, ILL)


def test_a_classifier_with_l1_selects_as_the_plain_one() -> None:
    same(
        SelectFromModel,
        LogisticRegression(l1_ratio=1, C=0.1, solver="saga", tol=1e-6, max_iter=9999),
        IRIS,
        TWO,
    )


def test_cross_validation_functions() -> None:
    plain = LogisticRegression(tol=1e-8, max_iter=500)
    for ask in (cross_val_score, cross_val_predict):
        np.testing.assert_array_equal(ask(distributed(plain), IRIS, KINDS), ask(plain, IRIS, KINDS))
