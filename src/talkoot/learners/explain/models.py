"""Which fitted models can be explained, and what their columns contribute to a prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, final

import numpy as np
from scipy import sparse
from sklearn.base import is_classifier
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.pipeline import Pipeline
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from talkoot.core.errors import DataError, PlanError
from talkoot.learners.explain import sklearn_trees as read
from talkoot.learners.explain.predicting import require_fitted
from talkoot.learners.explain.trees import shapley_values

T = TypeVar("T")
BOOSTED = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
FORESTS = (ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor)
SINGLE = (DecisionTreeClassifier, DecisionTreeRegressor)


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Explained:
    """What columns contribute to the predictions of some rows.

    Args:
        values: (rows, features) or, of several outputs, (rows, features, outputs).
        base: the prediction where no column is known; of several outputs (outputs,).
        unit: of both: "log-odds", "probability", "prediction" or "log of the prediction".
    """

    values: np.ndarray
    base: Any
    unit: str


def explained(model: Any, X: Any) -> Explained:
    """The contributions of each column to a fitted model's predictions.

    Raises:
        PlanError: such a model cannot be explained, or is not fitted.
        DataError: the model cannot read the rows.
    """
    _require_known(model)
    require_fitted(model)
    if is_classifier(model) and getattr(model, "n_outputs_", 1) > 1:
        name, targets = type(model).__name__, model.n_outputs_
        raise PlanError(f"{name} predicts {targets} targets at once", cure="Fit one model a target.")
    return _boosted(model, X) if isinstance(model, BOOSTED) else _forest(model, X)


def _read(reader: Callable[[Any, Any], T], model: Any, X: Any) -> T:
    """The rows as the model's trees read them."""
    if sparse.issparse(X):
        raise DataError("the rows are sparse, and contributions are dense", cure="Pass X.toarray().")
    try:
        return reader(model, X)
    except (TypeError, ValueError) as error:
        why = " ".join(str(error).split()).rstrip(".")
        cure = "Pass rows as the model predicts them: the same columns in the same order."
        raise DataError(f"{type(model).__name__} cannot read these rows: {why}", cure=cure) from error


def _require_known(model: Any) -> None:
    if isinstance(model, BOOSTED + FORESTS + SINGLE):
        return
    names = ", ".join(kind.__name__ for kind in sorted(BOOSTED + FORESTS + SINGLE, key=lambda k: k.__name__))
    name, cure = type(model).__name__, f"Models that can be explained: {names}."
    if isinstance(model, Pipeline):
        cure = (
            "Explain its last step on what the others make of the rows: model[-1], model[:-1].transform(X)."
        )
    elif isinstance(model, type):
        name, cure = f"{model.__name__} is a class, and", "Pass a fitted model."
    elif hasattr(model, "model"):
        cure = "Pass its model: fit.model."
    raise PlanError(f"{name} has no contributions", cure=cure)


def _boosted(model: Any, X: Any) -> Explained:
    rows, columns = _read(read.boosted_rows, model, X)
    outputs = model.n_trees_per_iteration_
    found, base = shapley_values(read.boosted_trees(model), rows, outputs)
    values = np.empty_like(found)
    values[:, columns] = found
    base = base + model._baseline_prediction.reshape(-1)
    unit = "log-odds"
    if not is_classifier(model):
        unit = "log of the prediction" if model.loss in ("poisson", "gamma") else "prediction"
    return Explained(
        values=values if outputs > 1 else values[:, :, 0],
        base=base if outputs > 1 else float(base[0]),
        unit=unit,
    )


def _forest(model: Any, X: Any) -> Explained:
    classifier = bool(is_classifier(model))
    members = model.estimators_ if isinstance(model, FORESTS) else [model]
    outputs = model.n_classes_ if classifier else model.n_outputs_
    rows = _read(read.forest_rows, model, X)
    values, base = shapley_values(read.forest_trees(members, classifier=classifier), rows, outputs)
    values, base = values / len(members), base / len(members)
    if outputs == 1 and not classifier:
        return Explained(values=values[:, :, 0], base=float(base[0]), unit="prediction")
    return Explained(values=values, base=base, unit="probability" if classifier else "prediction")
