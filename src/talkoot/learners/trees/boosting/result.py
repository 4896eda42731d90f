"""The fitted estimator: scikit-learn's own, with the trees of the nodes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone

from talkoot.core.errors import DataError
from talkoot.core.shard import Schema
from talkoot.data.tables.dtypes import value_dtype
from talkoot.learners.trees.boosting import sklearn_private as private
from talkoot.learners.trees.boosting.categories import Coding
from talkoot.learners.trees.boosting.model import Boosted


def category_columns(estimator: Any, schema: Schema) -> tuple[int, ...]:
    """The columns that hold categories.

    Raises:
        DataError: `categorical_features` does not fit the columns.
    """
    typed = tuple(j for j, dtype in enumerate(schema.dtypes) if dtype.startswith("category"))
    try:
        return private.categorical(estimator, _table(schema, example_of(typed, schema), 1))
    except ValueError as error:
        raise refused(estimator, error) from error


def example_of(columns: tuple[int, ...], schema: Schema) -> Coding:
    """A coding with one value in each column of categories, before nodes have answered."""
    values = tuple(("",) if schema.kinds[j] == "text" else (0,) for j in columns)
    return Coding(columns, values, (False,) * len(columns))


def dummy(estimator: Any, schema: Schema, coding: Coding) -> Any:
    """The estimator, fitted by scikit-learn to a row of each class and category: all of it but the trees.

    Raises:
        DataError: scikit-learn refuses a parameter.
    """
    y = np.array([1.0, 2.0]) if schema.classes is None else schema.classes
    X = _table(schema, coding, len(y))
    made = clone(estimator).set_params(max_iter=1, early_stopping=False)
    if hasattr(made, "class_weight"):
        made.set_params(class_weight=None)
    try:
        made.fit(X, np.resize(y, len(X)))
    except (TypeError, ValueError) as error:
        raise refused(estimator, error) from error
    return made.set_params(**estimator.get_params(deep=False))


def refused(estimator: Any, error: Exception) -> DataError:
    """The error for columns that scikit-learn refuses."""
    return DataError(f"{type(estimator).__name__} refuses the columns: {error}")


def _table(schema: Schema, coding: Coding, rows: int) -> Any:
    """A table of so many rows at least, in which each category occurs."""
    found = {
        j: [*values, *([np.nan] if missing else [])]
        for j, values, missing in zip(coding.columns, coding.values, coding.missing, strict=True)
    }
    rows = max([rows, *map(len, found.values())])
    columns = {j: _column(values, rows, j, schema) for j, values in found.items()}
    every = [columns.get(j, np.zeros(rows)) for j in range(schema.features)]
    if schema.names is None:
        dtype = object if any(column.dtype == object for column in every) else np.float64
        return np.column_stack([column.astype(dtype) for column in every])
    import pandas as pd

    typed = [j for j in found if schema.dtypes and schema.dtypes[j].startswith("category")]
    frame = pd.DataFrame({j: pd.Categorical(each) if j in typed else each for j, each in enumerate(every)})
    return frame.set_axis(list(schema.names), axis=1)


def _column(values: list[Any], rows: int, column: int, schema: Schema) -> np.ndarray:
    """A column that holds values, the first of them again and again at its end."""
    padded = values + values[:1] * (rows - len(values))
    if schema.kinds[column] == "text":
        return np.array(padded, dtype=object)
    dtype = value_dtype(schema.dtypes[column]) if schema.dtypes else None
    return np.array(padded, dtype=np.float64 if dtype is None or values[-1] != values[-1] else dtype)


def finished(estimator: Any, model: Boosted) -> Any:
    """The estimator with the trees."""
    assert model.bins is not None
    assert model.baseline is not None
    coding = model.coding or Coding()
    made = dummy(estimator, model.schema, coding)
    _require_codes(made, coding, model.schema)
    grown = [
        [private.predictor(each.nodes, each.binned, each.raw) for each in trees] for trees in model.records
    ]
    earlier = None if model.warm_start is None else model.warm_start.fitted
    made._predictors = grown if earlier is None else [*earlier._predictors, *grown]
    made._baseline_prediction = model.baseline.reshape(1, -1)
    made._bin_mapper = private.bin_mapper(model.bins.thresholds, made.max_bins + 1, model.bins.categories)
    if earlier is not None:
        made = private.with_state_of(made, earlier)
    if model.stopping is not None:
        made.do_early_stopping_ = True
        made._use_validation_data = model.validation is not None
        made.train_score_ = np.array(model.stopping.training)
        made.validation_score_ = np.array(model.stopping.validation)
    if model.validation is not None:
        made = private.with_rows_held_out(made, model.seed)
    return private.with_sample_weights(made) if model.sampled else made


def _require_codes(made: Any, coding: Coding, schema: Schema) -> None:
    """Refuse categories that the estimator tells apart in another way than nodes did.

    Raises:
        DataError: there are some.
    """
    if not coding.columns:
        return
    for column, ours, theirs in zip(coding.columns, coding.values, private.categories_of(made), strict=True):
        if len(ours) != len(theirs):
            cause = f"scikit-learn finds {len(theirs)} categories where nodes have {len(ours)}"
            raise DataError(cause, column=schema.column(column), cure="Make it text.")
