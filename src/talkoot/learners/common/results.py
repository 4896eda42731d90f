"""What a fitted estimator carries: what an inner fit learned, in the dtype of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.shard import Schema
from talkoot.learners.common.estimator import fitted

AGREED = ("n_features_in_", "feature_names_in_")  # the schema says it


def learned(inner: Any) -> dict[str, Any]:
    """The fitted attributes of an estimator, without those that the schema knows.

    >>> from sklearn.linear_model import Ridge
    >>> sorted(learned(Ridge(fit_intercept=False).fit([[1.0]], [2.0])))
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


def finished(estimator: Any, schema: Schema, **attributes: Any) -> Any:
    """The fitted estimator, its floating attributes in the dtype of the rows."""
    return fitted(estimator, schema, **{k: as_dtype(v, schema.dtype) for k, v in attributes.items()})


def linear(estimator: Any, schema: Schema, mean: np.ndarray, attributes: dict[str, Any]) -> Any:
    """A fitted linear model, whose intercept follows from the means and the coefficients as they are kept.

    Args:
        estimator: what is fitted.
        schema: what the nodes agreed on.
        mean: (features + outputs,) means.
        attributes: what to set; ``coef_`` is (features,) or (outputs, features).
    """
    intercept: Any = 0.0
    if estimator.fit_intercept:
        coef = as_dtype(attributes["coef_"], schema.dtype).astype(np.float64)
        target = mean[schema.features :] if schema.outputs else mean[-1]
        intercept = target - coef @ mean[: schema.features]
    return finished(estimator, schema, **attributes | {"intercept_": intercept})


def refused(estimator: Any, error: ValueError) -> DataError:
    """What scikit-learn has against a fit, as an error of ours."""
    return DataError(f"{type(estimator).__name__} cannot be fitted: {error}")
