"""Contributions of LightGBM's models, which LightGBM computes itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

UNITS: Mapping[str, str] = {  # of the sum that contributions make, by objective as a model states it
    "binary sigmoid:1": "log-odds",
    "cross_entropy": "log-odds",
    **dict.fromkeys(("poisson", "gamma", "tweedie"), "log of the prediction"),
    **dict.fromkeys(("regression", "regression_l1", "huber", "fair", "quantile", "mape"), "prediction"),
}


def is_lightgbm(model: Any) -> bool:
    """Whether it is a model of LightGBM's; false without importing it where nobody else has."""
    return type(model).__module__.partition(".")[0] == "lightgbm" and (
        hasattr(type(model), "booster_") or hasattr(model, "dump_model")
    )


def contributions_of(model: Any, X: Any) -> tuple[np.ndarray, np.ndarray, str]:
    """LightGBM's own contributions of a fitted `Booster` or estimator.

    Returns:
        values: (rows, features, outputs) float64.
        base: (outputs,).
        unit: of both.

    Raises:
        ValueError: LightGBM refuses the rows, or has no contributions of such trees.
    """
    from lightgbm.basic import LightGBMError

    booster = _booster(model)
    features, outputs = booster.num_feature(), booster.num_model_per_iteration()
    named = hasattr(X, "columns") and names_of(model) is not None
    try:
        found = booster.predict(X, pred_contrib=True, validate_features=named)
    except LightGBMError as error:
        raise ValueError(str(error)) from error
    values = np.moveaxis(np.asarray(found).reshape(-1, outputs, features + 1), 1, 2)
    base = values[0, -1] if len(values) else np.zeros(outputs)
    objective = booster.dump_model(num_iteration=1).get("objective", "")
    return values[:, :-1], base, UNITS.get(objective, "raw score")


def names_of(model: Any) -> list[str] | None:
    """The names of the columns that a model was fitted to; None where they had none."""
    names: list[str] = _booster(model).feature_name()
    return None if names == [f"Column_{j}" for j in range(len(names))] else names


def _booster(model: Any) -> Any:
    return getattr(model, "booster_", model)
