"""Fitted estimators: attributes of an inner fit, in the dtype of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.shard import Schema
from talkoot.learners.common.estimator import fitted

AGREED = ("n_features_in_", "feature_names_in_")  # set from the schema


def fitted_attributes(inner: Any) -> dict[str, Any]:
    """The fitted attributes of an estimator, without those set from the schema.

    >>> from sklearn.linear_model import Ridge
    >>> sorted(fitted_attributes(Ridge(fit_intercept=False).fit([[1.0]], [2.0])))
    ['coef_', 'intercept_', 'n_iter_', 'solver_']
    """
    return {
        name: value
        for name, value in vars(inner).items()
        if name.endswith("_") and not name.startswith("_") and name not in AGREED
    }


def as_dtype(value: Any, dtype: np.dtype[Any]) -> Any:
    """Floating arrays and scalars of numpy in `dtype`; anything else as it is.

    >>> as_dtype(np.ones(2), np.dtype("float32")).dtype, as_dtype(3, np.dtype("float32"))
    (dtype('float32'), 3)
    """
    floating = isinstance(value, np.ndarray | np.generic) and value.dtype.kind == "f"
    return value.astype(dtype) if floating else value


def fitted_in_dtype(estimator: Any, schema: Schema, **attributes: Any) -> Any:
    """The fitted estimator, its floating attributes in the dtype of the rows."""
    return fitted(estimator, schema, **{k: as_dtype(v, schema.dtype) for k, v in attributes.items()})


def linear(estimator: Any, schema: Schema, mean: np.ndarray, attributes: dict[str, Any]) -> Any:
    """A fitted linear model; its intercept is computed from the means and the rounded coefficients.

    `mean` is (features + outputs,), and ``coef_`` in `attributes` (features,) or (outputs, features).
    """
    intercept: Any = 0.0
    if estimator.fit_intercept:
        coef = as_dtype(attributes["coef_"], schema.dtype).astype(np.float64)
        target = mean[schema.features :] if schema.outputs else mean[-1]
        intercept = target - coef @ mean[: schema.features]
    return fitted_in_dtype(estimator, schema, **attributes | {"intercept_": intercept})


def fit_error(estimator: Any, error: ValueError) -> DataError:
    """An error of scikit-learn's fit as a `DataError`."""
    return DataError(f"{type(estimator).__name__} cannot be fitted: {error}")
