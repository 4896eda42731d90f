"""Fitted ColumnTransformers and FeatureUnions, from fitted parts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import FeatureUnion

from talkoot.core.errors import DataError
from talkoot.core.shard import Schema
from talkoot.learners.compose.columns import STAND_IN, read_by, resolved, select_columns
from talkoot.learners.compose.transform import is_drop, outgoing

Union: TypeAlias = ColumnTransformer | FeatureUnion
Columns = Mapping[str, tuple[int, ...]]  # the positions of the columns that each part reads


def columns_of(union: Union, schema: Schema) -> dict[str, tuple[int, ...]]:
    """The positions of the columns that each part reads; parts that read none are left out.

    Raises:
        DataError: a column does not exist, or no part reads any.
    """
    if isinstance(union, FeatureUnion):
        everything = tuple(range(schema.features))
        return {name: everything for name, part in union.transformer_list if not is_drop(part)}
    found = read_by(_column_reader(union, schema), schema.names, schema.features)
    if not found:
        raise DataError("no part of the ColumnTransformer reads any column")
    return found


def fitted_union(
    union: Union, schema: Schema, columns: Columns, fitted: Mapping[str, Any], density: float | None
) -> Union:
    """A fitted clone of `union`, from its fitted parts that read `columns`.

    `density` is the share of stored entries; None unless some part's output is CSR.
    """
    made = clone(union)
    if isinstance(union, FeatureUnion):
        made.transformer_list = [(name, fitted.get(name, part)) for name, part in union.transformer_list]
        return made
    hollow = _column_reader(union, schema)
    read_by(hollow, schema.names, schema.features)
    own = union.get_params(deep=False)
    vars(made).update({name: value for name, value in vars(hollow).items() if name not in own})
    given = {name: part for name, part, _ in union.transformers} | {"remainder": union.remainder}
    flat = {name: spec for name, _, spec in union.transformers if np.isscalar(spec)}
    made.transformers_ = [
        (name, fitted.get(name, given[name]), flat.get(name, spec)) for name, _, spec in hollow.transformers_
    ]
    made.sparse_output_ = density is not None and density < union.sparse_threshold
    widths = {
        name: outgoing(part, select_columns(schema, columns[name])).features for name, part in fitted.items()
    }
    made.output_indices_ = _slices(list(hollow.output_indices_), [n for n, *_ in made.transformers_], widths)
    return made


def _column_reader(union: ColumnTransformer, schema: Schema) -> ColumnTransformer:
    """A union that reads the same columns, with `STAND_IN` as its parts."""
    listed = [
        (name, "drop" if is_drop(part) else STAND_IN, [spec] if np.isscalar(spec) else resolved(spec, schema))
        for name, part, spec in union.transformers
    ]
    return ColumnTransformer(listed, remainder="drop" if is_drop(union.remainder) else STAND_IN)


def _slices(names: list[str], order: list[str], widths: Mapping[str, int]) -> dict[str, slice]:
    """The columns of each part's output; an empty slice for parts without any."""
    found, at = dict.fromkeys(names, slice(0, 0)), 0
    for name in order:
        if name in widths:
            found[name] = slice(at, at + widths[name])
            at += widths[name]
    return found
