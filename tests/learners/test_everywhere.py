"""Every learner of the catalogue at every place of a composition, against scikit-learn on the pooled rows."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from composing import dense
from sklearn.base import clone, is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import HuberRegressor, RidgeCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import MinMaxScaler, StandardScaler

import talkoot as tk
from talkoot.learners import catalogue, learner_for

pytestmark = pytest.mark.wide

RNG = np.random.default_rng(0)
X = np.abs(RNG.normal(size=(200, 5)) * [1, 2, 3, 4, 5] + [0, 1, 10, -3, 2])
Y = X @ [0.1, 0.1, 0.05, 0.02, 0.0] + RNG.uniform(0.1, 1, size=200)
SET: dict[str, Any] = {
    "PCA": {"n_components": 2, "random_state": 0},
    "TruncatedSVD": {"n_components": 2, "random_state": 0},
    "RBFSampler": {"n_components": 3, "random_state": 0},
    "QuantileTransformer": {"n_quantiles": 20},
    "HistGradientBoostingClassifier": {"max_iter": 5},
    "HistGradientBoostingRegressor": {"max_iter": 5},
}
ELSEWHERE = {
    "Pipeline",
    "ColumnTransformer",
    "FeatureUnion",
    "HashingVectorizer",
    "LinearDiscriminantAnalysis",
}
QUERIES = {"XGBRanker", "LGBMRanker"}  # rank rows within queries, and never in a Pipeline
CODES = {"OneHotEncoder", "OrdinalEncoder", "CategoricalNB"}  # they read few values
KINDS = sorted(
    (
        kind
        for kind in catalogue()
        if kind.__name__ not in ELSEWHERE | QUERIES and learner_for(kind()).kind == "exact"
    ),
    key=lambda kind: kind.__name__,
)


def made(kind: type) -> Any:
    given = SET.get(kind.__name__, {})
    estimator = kind().set_params(**given)
    solves = {"tol", "max_iter"} <= estimator.get_params().keys() - given.keys()
    return estimator.set_params(tol=1e-10, max_iter=10_000) if solves else estimator


def places(estimator: Any) -> list[Any]:
    before = "passthrough" if type(estimator).__name__ in CODES else MinMaxScaler()
    last = [make_pipeline(before, estimator), make_pipeline(make_pipeline(before, estimator))]
    if not hasattr(estimator, "transform"):
        return last
    within = ColumnTransformer([("part", make_pipeline(estimator), [1, 2, 3])], remainder="passthrough")
    return [
        *last,
        make_pipeline(estimator, RidgeCV()),
        make_union(estimator, "passthrough"),
        ColumnTransformer([("part", estimator, [1, 2])], remainder="passthrough"),
        make_pipeline(within, StandardScaler(with_mean=False), RidgeCV()),
    ]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_at_every_place_the_answer_is_that_of_the_pooled_fit(kind: type) -> None:
    estimator = made(kind)
    rows = np.round(X) if kind.__name__ in CODES else X
    labels = is_classifier(estimator)
    y = (np.median(Y) < Y).astype(int) if labels else Y
    for place in places(estimator):
        predicts = hasattr(place, "predict")
        want = clone(place).fit(rows, y)
        parts = {f"n{i}": (rows[i::3], y[i::3]) if predicts else rows[i::3] for i in range(3)}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got = tk.fit(place, parts, on=tk.Inline()).model
        method = "predict_proba" if labels and hasattr(want, "predict_proba") else "transform"
        method = "predict" if predicts and not hasattr(want, method) else method
        ours, theirs = (dense(getattr(model, method)(rows)) for model in (got, want))
        close = 1e-4 if kind is HuberRegressor else 1e-6  # scikit-learn stops early
        np.testing.assert_allclose(ours, theirs, rtol=close, atol=close)


@pytest.mark.parametrize("on", [tk.Inline(), tk.Local(2)], ids=["Inline", "Local"])
def test_ridge_cv_at_the_end_of_pipelines(on: Any) -> None:
    inner = ColumnTransformer([("part", make_pipeline(StandardScaler(), MinMaxScaler()), [0, 1])])
    for place in (
        make_pipeline(StandardScaler(), RidgeCV()),
        make_pipeline(inner, make_pipeline("passthrough", RidgeCV())),
    ):
        got = tk.fit(place, X, Y, nodes=3, on=on).model
        np.testing.assert_allclose(got.predict(X), clone(place).fit(X, Y).predict(X), rtol=1e-9)
