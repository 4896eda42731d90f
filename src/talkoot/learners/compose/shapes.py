"""Conversions of rows between blocks, scikit-learn's inputs and its outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import sparse

from talkoot.core.shard import Rows, Schema


def is_sparse(X: Any) -> bool:
    """Whether rows are a sparse matrix."""
    return bool(sparse.issparse(X))


def pick(X: Rows, columns: Sequence[int] | None) -> Rows:
    """Some of the columns, in this order; all for None.

    >>> pick(np.array([[1.0, 2.0, 3.0]]), [2, 0]).tolist()
    [[3.0, 1.0]]
    """
    if columns is None:
        return X
    if isinstance(X, Mapping):
        names = list(X)
        return {names[i]: X[names[i]] for i in columns}
    straight = len(columns) > 0 and list(columns) == list(range(columns[0], columns[0] + len(columns)))
    return X[:, columns[0] : columns[-1] + 1] if straight else X[:, list(columns)]


def matrix(X: Rows) -> Any:
    """Rows as scikit-learn takes them: CSR, or an array, of objects if a column is text."""
    if not isinstance(X, Mapping):
        return X
    columns = list(X.values())
    text = any(column.dtype == object for column in columns)
    dtype: Any = object if text else np.result_type(*columns)
    out = np.empty((len(columns[0]), len(columns)), dtype=dtype, order="F")
    for j, column in enumerate(columns):
        out[:, j] = column
    return out


def framed(X: Rows, names: Sequence[str] | None) -> Any:
    """Rows as a pandas frame if they have names and pandas is installed, else as `matrix`.

    This is what a model gets on one machine. Missing text is NaN, as in pandas.
    """
    if is_sparse(X) or (names is None and not _is_uneven(X)):
        return matrix(X)
    try:
        import pandas as pd
    except ImportError:
        return matrix(X)
    frame = pd.DataFrame(dict(X)).fillna(np.nan) if isinstance(X, Mapping) else pd.DataFrame(X)
    return frame.set_axis(range(frame.shape[1]) if names is None else list(names), axis=1)


def _is_uneven(X: Rows) -> bool:
    """Whether some columns are large whole numbers and others floats, so that no array fits all."""
    return isinstance(X, Mapping) and {column.dtype.kind for column in X.values()} in ({"i", "f"}, {"u", "f"})


def shaped(X: Any, schema: Schema) -> Rows:
    """A transformer's output, or some columns of a block, in the form of a block of `schema`."""
    if not schema.mixed:
        if is_sparse(X):
            return X.tocsr().astype(schema.dtype, copy=False)
        return np.asarray(matrix(X), dtype=schema.dtype)
    columns = list(X.values()) if isinstance(X, Mapping) else list(_with_none(np.asarray(X, dtype=object)).T)
    return {
        name: column if schema.kinds[j] == "text" else column.astype(schema.dtype_of(j), copy=False)
        for j, (name, column) in enumerate(zip(schema.labels, columns, strict=True))
    }


def _with_none(X: np.ndarray) -> np.ndarray:
    """Objects with None in place of NaN."""
    out = X.copy()
    out[np.not_equal(X, X)] = None
    return out


def typical(schema: Schema) -> Rows:
    """A block of one row: centers of numbers, empty text; no entries if sparse."""
    if schema.sparse:
        return sparse.csr_array((1, schema.features), dtype=schema.dtype)
    row = schema.center[np.newaxis].astype(object)
    row[:, np.array([kind == "text" for kind in schema.kinds], dtype=bool)] = ""
    return shaped(row, schema)


def described(out: Any, before: Schema) -> dict[str, Any]:
    """The fields of a schema that follow from one transformed row: kinds, dtypes, dtype, sparse and center.

    `out` is (1, features), an array of numbers or objects, or CSR; `before` is the schema of the input row.
    """
    wide, features = is_sparse(out), out.shape[1]
    whole = "whole" in before.kinds and out.dtype in (np.int64, np.uint64)
    kinds = ["whole" if whole else "number"] * features
    if not wide and out.dtype == object:
        kinds = ["text" if isinstance(value, str) else "number" for value in out[0]]
    center = np.zeros(features)
    numbers = np.array([kind != "text" for kind in kinds], dtype=bool)
    if not wide:
        center[numbers] = np.nan_to_num(out[0, numbers].astype(np.float64), posinf=0.0, neginf=0.0)
    dtypes = (str(out.dtype),) * features if whole else ()
    return {
        "kinds": tuple(kinds),
        "dtypes": dtypes,
        "dtype": as_float(out.dtype),
        "sparse": wide,
        "center": center,
    }


def as_float(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """float32 as it is, anything else as float64."""
    return dtype if dtype == np.float32 else np.dtype(np.float64)
