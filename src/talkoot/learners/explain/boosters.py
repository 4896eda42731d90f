"""Contributions of XGBoost's models, which XGBoost computes itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

UNITS: Mapping[str, str] = {  # of the sum that contributions make, by objective
    "binary:logistic": "log-odds",
    "binary:logitraw": "log-odds",
    "reg:logistic": "log-odds",
    "count:poisson": "log of the prediction",
    "reg:gamma": "log of the prediction",
    "reg:tweedie": "log of the prediction",
    "reg:squarederror": "prediction",
    "reg:absoluteerror": "prediction",
    "reg:pseudohubererror": "prediction",
}


def is_xgboost(model: Any) -> bool:
    """Whether it is a model of XGBoost's; false without importing it where nobody else has."""
    return type(model).__module__.partition(".")[0] == "xgboost" and (
        hasattr(model, "get_booster") or hasattr(model, "inplace_predict")
    )


def contributions_of(model: Any, X: Any) -> tuple[np.ndarray, np.ndarray, str]:
    """XGBoost's own contributions of a fitted `Booster` or estimator.

    Returns:
        values: (rows, features, outputs) float64.
        base: (outputs,).
        unit: of both.
    """
    import json

    from xgboost import DMatrix

    wrapped = hasattr(model, "get_booster")
    booster = model.get_booster() if wrapped else model
    how = {"missing": model.missing, "enable_categorical": model.enable_categorical} if wrapped else {}
    best = getattr(model, "best_iteration", None) if wrapped else None  # where an estimator predicts up to
    trees = (0, 0) if best is None or model.booster == "gblinear" else (0, best + 1)
    found = booster.predict(DMatrix(X, **how), pred_contribs=True, strict_shape=True, iteration_range=trees)
    objective = json.loads(booster.save_config())["learner"]["objective"]["name"]
    values = np.moveaxis(np.asarray(found, dtype=np.float64), 1, 2)  # strict: (rows, outputs, features + 1)
    base = values[0, -1] if len(values) else np.zeros(values.shape[2])
    return values[:, :-1], base, UNITS.get(objective, "raw score")


def names_of(model: Any) -> list[str] | None:
    """The names of the columns that a model was fitted to; None where they had none."""
    names: list[str] | None = (model.get_booster() if hasattr(model, "get_booster") else model).feature_names
    return names
