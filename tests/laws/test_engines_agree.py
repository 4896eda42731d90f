"""Law 4 for all that can be fitted: engines do not change answers, but for the order of float additions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MinMaxScaler,
    OneHotEncoder,
    QuantileTransformer,
    StandardScaler,
)

import talkoot as tk
from talkoot.core.engine import Engine
from talkoot.learners import catalogue, learner_for
from talkoot.testing.compare import assert_same

EXAMPLES = {  # where the estimator by itself will not do
    Pipeline: Pipeline([("scale", StandardScaler()), ("fit", LogisticRegression())]),
    ColumnTransformer: ColumnTransformer([("a", MinMaxScaler(), [0, 1]), ("b", OneHotEncoder(), [2])]),
    FeatureUnion: FeatureUnion([("a", MinMaxScaler()), ("b", StandardScaler())]),
    QuantileTransformer: QuantileTransformer(n_quantiles=50),
    KBinsDiscretizer: KBinsDiscretizer(n_bins=2),
    HistGradientBoostingClassifier: HistGradientBoostingClassifier(max_iter=2, categorical_features=[0, 2]),
    HistGradientBoostingRegressor: HistGradientBoostingRegressor(max_iter=2, early_stopping=True),
}


def fit(estimator: Any, engine: Engine) -> Any:
    """The model of 5 nodes. Small numbers suit all estimators: some need counts, some positive targets."""
    rng = np.random.default_rng(7)
    X = rng.integers(0, 4, size=(240, 4)).astype(float)
    score = X @ [0.5, -0.25, 0.125, 0.0] + rng.normal(size=240)
    labels = (score > np.median(score)).astype(int)
    if learner_for(estimator).queries:
        return tk.fit(estimator, X, labels, qid=np.arange(240) // 12, nodes=5, on=engine).model
    if isinstance(estimator, HashingVectorizer):
        return tk.fit(estimator, pa.table({"text": [f"word {row}" for row in X]}), nodes=5, on=engine).model
    y = labels if is_classifier(estimator) or isinstance(estimator, Pipeline) else np.exp(0.3 * score)
    return tk.fit(estimator, X, y, nodes=5, on=engine).model


KINDS = pytest.mark.parametrize("kind", catalogue(), ids=lambda kind: kind.__name__)


@KINDS
def test_workers_do_not_change_answers(kind: type) -> None:
    same(kind, tk.Local(2))


@KINDS
@pytest.mark.slow  # of Ray; some kinds are short tests of its own
@pytest.mark.usefixtures("cluster")
def test_actors_do_not_change_answers(kind: type) -> None:
    same(kind, tk.Ray(1 if kind.__name__ == "LGBMRanker" else 2))  # it is learned in one process


def same(kind: type, engine: Engine) -> None:
    assert_same(fit(made(kind), engine), fit(made(kind), tk.Inline()), rtol=1e-9)


def made(kind: type) -> Any:
    """An estimator of this kind that does not depend on chance; a forest is of a few trees."""
    estimator = EXAMPLES.get(kind) or kind()
    small = {"random_state": 0, "n_estimators": 5, "min_child_samples": 0}
    return estimator.set_params(**{name: small[name] for name in small.keys() & estimator.get_params()})
