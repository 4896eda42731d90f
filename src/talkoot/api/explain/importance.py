"""tk.explain.importance: how much worse a model predicts where a column's values are permuted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np
from sklearn.base import is_classifier

from talkoot.api.explain.nodes import columns_of, shards_here
from talkoot.api.explain.reasons import counted
from talkoot.api.job import Job
from talkoot.api.text_table import decimals, text_table
from talkoot.core.engine import Engine
from talkoot.core.errors import DataError, PlanError
from talkoot.core.plan import Plan
from talkoot.core.shard import Schema
from talkoot.learners.explain.permuted import PermutedScores
from talkoot.learners.explain.predicting import require_columns, require_predictor
from talkoot.learners.held_out.measures import Additive, measure_for

CLASSES, NUMBERS = ("accuracy", "neg_log_loss"), ("r2",)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Importance:
    """How much a model's score drops where one column is permuted; see `importance`.

    Args:
        columns: their names.
        scoring: the score's name.
        score: of the rows as they are.
        importances: (columns, repeats) drops of the score.

    >>> drops = np.array([[0.25, 0.15], [0.0, 0.0]])
    >>> print(Importance(columns=("debt", "age"), scoring="accuracy", score=0.9, importances=drops))
    accuracy .9000, and its drop where a column is permuted within each node, 2 repeats
    column   drop  deviation
    debt    .2000      .0500
    age     .0000      .0000
    """

    columns: tuple[str, ...]
    scoring: str
    score: float
    importances: np.ndarray

    @property
    def importances_mean(self) -> np.ndarray:
        """(columns,) the mean drop over repeats."""
        return np.asarray(self.importances.mean(axis=1))

    @property
    def importances_std(self) -> np.ndarray:
        """(columns,) the standard deviation of the drop over repeats."""
        return np.asarray(self.importances.std(axis=1))

    def __str__(self) -> str:
        mean, deviation = self.importances_mean, self.importances_std
        order = np.argsort(-mean, kind="stable")
        lines = [(self.columns[j], decimals(mean[j], 4), decimals(deviation[j], 4)) for j in order]
        head = f"{self.scoring} {decimals(self.score, 4)}, and its drop where a column is permuted"
        how = f"within each node, {self.importances.shape[1]} repeats"
        return f"{head} {how}\n{text_table([('column', 'drop', 'deviation'), *lines], right=(1, 2))}"

    def to_dict(self) -> dict[str, float]:
        """The mean drop by column."""
        return dict(zip(self.columns, self.importances_mean.tolist(), strict=True))


def importance(
    model: Any,
    data: Any,
    target: Any = None,
    *,
    by: str | None = None,
    encoding: str | None = None,
    missing: Sequence[str] | None = None,
    scoring: str | None = None,
    repeats: int = 5,
    seed: int = 0,
    on: Engine | None = None,
) -> Importance:
    """How much worse a model predicts where the values of a column are permuted, column by column.

    Each node permutes its own rows and sends the sums that the score is made of; no row moves. Take rows
    that the model has not seen: on those it was fitted to, columns that it learned by heart look important.
    On one node it is `sklearn.inspection.permutation_importance`; on several, values stay within their node,
    so that what tells nodes apart is not lost with a column.

    Args:
        model: a fitted classifier or regressor, a Pipeline included.
        data: rows of all nodes; see `shards`.
        target: the target's column, unless `data` contains the targets.
        by: a column whose values name the nodes.
        encoding: how the text of CSV files is encoded, such as "cp1252"; UTF-8 by default.
        missing: texts that stand for a missing value, such as ``["?"]``.
        scoring: "accuracy" (the default) or "neg_log_loss" for classifiers, "r2" for regressors.
        repeats: permutations of each column.
        seed: of the permutations.
        on: where the nodes are; chosen for the job and this machine by default.

    Returns:
        An `Importance`: print it, or read its `importances_mean`.

    Raises:
        PlanError: a model that is not fitted or predicts nothing, a score that is no sum over rows, or rows
            of other organisations.
        DataError: rows that cannot be used, such as columns that the model does not know.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.linear_model import LinearRegression
    >>> X = np.random.default_rng(0).normal(size=(60, 2))
    >>> y = 3 * X[:, 1]
    >>> model = LinearRegression().fit(X, y)
    >>> found = tk.explain.importance(model, {"here": (X[:20], y[:20]), "there": (X[20:], y[20:])})
    >>> found.importances_mean.round(3)[0], bool(found.importances_mean[1] > 1)
    (np.float64(0.0), True)
    """
    require_predictor(model)
    query = PermutedScores(
        estimator=model, repeats=counted("repeats", repeats, 1), seed=counted("seed", seed, 0)
    )
    unbound = shards_here("importance", data, target, by=by, encoding=encoding, missing=missing)
    job = Job.place(Plan(query), unbound, on)
    with job.open() as opened:
        schema = opened.schema
        require_columns(model, schema)
        name, measure = _measure(model, scoring, schema)
        found = opened.ask(replace(query, schema=schema, measure=measure))
    return Importance(
        columns=columns_of(schema),
        scoring=name,
        score=float(found["score"]),
        importances=found["score"] - found["permuted"],
    )


def _measure(model: Any, scoring: str | None, schema: Schema) -> tuple[str, Additive]:
    """The score's name and its measure.

    Raises:
        PlanError: it is no sum over rows, or does not suit the model.
        DataError: the model knows none of the labels.
    """
    usable = CLASSES if is_classifier(model) else NUMBERS
    if is_classifier(model) and not hasattr(model, "predict_proba"):
        usable = CLASSES[:1]
    name = scoring or usable[0]
    measure = measure_for(name, schema) if name in usable else None
    if not isinstance(measure, Additive):
        cure = f"Take {' or '.join(map(repr, usable))}."
        raise PlanError(f"scoring={scoring!r} is no score that adds up over nodes here", cure=cure)
    if schema.classes is not None and not set(schema.classes.tolist()) & set(model.classes_.tolist()):
        labels, known = schema.classes.tolist()[:5], model.classes_.tolist()[:5]
        raise DataError(
            f"the labels are {labels}, and {type(model).__name__} predicts {known}",
            cure="Give the labels as the model learned them.",
        )
    return name, measure
