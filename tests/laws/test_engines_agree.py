"""Law 4 for all that can be fitted: engines do not change answers, but for the order of float additions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer
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
from talkoot.learners import catalogue
from talkoot.testing.compare import assert_same

ENGINES: dict[str, Callable[[], Engine]] = {"Local": lambda: tk.Local(2), "Ray": lambda: tk.Ray(2)}
NEEDS = {"Ray": "ray"}
EXAMPLES = {  # where the estimator by itself will not do
    Pipeline: Pipeline([("scale", StandardScaler()), ("fit", LogisticRegression())]),
    ColumnTransformer: ColumnTransformer([("a", MinMaxScaler(), [0, 1]), ("b", OneHotEncoder(), [2])]),
    FeatureUnion: FeatureUnion([("a", MinMaxScaler()), ("b", StandardScaler())]),
    QuantileTransformer: QuantileTransformer(n_quantiles=50),
    KBinsDiscretizer: KBinsDiscretizer(n_bins=2),
}


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    """What was started for `Ray` ends behind the last test."""
    yield
    if find_spec("ray") is not None:
        from talkoot.engines.ray.cluster import CLUSTER

        CLUSTER.leave()


def fit(estimator: Any, engine: Engine) -> Any:
    """The model of 5 nodes. Small numbers suit all estimators: some need counts, some positive targets."""
    rng = np.random.default_rng(7)
    X = rng.integers(0, 4, size=(240, 4)).astype(float)
    score = X @ [0.5, -0.25, 0.125, 0.0] + rng.normal(size=240)
    labels = (score > np.median(score)).astype(int)
    if isinstance(estimator, HashingVectorizer):
        return tk.fit(estimator, pa.table({"text": [f"word {row}" for row in X]}), nodes=5, on=engine).model
    y = labels if is_classifier(estimator) or isinstance(estimator, Pipeline) else np.exp(0.3 * score)
    return tk.fit(estimator, X, y, nodes=5, on=engine).model


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", catalogue(), ids=lambda kind: kind.__name__)
def test_engines_do_not_change_answers(kind: type, engine: str) -> None:
    pytest.importorskip(NEEDS.get(engine, "numpy"), reason=f"what {engine} needs is not installed")
    estimator = EXAMPLES.get(kind) or kind()
    if "random_state" in estimator.get_params():
        estimator.set_params(random_state=0)
    expected = fit(estimator, tk.Inline())
    assert_same(fit(estimator, ENGINES[engine]()), expected, rtol=1e-9)
