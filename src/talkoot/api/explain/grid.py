"""The grid of a partial dependence: values that a caller gives, or exact quantiles of all rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import prod
from typing import Any

import numpy as np
from sklearn.preprocessing import QuantileTransformer

from talkoot.api.explain.nodes import columns_of
from talkoot.core.engine import Nodes
from talkoot.core.errors import DataError
from talkoot.core.plan import Plan
from talkoot.core.run import run_on
from talkoot.core.shard import Schema
from talkoot.data.schema import Bind
from talkoot.learners import learner_for

QUANTILES = 21  # 0, 5%, ... 100%, of which the first and the last are left out
MOST = 10_000  # points


def grid_points(nodes: Nodes, view: Bind, columns: Sequence[str | int], grid: Any) -> list[dict[int, Any]]:
    """All combinations of the columns' values, as {place of a column: value}.

    Raises:
        DataError: there is no such column, a value that it cannot have, or too many points.
    """
    places = [_place(view.schema, column) for column in columns]
    if not places or len(set(places)) < len(places):
        raise DataError(
            f"columns={list(columns)!r} are no different columns", cure="Name one or more of them."
        )
    if grid is None:
        quantiles = _quantiles(nodes, view)
        axes = [_inner(quantiles[:, place], view.schema, place) for place in places]
    else:
        given = _given(columns, grid)
        axes = [_values(view.schema, place, values) for place, values in zip(places, given, strict=True)]
    points = prod(map(len, axes))
    if points > MOST:
        raise DataError(
            f"the grid has {points:,} points", cure=f"Give fewer values: {MOST:,} points at most."
        )
    return [dict(zip(places, values, strict=True)) for values in product(*axes)]


def _place(schema: Schema, column: str | int) -> int:
    labels = columns_of(schema)
    if isinstance(column, str) and column in labels:
        return labels.index(column)
    if isinstance(column, int) and 0 <= column < len(labels):
        return column
    raise DataError(f"there is no column {column!r}", cure=f"The columns are {', '.join(labels[:20])}.")


def _given(columns: Sequence[str | int], grid: Any) -> list[Any]:
    """The values of each column."""
    if isinstance(grid, Mapping):
        if set(grid) != set(columns):
            cure = "Give values for the columns that are set."
            raise DataError(f"columns are {list(columns)!r}, and the grid has {list(grid)!r}", cure=cure)
        return [grid[column] for column in columns]
    if len(columns) > 1:
        raise DataError(
            "a grid of several columns needs their names", cure="Write grid={column: values, ...}."
        )
    return [grid]


def _values(schema: Schema, place: int, values: Any) -> list[Any]:
    """The values of one column, as blocks hold them."""
    listed = [values] if isinstance(values, str) or np.ndim(values) == 0 else list(values)
    if not listed:
        raise DataError("the grid has no values", column=schema.column(place))
    if schema.kinds[place] == "text":
        if not all(isinstance(value, str) for value in listed):
            raise DataError("the grid has a value that is no text", column=schema.column(place))
        return listed
    try:
        return [float(value) for value in listed]
    except (TypeError, ValueError):
        cause = f"the grid has a value that is no number: {listed!r:.80}"
        raise DataError(cause, column=schema.column(place)) from None


def _quantiles(nodes: Nodes, view: Bind) -> np.ndarray:
    """(quantiles, features) of all rows, by counts of values that nodes add up."""
    if view.schema.mixed:
        cure = "Give the values: grid=[...]."
        raise DataError("some columns hold text, so quantiles of the rows are not known", cure=cure)
    count = min(QUANTILES, view.schema.rows)
    plan = Plan(learner_for(QuantileTransformer(n_quantiles=count, subsample=None)))
    fitted = plan.learner.finish(run_on(nodes, plan, schema=view.schema, view=view).model)
    return np.asarray(fitted.quantiles_)


def _inner(quantiles: np.ndarray, schema: Schema, place: int) -> list[float]:
    """The different quantiles of a column without its least and greatest value, where others are left."""
    inner = quantiles[1:-1] if len(quantiles) > 2 else quantiles
    if np.isnan(inner).all():
        raise DataError("all its values are missing", column=schema.column(place), cure="Give grid=[...].")
    return [float(value) for value in np.unique(inner)]
