"""What is said of estimators that no learner fits."""

from __future__ import annotations

import re
import warnings
from typing import Any

import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.cluster import DBSCAN
from sklearn.covariance import EmpiricalCovariance
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LassoCV, Ridge
from sklearn.svm import SVC
from sklearn.utils.discovery import all_estimators

import talkoot as tk
from talkoot.learners import catalogue, learner_for
from talkoot.learners.nearest import ADVICE


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
    listed = {name for names in ADVICE.values() for name in names.split()}
    for sort in ("classifier", "regressor", "transformer"):
        for name, cls in all_estimators(type_filter=sort):
            said = cure(cls)
            assert said is None or (name in listed) != said.startswith(("Take a", "No ")), (name, said)


@pytest.mark.parametrize(
    ("estimator", "words"),
    [
        (SVC(), r"SVC cannot be distributed. It keeps rows.*LinearSVC\(\)"),
        (RandomForestClassifier(), r"Trees are not there yet"),
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
