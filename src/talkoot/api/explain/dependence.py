"""tk.explain.dependence: how the mean prediction changes with the values of a column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from sklearn.base import is_classifier

from talkoot.api.explain.grid import grid_points
from talkoot.api.explain.nodes import columns_of, shards_here
from talkoot.api.job import Job
from talkoot.api.text_table import text_table
from talkoot.core.engine import Engine
from talkoot.core.plan import Plan
from talkoot.core.run import run_on
from talkoot.core.shard import UNKNOWN
from talkoot.data.schema import agree_on
from talkoot.learners.explain.dependence import DependenceSums
from talkoot.learners.explain.predicting import require_columns, require_predictor


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Dependence:
    """The mean prediction at each point of a grid; see `dependence`.

    Args:
        columns: that were set.
        grid: (points, columns) their values.
        average: (points,) or (points, outputs) mean predictions: of two classes the second's probability.
        classes: of a classifier; None for numbers.

    >>> grid = np.array([[20.0], [60.0]])
    >>> print(Dependence(columns=("age",), grid=grid, average=np.array([0.25, 0.5]), classes=None))
    age  mean prediction
    20              0.25
    60               0.5
    """

    columns: tuple[str, ...]
    grid: np.ndarray
    average: np.ndarray
    classes: np.ndarray | None

    def __str__(self) -> str:
        outputs = self.average.reshape(len(self.grid), -1)
        heads = ["mean prediction"]
        if self.classes is not None:
            labels = self.classes.tolist()
            heads = [f"of {label!r}" for label in (labels[1:] if outputs.shape[1] == 1 else labels)]
        elif outputs.shape[1] > 1:
            heads = [f"of target {output}" for output in range(outputs.shape[1])]
        lines = [
            [*map(_shown, point), *(f"{value:.6g}" for value in each)]
            for point, each in zip(self.grid.tolist(), outputs, strict=True)
        ]
        return text_table(
            [[*self.columns, *heads], *lines],
            right=range(len(self.columns), len(self.columns) + len(heads)),
        )


def dependence(
    model: Any,
    data: Any,
    columns: str | int | Sequence[str | int],
    grid: Any = None,
    *,
    target: Any = None,
    by: str | None = None,
    encoding: str | None = None,
    missing: Sequence[str] | None = None,
    on: Engine | None = None,
) -> Dependence:
    """The mean prediction over all rows where a column, or several, are set to each value of a grid.

    The same as `sklearn.inspection.partial_dependence(method="brute")` of the pooled rows: each node adds
    up its predictions and counts its rows; no row moves. Every row counts at every value, also at one that
    it could not have: where columns go together, the mean speaks of rows that do not exist.

    Args:
        model: a fitted classifier or regressor, a Pipeline included.
        data: rows of all nodes; see `shards`.
        columns: the column or columns to set, by name, or by place for rows without names.
        grid: the values of one column, or {column: values}; of several all combinations. By default the
            quantiles 5%, 10%, ... 95% of all rows, which are exact.
        target: the target's column, which is left out.
        by: a column whose values name the nodes.
        encoding: how the text of CSV files is encoded, such as "cp1252"; UTF-8 by default.
        missing: texts that stand for a missing value, such as ``["?"]``.
        on: where the nodes are; chosen for the job and this machine by default.

    Returns:
        A `Dependence`: print it, or read its `grid` and `average`. Predictions are probabilities where
        the model has some, else what `decision_function` or `predict` gives.

    Raises:
        PlanError: a model that is not fitted or predicts nothing, or rows of other organisations.
        DataError: rows, columns or values that cannot be used.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.linear_model import LinearRegression
    >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    >>> model = LinearRegression().fit(X, 3 * X[:, 0] + X[:, 1])
    >>> tk.explain.dependence(model, {"a": X[:1], "b": X[1:]}, 0, [0.0, 2.0]).average.round(6).tolist()
    [0.5, 6.5]
    """
    require_predictor(model)
    unbound = shards_here("dependence", data, target, by=by, encoding=encoding, missing=missing)
    job = Job.place(Plan(DependenceSums(model=model, schema=UNKNOWN, points=())), unbound, on)
    with job.engine.open(job.shards) as nodes:
        view = agree_on(nodes, target=job.shards.target, read_target=False)
        schema = view.schema
        require_columns(model, schema)
        chosen = [columns] if isinstance(columns, str | int) else [*columns]
        points = grid_points(nodes, view, chosen, grid)
        query = DependenceSums(model=model, schema=schema, points=tuple(points))
        found = query.finish(run_on(nodes, Plan(query), schema=schema, view=view).model)
    text = any(schema.kinds[place] == "text" for place in points[0])
    return Dependence(
        columns=tuple(columns_of(schema)[place] for place in points[0]),
        grid=np.array([[*point.values()] for point in points], dtype=object if text else np.float64),
        average=found["average"],
        classes=model.classes_ if is_classifier(model) else None,
    )


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
