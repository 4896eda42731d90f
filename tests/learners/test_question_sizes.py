"""What nodes get in each round: the point of this round, and nothing of what a solver remembers."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.impute import SimpleImputer
from sklearn.linear_model import HuberRegressor, LogisticRegression, PoissonRegressor, Ridge, RidgeCV
from sklearn.naive_bayes import CategoricalNB, GaussianNB, MultinomialNB
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC

import talkoot as tk
from talkoot.core.context import Ctx
from talkoot.core.update import total
from talkoot.data.schema import agree
from talkoot.data.shards import shards
from talkoot.learners import learner_for

HEADER = 400  # bytes of a question beside its numbers
RNG = np.random.default_rng(0)
ROWS = 300


def questions(estimator: Any, features: int) -> list[bytes]:
    """The question of every round of a fit, as it would be sent."""
    X = np.abs(RNG.normal(size=(ROWS, features))).round(1)
    y = (X[:, 0] + RNG.normal(size=ROWS) > 1).astype(int)
    schema, bound = agree(shards(X, y, nodes=2), tk.Inline(), labels=is_classifier(estimator))
    learner = learner_for(estimator)
    outer = learner.outer()
    model, asked = learner.init(schema, np.random.default_rng(0)), []
    state, states = outer.init(model), dict.fromkeys(bound)
    while not outer.done(state):
        question = learner.question(model)
        asked.append(pickle.dumps(question, protocol=5))
        updates = []
        for node, shard in bound.items():
            ctx = Ctx(round=len(asked), node=node, cohort=tuple(bound), schema=schema)
            update, states[node] = learner.work(question, states[node], shard, ctx)
            updates.append(update)
        model, state = outer.apply(model, total(updates), state)
    return asked


@pytest.mark.parametrize("features", [50, 512])
@pytest.mark.parametrize("solver", ["lbfgs", "newton-cholesky"])
def test_a_logistic_regression_sends_its_point_alone(solver: Any, features: int) -> None:
    sizes = [len(question) for question in questions(LogisticRegression(solver=solver), features)]
    assert len(sizes) > 2
    assert max(sizes) <= 8 * (features + 1) + HEADER


def union(_: int) -> FeatureUnion:
    return FeatureUnion([("std", StandardScaler()), ("box", MinMaxScaler())])


def columns(features: int) -> ColumnTransformer:
    half = list(range(features // 2))
    return ColumnTransformer([("std", StandardScaler(), half)], remainder=MinMaxScaler())


# The numbers of 8 bytes that nodes need of each column, at most.
NEEDED: dict[str, tuple[Any, float]] = {
    "lbfgs": (PoissonRegressor(alpha=0.1), 1),
    "two stages": (HuberRegressor(), 1),
    "balanced": (LogisticRegression(class_weight="balanced"), 1),
    "newton": (LinearSVC(), 1),
    "gram": (Ridge(), 1),
    "pca": (PCA(2), 1),
    "discriminant": (LinearDiscriminantAnalysis(), 1),
    "gauss": (GaussianNB(), 1),
    "counts": (MultinomialNB(), 0),
    "codes": (CategoricalNB(), 1),
    "scaler": (StandardScaler(), 1),
    "extremes": (MinMaxScaler(), 0),
    "mean": (SimpleImputer(), 0),
    "categories": (OrdinalEncoder(), 0),
    "function": (FunctionTransformer(np.log1p), 0),
}


@pytest.mark.parametrize(("estimator", "numbers"), NEEDED.values(), ids=NEEDED.keys())
def test_a_question_holds_what_nodes_need_and_no_more(estimator: Any, numbers: float) -> None:
    for features in (10, 40):
        sizes = [len(question) for question in questions(estimator, features)]
        assert max(sizes) <= 8 * numbers * (features + 2) + HEADER


@pytest.mark.parametrize("features", [10, 40])
def test_a_pipeline_sends_the_fitted_steps_and_the_question_of_the_present_one(features: int) -> None:
    scaler, model = StandardScaler(), PoissonRegressor(alpha=0.1)
    asked = questions(make_pipeline(scaler, model), features)
    alone = len(questions(model, features)[-1])
    fitted = len(pickle.dumps(tk.fit(scaler, np.ones((4, features)), nodes=1, progress=False).model))
    assert len(asked) > 3
    assert all(len(question) <= alone + fitted + HEADER for question in asked)


@pytest.mark.parametrize("make", [union, columns])
def test_parts_side_by_side_send_the_questions_of_those_that_are_not_fitted(make: Any) -> None:
    (size,) = [len(question) for question in questions(make(40), 40)]
    assert size <= 8 * 40 + 3 * 80 + HEADER  # the center, and two columns of a byte or three each


EVERYTHING = [*(each for each, _ in NEEDED.values()), RidgeCV(), RobustScaler(), union(8), columns(8)]


@pytest.mark.parametrize("estimator", [*EVERYTHING, Pipeline([("a", StandardScaler()), ("b", Ridge())])])
def test_no_question_holds_a_schema_or_a_solver(estimator: Any) -> None:
    for question in questions(estimator, 8):
        for name in (b"Schema", b"Lbfgs", b"Newton", b"Fitting", b"State", b"Selection"):
            assert name not in question


def test_the_questions_of_a_solver_do_not_grow() -> None:
    sizes = [len(question) for question in questions(PoissonRegressor(alpha=1e-6, tol=1e-12), 30)]
    assert len(sizes) > 6
    assert max(sizes[1:]) == min(sizes[1:])
