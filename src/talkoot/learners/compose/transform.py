"""Transforms of blocks by fitted transformers: the same numbers as scikit-learn, without data frames.

`row_transform` turns a fitted transformer (a pipeline, a union, a scaler) into a small function of rows that
is sent to the nodes and knows the schema of its output.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any, final

import numpy as np
from scipy import sparse
from sklearn import config_context, get_config
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion, Pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import get_tags

from talkoot.core.errors import DataError
from talkoot.core.shard import Rows, Schema
from talkoot.learners.common.sklearn_private import output_container
from talkoot.learners.compose.columns import positions, select_columns
from talkoot.learners.compose.shapes import as_float, described, framed, is_sparse, matrix, pick, typical

NONE = np.array(None, dtype=object)  # compares with each entry of an array


class RowTransform(ABC):
    """A function from rows to rows that knows the schema of its output."""

    @abstractmethod
    def __call__(self, X: Rows) -> Any:
        """Transformed rows: an array of numbers or objects, or CSR."""

    @abstractmethod
    def after(self, schema: Schema) -> Schema:
        """The schema of the output, without names, for input rows of `schema`."""


@final
@dataclass(frozen=True, slots=True, eq=False)
class SingleTransform(RowTransform):
    """One fitted transformer."""

    transformer: Any  # the fitted transformer
    names: tuple[str, ...] | None = None  # columns of the data frame to pass; None to pass an array
    missing: float | None = np.nan  # what to pass for missing text

    def __call__(self, X: Rows) -> Any:
        """The transformed rows."""
        given = framed(X, self.names)
        if isinstance(self.transformer, FunctionTransformer):
            given = given.copy()  # a function may write into the rows that it gets
        if reads_text(self.transformer) and isinstance(X, Mapping):
            _require_texts(type(self.transformer).__name__, X)
        if self.missing is not None and isinstance(given, np.ndarray) and given.dtype == object:
            given = np.where(given == NONE, self.missing, given)
        with config_context(transform_output="default"):
            out = self.transformer.transform(given[:, 0] if reads_text(self.transformer) else given)
        return out.tocsr() if is_sparse(out) else np.asarray(out)

    def after(self, schema: Schema) -> Schema:
        """For encoders from their attributes, for others from the transform of one typical row."""
        if hasattr(self.transformer, "categories_"):
            features = len(self.transformer.get_feature_names_out())
            facts: dict[str, Any] = {
                "kinds": ("number",) * features,
                "dtype": as_float(np.dtype(self.transformer.dtype)),
                "sparse": getattr(self.transformer, "sparse_output", False),
                "center": np.zeros(features),
            }
        else:
            facts = described(self._typical_output(schema), schema)
        return replace(schema, **{"names": None, "dtypes": (), "strays": {}, **facts})

    def _typical_output(self, schema: Schema) -> Any:
        try:
            with np.errstate(all="ignore"):  # the row is artificial
                return self(typical(schema))
        except Exception as error:
            raise DataError(
                f"{self.transformer} fails on a row of typical values: {error!r}",
                cure="It has to take any row of the table by itself.",
            ) from error


@final
@dataclass(frozen=True, slots=True, eq=False)
class Chain(RowTransform):
    """Transforms one after the other; none leave rows as they are."""

    links: tuple[RowTransform, ...] = ()

    def __call__(self, X: Rows) -> Any:
        """The output of the last one."""
        return reduce(lambda rows, link: link(rows), self.links, X)

    def after(self, schema: Schema) -> Schema:
        """The schema after the last step."""
        return reduce(lambda known, link: link.after(known), self.links, replace(schema, names=None))


@final
@dataclass(frozen=True, slots=True, eq=False)
class Concat(RowTransform):
    """Transforms whose outputs are concatenated."""

    # for each the columns that it reads (None for all), the transform, and a factor for its output
    parts: tuple[tuple[tuple[int, ...] | None, RowTransform, float | None], ...]
    sparse: bool | None = None  # whether the result is CSR; None for CSR if the output of any part is

    def __call__(self, X: Rows) -> Any:
        """The outputs of the parts, concatenated."""
        outs = []
        for columns, part, factor in self.parts:
            out = matrix(part(pick(X, columns)))
            outs.append(out if factor is None else out * factor)
        if self._wide(map(is_sparse, outs)):
            return sparse.hstack([_numbers(out) for out in outs], format="csr")
        return np.hstack([out.toarray() if is_sparse(out) else out for out in outs])

    def after(self, schema: Schema) -> Schema:
        """The schemas of the parts, concatenated."""
        known, centers = [], []
        for columns, part, factor in self.parts:
            known.append(part.after(schema if columns is None else select_columns(schema, columns)))
            centers.append(known[-1].center * (1.0 if factor is None else factor))
        wide = self._wide(part.sparse for part in known)
        center = np.concatenate(centers)
        kinds = tuple(kind for part in known for kind in part.kinds)
        dtypes = tuple(dtype for part in known for dtype in part.dtypes)
        made = replace(schema, kinds=kinds, dtypes=dtypes)
        if set(kinds) != {"whole"} or len(set(dtypes)) != 1:  # no array fits them as they are
            made = replace(made.floats(), dtypes=())
        return replace(
            made,
            names=None,
            strays={},
            dtype=np.result_type(*(part.dtype for part in known)),
            sparse=wide,
            center=np.zeros_like(center) if wide else center,
        )

    def _wide(self, parts: Iterable[bool]) -> bool:
        return any(parts) if self.sparse is None else self.sparse


TRANSFORMS = (SingleTransform, Chain, Concat)


def row_transform(fitted: Any) -> RowTransform:
    """A fitted transformer as a function of rows.

    Args:
        fitted: a fitted transformer, pipeline or union; "passthrough" or None.

    >>> from sklearn.preprocessing import StandardScaler
    >>> X = np.array([[1.0], [3.0]])
    >>> row_transform(StandardScaler().fit(X))(X).tolist()
    [[-1.0], [1.0]]
    """
    match fitted:
        case None | "passthrough":
            return Chain()
        case Pipeline():
            return Chain(tuple(row_transform(step) for _, step in fitted.steps))
        case FeatureUnion():
            factors = fitted.transformer_weights or {}
            parts = [(name, t) for name, t in fitted.transformer_list if not is_drop(t)]
            return Concat(tuple((None, row_transform(t), factors.get(name)) for name, t in parts))
        case ColumnTransformer():
            return _by_columns(fitted)
        case FunctionTransformer(func=None):
            return Chain()
        case FunctionTransformer(validate=False):
            names = getattr(fitted, "feature_names_in_", None)
            return SingleTransform(fitted, names=None if names is None else tuple(names))
        case _:
            return SingleTransform(without_names(fitted), missing=_missing(fitted))


def _by_columns(fitted: ColumnTransformer) -> Concat:
    """The parts that read any columns."""
    specs = [spec for *_, spec in fitted.transformers_]
    where = positions(specs, getattr(fitted, "feature_names_in_", None), fitted.n_features_in_)
    factors = fitted.transformer_weights or {}
    parts = [
        (columns, row_transform(transformer), factors.get(name))
        for (name, transformer, _), columns in zip(fitted.transformers_, where, strict=True)
        if columns and not is_drop(transformer)
    ]
    return Concat(tuple(parts), sparse=fitted.sparse_output_)


def _numbers(out: Any) -> Any:
    return out.astype(np.float64) if out.dtype == object else out


def _missing(fitted: Any) -> float | None:
    """The missing text that a transformer takes: NaN as in pandas, unless it was fitted with None."""
    learned = any(None in values.tolist() for values in getattr(fitted, "categories_", ()))
    return None if learned or getattr(fitted, "missing_values", np.nan) is None else np.nan


def _require_texts(reader: str, X: Mapping[str, np.ndarray]) -> None:
    """Refuse missing texts, as scikit-learn does."""
    for name, values in X.items():
        if not all(isinstance(value, str) for value in values):
            cure = 'Fill them at the node, as with table["text"].fillna(""), or leave these rows out.'
            raise DataError(f"some texts are missing, and {reader} reads texts only", column=name, cure=cure)


def reads_text(transformer: Any) -> bool:
    """Whether it takes a sequence of texts instead of a table, as HashingVectorizer does."""
    return bool(get_tags(transformer).input_tags.string)


def is_drop(transformer: Any) -> bool:
    """Whether a part of a union is left out."""
    return isinstance(transformer, str) and transformer == "drop"


def without_names(fitted: Any) -> Any:
    """The estimator without feature names, as scikit-learn warns of arrays if it was fitted to names."""
    if "feature_names_in_" not in vars(fitted):  # XGBoost's are a property, and it warns of no arrays
        return fitted
    copied = copy.copy(fitted)
    del copied.feature_names_in_
    return copied


def head(model: Any) -> tuple[RowTransform, Any]:
    """A fitted model as a transform of rows and the last estimator, which takes arrays.

    >>> from sklearn.linear_model import Ridge
    >>> transform, last = head(Ridge().fit([[0.0], [1.0]], [0.0, 2.0]))
    >>> last.predict(transform(np.array([[0.5]]))).tolist()
    [1.0]
    """
    if not isinstance(model, Pipeline):
        return Chain(), without_names(model)
    before, last = row_transform(model[:-1]), model.steps[-1][1]
    transform, last = head(last)
    return Chain((before, transform)), last


def outgoing(fitted: Any, schema: Schema) -> Schema:
    """The schema of a fitted transformer's output.

    It has names if scikit-learn's output is a data frame: after `set_output`, and from functions of frames.
    """
    if isinstance(fitted, Pipeline):
        return reduce(lambda known, step: outgoing(step[1], known), fitted.steps, schema)
    return replace(row_transform(fitted).after(schema), names=_names(fitted, schema))


def _names(fitted: Any, schema: Schema) -> tuple[str, ...] | None:
    if fitted is None or isinstance(fitted, str):
        return schema.names
    if isinstance(fitted, FunctionTransformer) and not fitted.validate and schema.names is not None:
        with np.errstate(all="ignore"):  # the row is artificial
            out = fitted.transform(framed(typical(schema), schema.names))
        return tuple(out.columns) if hasattr(out, "columns") else None
    return None if container(fitted) == "default" else tuple(fitted.get_feature_names_out())


def container(estimator: Any) -> str:
    """What `transform` returns, by `set_output` or configuration: "default", "pandas" or "polars"."""
    return str(output_container(estimator) or get_config()["transform_output"])
