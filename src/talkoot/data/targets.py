"""Targets, sample weights and query ids, and their encoding for learners: float64, or indices of classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from talkoot.core.errors import DataError, SchemaError
from talkoot.core.shard import Schema
from talkoot.data.tables.columns import NUMBER, TEXT, factorize, target_values, to_arrow

LARGEST_ID = 2.0**63


def as_target(y: Any) -> np.ndarray:
    """Any array-like as a target: (rows,), or (rows, outputs) of numbers. Objects become numbers or text.

    Raises:
        DataError: more than two dimensions, or values of several kinds.
    """
    values: np.ndarray = np.asarray(y)
    if values.ndim == 0 and not isinstance(y, np.ndarray):
        raise DataError(
            f"the target is of type {type(y).__name__}", cure="Give an array with one value a row, or a name."
        )
    if values.ndim not in (1, 2):
        raise DataError(
            f"the target has shape {values.shape}", cure="Give one value a row, or (rows, outputs)."
        )
    if values.ndim == 2 and values.dtype.kind not in "biuf":
        values = np.asarray(values.astype(np.float64) if values.shape[1] != 1 else values.ravel())
    if values.dtype.kind == "O":
        return target_values(to_arrow(values))
    if values.dtype.kind not in "biufU":
        raise DataError(f"the target holds {values.dtype}", cure="A target holds numbers, booleans or text.")
    return values


def is_text(y: np.ndarray) -> bool:
    """Whether a target holds text."""
    return y.dtype.kind in "OU"


def missing(y: np.ndarray) -> int:
    """The number of rows without a target."""
    if is_text(y):
        return to_arrow(y).null_count if y.dtype.kind == "O" else 0
    return 0 if y.dtype.kind != "f" else int(np.isnan(y.reshape(len(y), -1)).any(axis=1).sum())


def as_weights(w: Any) -> np.ndarray:
    """Any array-like as sample weights, (rows,) float64.

    Raises:
        DataError: not one number a row.
    """
    try:
        values = np.asarray(w, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError("the sample weights are no numbers", cure="Give one number a row.") from None
    if values.ndim != 1:
        raise DataError(f"the sample weights have shape {values.shape}", cure="Give one number a row.")
    return values


def as_query_ids(values: Any) -> np.ndarray:
    """Any array-like as query ids, (rows,): int64, or objects that are text.

    Raises:
        DataError: not one whole number or text a row.
    """
    ids: np.ndarray = np.asarray(values)
    if ids.ndim != 1:
        raise DataError(f"the query ids have shape {ids.shape}", cure="Give one id a row.")
    if not len(ids):
        return ids.astype(np.int64)
    if ids.dtype.kind == "O":
        ids = target_values(to_arrow(ids))
    if missing(ids):
        raise DataError(f"{missing(ids)} rows have no query id", cure="Fill it in, or leave those rows out.")
    if is_text(ids):
        return ids.astype(object)
    whole = ids.dtype.kind in "iub" or (ids.dtype.kind == "f" and bool((ids == np.floor(ids)).all()))
    if not whole or np.abs(ids.astype(np.float64)).max() >= LARGEST_ID:
        raise DataError("the query ids are no whole numbers of 63 bits", cure="Give whole numbers, or text.")
    return ids.astype(np.int64)


def encode(y: np.ndarray | None, schema: Schema) -> np.ndarray | None:
    """Class indices where the schema has classes, else float64.

    Raises:
        SchemaError: a label that is not one of the classes.
        DataError: text where numbers are needed.
    """
    if y is None:
        return None
    if schema.classes is None:
        if is_text(y):
            raise text_target(str(y[0]), schema.target)
        return y.astype(np.float64, copy=False)
    return _indices(y.ravel(), schema.classes)


def _indices(y: np.ndarray, classes: np.ndarray) -> np.ndarray:
    if not len(y):
        return np.empty(0, dtype=np.intp)
    if is_text(y):
        codes, levels = factorize(to_arrow(y))
        known = {label: index for index, label in enumerate(classes.tolist())}
        index: np.ndarray = np.array([known.get(level, -1) for level in levels], dtype=np.intp)[codes]
    elif y.dtype.kind in "iu" and np.array_equal(classes, np.arange(len(classes))):
        index = y.astype(np.intp, copy=False)
        if index.max() >= len(classes):
            index = np.where(index < len(classes), index, -1)
    else:
        index = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
        index[classes[index] != y] = -1
    if (index < 0).any():
        unknown = y[index < 0][:1].tolist()[0]
        raise SchemaError(f"label {unknown!r} is none of the classes that the nodes agreed on")
    return index


def label_kind(classes: np.ndarray | None) -> str:
    """The kind of column to read a target as, once its classes are known."""
    return TEXT if classes is not None and is_text(classes) else NUMBER


def text_target(example: str, column: str | None) -> DataError:
    """The error for text where a regressor needs numbers."""
    return DataError(
        f"the target holds text (for example {example!r}), and this estimator reads it as numbers",
        column=column,
        cure="Fit a classifier, or make it a column of numbers.",
    )
