"""A fitted model as nodes predict by it: checks, rows with some columns replaced, and its response."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from sklearn.base import is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from talkoot.core.errors import DataError, PlanError, TalkootError
from talkoot.core.shard import Rows, Schema
from talkoot.learners.compose.shapes import framed
from talkoot.learners.compose.transform import head


def require_predictor(model: Any) -> None:
    """Refuse what is no fitted classifier or regressor.

    Raises:
        PlanError: it predicts nothing, or is not fitted.
    """
    known = not isinstance(model, type) and hasattr(model, "__sklearn_tags__")
    if not known or not (is_classifier(model) or is_regressor(model)):
        name = model.__name__ if isinstance(model, type) else type(model).__name__
        cure = (
            "Pass its model: fit.model."
            if hasattr(model, "model")
            else "Pass a fitted model of scikit-learn."
        )
        raise PlanError(f"{name} is no fitted classifier or regressor", cure=cure)
    require_fitted(model)


def require_fitted(model: Any) -> None:
    """Refuse a model that is not fitted.

    Raises:
        PlanError: it is not.
    """
    try:
        check_is_fitted(model)
    except NotFittedError:
        cure = "Fit it first, such as with tk.fit(...)."
        raise PlanError(f"{type(model).__name__} is not fitted", cure=cure) from None


def require_columns(model: Any, schema: Schema) -> None:
    """Refuse rows with other columns than a model was fitted to.

    Raises:
        DataError: their number, names or order differ, or they are sparse.

    Warns:
        UserWarning: only one of them has names, so that the order cannot be checked.
    """
    name, known = type(model).__name__, getattr(model, "feature_names_in_", None)
    if schema.sparse:
        raise DataError("the rows are sparse, and columns are replaced one by one", cure="Pass dense rows.")
    if known is not None and schema.names is not None and list(known) != list(schema.names):
        extra = [f"they have {column!r} besides" for column in schema.names if column not in set(known)]
        lacks = [f"they lack {column!r}" for column in known if column not in set(schema.names)]
        why = " and ".join([*extra[:1], *lacks[:1]]) or _first_swap(schema.names, known)
        cure = "Give the columns that it was fitted to, in that order, and name the target with target=."
        raise DataError(f"the rows are not those of {name}: {why}", cure=cure)
    features = getattr(model, "n_features_in_", schema.features)
    if features != schema.features:
        cure = "Give the columns that it was fitted to, and name the target with target=."
        raise DataError(f"the rows have {schema.features} columns, and {name} reads {features}", cure=cure)
    if (known is None) != (schema.names is None):
        who = "the rows" if known is None else name
        warnings.warn(f"only the columns of {who} have names, so columns count by their place", stacklevel=3)


def _first_swap(names: Iterable[str], known: Iterable[str]) -> str:
    """Where the same names begin to be in another order."""
    there, here = next((a, b) for a, b in zip(names, known, strict=True) if a != b)
    return f"they have {there!r} where it has {here!r}"


def reader(model: Any, schema: Schema) -> tuple[Any, Any]:
    """A function of a block's rows, and the estimator that takes what it gives."""
    categories = getattr(model, "is_categorical_", None) is not None  # an encoder inside reads frames
    if (schema.mixed or categories) and not isinstance(model, Pipeline):
        return lambda X: framed(X, schema.names), model
    return head(model)


@contextmanager
def predicting(model: Any) -> Iterator[None]:
    """Say which model refused rows.

    Raises:
        DataError: a ValueError was raised in the block.
    """
    try:
        yield
    except TalkootError:
        raise
    except ValueError as error:
        why = " ".join(str(error).split())
        cure = "Give rows that it can predict, or fit it with such rows."
        raise DataError(f"{type(model).__name__} cannot predict these rows: {why}", cure=cure) from error


def replaced(X: Rows, columns: Mapping[int, Any]) -> Rows:
    """The rows with other values in some columns, by place: one value, or one for each row.

    >>> replaced(np.zeros((2, 2)), {1: [3.0, 4.0]}).tolist()
    [[0.0, 3.0], [0.0, 4.0]]
    """
    if isinstance(X, Mapping):
        names = list(X)
        rows = len(next(iter(X.values())))
        other = {names[j]: np.full(rows, values, X[names[j]].dtype) for j, values in columns.items()}
        return {**X, **other}
    X = np.array(X)
    for j, values in columns.items():
        X[:, j] = values
    return X


def response(model: Any, X: Any) -> np.ndarray:
    """(rows,) or (rows, outputs) probabilities, of two classes the second's; scores where there are none."""
    if not is_classifier(model):
        return np.asarray(model.predict(X))
    if not hasattr(model, "predict_proba"):
        return np.asarray(model.decision_function(X))
    found = np.asarray(model.predict_proba(X))
    return found[:, 1] if found.shape[1] == 2 else found
