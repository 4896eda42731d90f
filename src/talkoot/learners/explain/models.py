"""Which fitted models can be explained, and what their columns contribute to a prediction."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, final

import numpy as np
from scipy import sparse
from sklearn.base import BaseEstimator, is_classifier
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
from talkoot.learners.explain import boosters, lightgbm_models
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
        unit: of both: "log-odds", "probability", "prediction", "log of the prediction" or "raw score".
        names: of the columns, where the model knows some.
        classes: of a classifier.
    """

    values: np.ndarray
    base: Any
    unit: str
    names: tuple[str, ...] | None
    classes: np.ndarray | None


def explained(model: Any, X: Any) -> Explained:
    """The contributions of each column to a fitted model's predictions.

    Raises:
        PlanError: such a model cannot be explained, or is not fitted.
        DataError: the model cannot read the rows.
    """
    library = _library(model)
    if library is None:
        _require_known(model)
    elif not isinstance(model, BaseEstimator):  # a booster has no state before it is fitted
        return _by_library(library, model, X, None)
    require_fitted(model)
    if is_classifier(model) and getattr(model, "n_outputs_", 1) > 1:
        name, targets = type(model).__name__, model.n_outputs_
        raise PlanError(f"{name} predicts {targets} targets at once", cure="Fit one model a target.")
    classes = np.asarray(model.classes_) if is_classifier(model) else None
    if library is not None:
        return _by_library(library, model, X, classes)
    return (_boosted if isinstance(model, BOOSTED) else _forest)(model, X, classes)


def _library(model: Any) -> Any:
    """The module that explains a model by the library that grew it; None for models of scikit-learn."""
    if boosters.is_xgboost(model):
        return boosters
    return lightgbm_models if lightgbm_models.is_lightgbm(model) else None


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
    names = ", ".join(sorted(kind.__name__ for kind in BOOSTED + FORESTS + SINGLE))
    name = type(model).__name__
    cure = f"Models that can be explained: {names}, and those of XGBoost and LightGBM."
    if isinstance(model, Pipeline):
        cure = (
            "Explain its last step on what the others make of the rows: model[-1], model[:-1].transform(X)."
        )
    elif isinstance(model, type):
        name, cure = f"{model.__name__} is a class, and", "Pass a fitted model."
    elif hasattr(model, "model"):
        cure = "Pass its model: fit.model."
    for inner in ("estimator_", "best_estimator_"):
        if not isinstance(model, type) and hasattr(model, inner):
            cure = f"Pass its fitted estimator: {name.lower()}.{inner}."
    raise PlanError(f"{name} has no contributions", cure=cure)


def _boosted(model: Any, X: Any, classes: np.ndarray | None) -> Explained:
    rows, columns = _read(read.boosted_rows, model, X)
    found, base = shapley_values(read.boosted_trees(model), rows, model.n_trees_per_iteration_)
    values = np.empty_like(found)
    values[:, columns] = found
    unit = "log of the prediction" if model.loss in ("poisson", "gamma") else "prediction"
    if classes is not None:
        unit = "log-odds" if len(classes) == 2 else "raw score"
    return _flat(values, base + model._baseline_prediction.reshape(-1), unit, _names(model), classes)


def _forest(model: Any, X: Any, classes: np.ndarray | None) -> Explained:
    members = model.estimators_ if isinstance(model, FORESTS) else [model]
    outputs = model.n_outputs_ if classes is None else len(classes)
    rows = _read(read.forest_rows, model, X)
    trees = read.forest_trees(members, classifier=classes is not None)
    values, base = (each / len(members) for each in shapley_values(trees, rows, outputs))
    if classes is None:
        return _flat(values, base, "prediction", _names(model), None)
    return Explained(values=values, base=base, unit="probability", names=_names(model), classes=classes)


def _by_library(library: Any, model: Any, X: Any, classes: np.ndarray | None) -> Explained:
    values, base, unit = _read(library.contributions_of, model, X)
    names = library.names_of(model)
    return _flat(values, base, unit, None if names is None else tuple(names), classes)


def _flat(
    values: np.ndarray, base: np.ndarray, unit: str, names: tuple[str, ...] | None, classes: np.ndarray | None
) -> Explained:
    """Contributions without an axis of outputs where there is one."""
    one = len(base) == 1
    return Explained(
        values=values[:, :, 0] if one else values,
        base=float(base[0]) if one else base,
        unit=unit,
        names=names,
        classes=classes,
    )


def _names(model: Any) -> tuple[str, ...] | None:
    names = getattr(model, "feature_names_in_", None)
    return None if names is None else tuple(map(str, names))
