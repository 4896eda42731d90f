"""What is said of estimators that no learner fits."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import DBSCAN
from sklearn.covariance import EmpiricalCovariance
from sklearn.ensemble import VotingRegressor
from sklearn.feature_selection import RFE
from sklearn.linear_model import LassoCV, LogisticRegression, LogisticRegressionCV, MultiTaskLasso, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.svm import SVC
from sklearn.tree import ExtraTreeClassifier
from sklearn.utils.discovery import all_estimators

import talkoot as tk
from talkoot.learners import catalogue, learner_for
from talkoot.learners.common.alternatives import ADVICE, META_ESTIMATORS, nearest


def test_all_advice_can_be_reached() -> None:
    shared = {cls.__name__: cls for _, cls in all_estimators()}
    for advice, names in ADVICE.items():
        for name in names.split():
            if name in shared:
                bare = object.__new__(shared[name])  # some need arguments, and advice does not look at them
                assert nearest(bare, catalogue()) == advice, name


class Own(BaseEstimator, ClassifierMixin):  # type: ignore[misc]
    pass


class Steep(Ridge):  # type: ignore[misc]
    pass


def test_advice_names_only_what_is_there() -> None:
    known = {cls.__name__ for cls in catalogue()} | {"GridSearchCV", "Distributed"}
    for advice in ADVICE:
        assert set(re.findall(r"([A-Z]\w+)\(", advice)) <= known, advice


def test_no_advice_is_given_against_what_is_fitted() -> None:
    known = {cls.__name__ for cls in catalogue()}
    assert not known & {name for names in ADVICE.values() for name in names.split()}


def cure(cls: type) -> str | None:
    """What is said instead of fitting a class of scikit-learn; None where it is fitted."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            estimator = cls()
        except TypeError:  # it needs arguments
            return None
    try:
        learner_for(estimator)
    except tk.NotDistributable as error:
        return error.cure
    return None


def test_every_class_of_scikit_learn_is_fitted_or_gets_an_answer() -> None:
    listed = {name for names in ADVICE.values() for name in names.split()} | set(META_ESTIMATORS.split())
    for sort in ("classifier", "regressor", "transformer"):
        for name, cls in all_estimators(type_filter=sort):
            said = cure(cls)
            assert said is None or (name in listed) != said.startswith(("Take a", "No ")), (name, said)


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (SVC(), r"SVC cannot be distributed. It keeps rows.*LinearSVC\(\)"),
        (ExtraTreeClassifier(), r"Take HistGradientBoostingClassifier\(\): .* or RandomForestClassifier"),
        (LogisticRegressionCV(), r"Take LogisticRegression\(\) and choose its C with GridSearchCV"),
        (MultiTaskLasso(), r"Take ElasticNet\(\) and choose its alpha with GridSearchCV"),
        (
            OneVsRestClassifier(LogisticRegression()),
            r"inside: OneVsRestClassifier\(tk.Distributed\(LogisticRegression\(\)\), ...\)",
        ),
        (GridSearchCV(Ridge(), {}), r"GridSearchCV\(tk.Distributed\(Ridge\(\)\), ...\).*called estimator__C"),
        (
            VotingRegressor([("a", Ridge())]),
            r'VotingRegressor\(\[\("name", tk.Distributed\(Ridge\(\)\)\), ...\]',
        ),
        (RFE(SVC()), r"It would work around tk.Distributed\(...\), but SVC cannot be. It keeps rows"),
        (RFE(tk.Distributed(Ridge())), r"distributed already: call its own fit\(X, y\)"),
        (tk.Distributed(Ridge()), r"Give the estimator inside of it, or call its own fit"),
        (LassoCV(), r"Take Lasso\(\) and choose its alpha with GridSearchCV"),
        (Steep(), r"Steep cannot.*A subclass may fit in another way than Ridge"),
        (Ridge, r"Ridge cannot be distributed. It is a class: write Ridge\(\)"),
        (Own(), r"Take a classifier out of .*GaussianNB.*LogisticRegression"),
        (DBSCAN(), "No clustering is there yet"),
        (EmpiricalCovariance(), "Take one of"),
        ("Ridge", "str cannot be distributed. Take an unfitted scikit-learn estimator"),
    ],
    ids=lambda value: None if isinstance(value, str) else str(value),
)
def test_the_nearest_is_named(estimator: Any, words: str) -> None:
    with pytest.raises(tk.NotDistributable, match=words):
        learner_for(estimator)
