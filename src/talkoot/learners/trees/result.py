"""The fitted estimator: scikit-learn's own, with the trees of the nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from talkoot.core.errors import DataError
from talkoot.core.shard import Schema
from talkoot.learners.trees import sklearn_private as private
from talkoot.learners.trees.model import Boosted


def dummy(estimator: Any, schema: Schema) -> Any:
    """The estimator, fitted by scikit-learn to a row of each class: all of its attributes but the trees.

    Raises:
        DataError: scikit-learn refuses a parameter.
    """
    y = np.array([1.0, 2.0]) if schema.classes is None else schema.classes
    X: Any = np.zeros((len(y), schema.features))
    if schema.names is not None:
        import pandas as pd

        X = pd.DataFrame(X, columns=list(schema.names))
    made = clone(estimator).set_params(max_iter=1, early_stopping=False)
    if hasattr(made, "class_weight"):
        made.set_params(class_weight=None)
    try:
        made.fit(X, y)
    except (TypeError, ValueError) as error:
        raise DataError(f"{type(estimator).__name__} refuses the columns: {error}") from error
    return made.set_params(**estimator.get_params(deep=False))


def finished(estimator: Any, model: Boosted) -> Any:
    """The estimator with the trees."""
    assert model.bins is not None
    assert model.baseline is not None
    made = dummy(estimator, model.schema)
    made._predictors = [[private.predictor(nodes) for nodes in trees] for trees in model.records]
    made._baseline_prediction = model.baseline.reshape(1, -1)
    made._bin_mapper = private.bin_mapper(model.bins.thresholds, model.bins.count)
    if model.stopping is not None:
        made.do_early_stopping_ = True
        made._use_validation_data = model.validation is not None
        made.train_score_ = np.array(model.stopping.training)
        made.validation_score_ = np.array(model.stopping.validation)
    return private.with_sample_weights(made) if model.sampled else made
