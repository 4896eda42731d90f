"""The rows of all nodes in this process, to fit scikit-learn alone for comparison."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from talkoot.core.shard import Schema, Shard
from talkoot.data.tables.dtypes import value_dtype
from talkoot.learners.common.rows import concatenate
from talkoot.learners.compose.shapes import framed

LIMIT = 1 << 30  # bytes of rows up to which they are pooled in one process


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Pool:
    """The rows of all nodes, in the nodes' order."""

    X: Any  # (rows, features) array or CSR, or a data frame where columns have names
    y: np.ndarray | None  # targets in the user's labels or numbers; None without
    w: np.ndarray | None  # sample weights; None where every row counts 1

    @classmethod
    def of(cls, shards: Mapping[str, Shard], schema: Schema) -> Pool:
        """Read all rows into this process."""
        rows = concatenate([block for shard in shards.values() for block in shard.blocks() if len(block)])
        y = rows.y if rows.y is None or schema.classes is None else schema.classes[rows.y]
        return cls(X=with_categories(framed(rows.X, schema.names), schema), y=y, w=rows.w)

    def data(self) -> Any:
        """X, (X, y) or (X, y, w), as `shards` takes them."""
        if self.y is None and self.w is None:
            return self.X
        return (self.X, self.y) if self.w is None else (self.X, self.y, self.w)

    def take(self, rows: slice) -> Pool:
        """Some of the rows."""
        X = self.X.iloc[rows] if hasattr(self.X, "iloc") else self.X[rows]
        y, w = (None if values is None else values[rows] for values in (self.y, self.w))
        return Pool(X=X, y=y, w=w)

    def double(self) -> Pool:
        """The same rows with float64 instead of float32."""
        X = self.X
        if hasattr(X, "iloc"):
            X = X.astype({name: np.float64 for name in X.columns if X[name].dtype == np.float32})
        elif X.dtype == np.float32:
            X = X.astype(np.float64)
        return replace(self, X=X)

    def fit(self, estimator: Any) -> Any:
        """The estimator fitted by scikit-learn alone."""
        weights = {} if self.w is None else weighted(estimator, self.w)
        return clone(estimator).fit(self.X, self.y, **weights)


def with_categories(X: Any, schema: Schema) -> Any:
    """A frame whose columns have the dtype category where the nodes' have it; an array as it is."""
    if schema.names is None or not hasattr(X, "iloc"):
        return X
    typed = {n: d for n, d in zip(schema.names, schema.dtypes, strict=False) if d.startswith("category")}
    for name, dtype in typed.items():
        values = value_dtype(dtype)
        known = X[name] if values is None or X[name].isna().any() else X[name].astype(values)
        X = X.assign(**{name: known.astype("category")})
    return X


def weighted(estimator: Any, w: np.ndarray) -> dict[str, Any]:
    """Keyword arguments of `fit` that pass `w` to an estimator, or to the last step of a pipeline."""
    if has_fit_parameter(estimator, "sample_weight"):
        return {"sample_weight": w}
    steps = getattr(estimator, "steps", None)
    return {f"{steps[-1][0]}__sample_weight": w} if steps else {}


def size(schema: Schema) -> int:
    """Bytes that the rows take in one process, approximately."""
    return schema.rows * schema.features * (1 if schema.sparse else schema.dtype.itemsize)
