"""What is settled before the first tree grows: the prediction without one, and the rules of growth."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.core.shard import Schema
from talkoot.core.update import Update
from talkoot.learners.trees import sklearn_private as private
from talkoot.learners.trees.accepted import require_positive
from talkoot.learners.trees.bins import Bins
from talkoot.learners.trees.categories import Coding
from talkoot.learners.trees.growing import Grower
from talkoot.learners.trees.model import Boosted, outputs_of


def baseline_of(estimator: Any, schema: Schema, update: Update, total: np.ndarray) -> np.ndarray:
    """(outputs,) the best prediction without a tree, where classes or all rows weigh so much in total."""
    if schema.classes is not None:
        y, w, outputs = np.arange(len(total), dtype=np.float64), total, outputs_of(schema)
    else:
        assert schema.target_center is not None
        mean = schema.target_center[0] + update.values["moments"][0] / total[0]
        require_positive(float(mean), schema, estimator)
        y, w, outputs = np.array([mean]), None, 1
    loss = private.loss_of(estimator, outputs, weighted=False)
    return np.asarray(loss.fit_intercept_only(y_true=y, sample_weight=w), dtype=np.float64).reshape(-1)


def grower_of(estimator: Any, model: Boosted, bins: Bins) -> Grower:
    """The rules that trees grow by."""
    schema = model.schema
    loss = private.loss_of(estimator, outputs_of(schema), weighted=model.weights.some)
    monotonic, groups = private.constraints(estimator, schema.features, schema.names)
    order = (model.coding or Coding()).order(schema.features)
    return Grower(estimator, bins, loss.constant_hessian, monotonic[order], groups)
