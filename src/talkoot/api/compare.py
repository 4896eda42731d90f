"""tk.compare: does working together pay? Alone, together and pooled, node by node."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any, final

import numpy as np
from scipy.stats import t as student
from sklearn.base import is_classifier, is_regressor
from sklearn.metrics import get_scorer_names

from talkoot.api.comparison import CONTESTANTS, Comparison, Interval, Row
from talkoot.api.folds import Folds, Part, Relabel
from talkoot.api.job import Job, require_estimator
from talkoot.api.pool import LIMIT, Pool, size
from talkoot.api.question import Answer
from talkoot.api.trial import Census, Trial
from talkoot.core.engine import Engine
from talkoot.core.errors import DataError, PlanError, TalkootError
from talkoot.core.plan import Plan
from talkoot.core.shard import Mapped, Schema, Shard
from talkoot.data.shards import shards
from talkoot.learners import learner_for

Models = tuple[Any, ...] | None  # one model a (repeat, fold); None where one could not be trained


def compare(
    estimator: Any,
    data: Any,
    target: Any = None,
    *,
    by: str | None = None,
    encoding: str | None = None,
    missing: Sequence[str] | None = None,
    folds: int = 5,
    repeats: int = 1,
    scoring: str | None = None,
    on: Engine | None = None,
    seed: int = 0,
) -> Comparison:
    """Does working together pay? Each node's held-out rows, predicted by four models.

    For every node: the model of its own rows alone, of all nodes together, of all nodes but this one
    (a site that joins with no rows of its own), and of all rows pooled on this machine by scikit-learn.
    Cross-validated: every node deals its own rows into folds, within each class. Intervals are of 95%,
    over which rows were held out (a jackknife over each node's rows; differences are paired); they do
    not cover that the models would differ had other rows been drawn for training.

    Args:
        estimator: an unfitted classifier or regressor, a Pipeline included.
        data: rows of two nodes or more; see `shards`.
        target: the target's column, where the rows do not come with theirs.
        by: a column whose values name the nodes.
        encoding: how the text of CSV files is encoded, such as "cp1252"; UTF-8 by default.
        missing: texts that stand for a missing value, such as ``["?"]``.
        folds: parts that each node's rows are dealt into.
        repeats: how often to deal anew; more make the scores steadier.
        scoring: name of a scikit-learn scorer; area under the ROC curve for two classes, accuracy for
            more, R2 for numbers by default.
        on: where the nodes are; chosen for the job and this machine by default.
        seed: the folds follow from it.

    Returns:
        A `Comparison`: print it, or read its `rows`.

    Raises:
        DataError: fewer than two nodes, or rows that cannot be used.
        PlanError: folds, repeats or a scorer that make no sense.
        NotDistributable: no learner fits the estimator.

    >>> import numpy as np, talkoot as tk
    >>> from sklearn.linear_model import LinearRegression
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(60, 3))
    >>> y = X @ [1.0, 2.0, 3.0] + rng.normal(size=60)
    >>> found = tk.compare(LinearRegression(), {"few": (X[:9], y[:9]), "many": (X[9:], y[9:])})
    >>> [row.node for row in found.rows], found.metric
    (['few', 'many'], 'r2')
    """
    require_estimator(estimator, "tk.compare")
    deals = _deals(folds, repeats, seed)
    if not (is_classifier(estimator) or is_regressor(estimator)):
        raise PlanError(
            f"{type(estimator).__name__} predicts nothing", cure="Take a classifier or regressor."
        )
    given = shards(data, target, by=by, encoding=encoding, missing=missing)
    if len(given) < 2:
        cure = 'Give {"name": rows, ...}, or by= a column whose values name the nodes.'
        raise DataError("there is one node, so there is nothing to compare", cure=cure)
    job = Job.place(Plan(learner_for(estimator), seed=seed), given, on)
    schema, bound = job.agree()
    metric = _metric(scoring, schema)
    classes = 1 if schema.classes is None else len(schema.classes)
    classes = 1 if schema.classes is None else len(schema.classes)
    said = Census(deals=deals, classes=classes).put(bound, job.engine, schema)
    rows = {node: answer["rows"] for node, answer in said.items()}
    arena = Arena(job=job, schema=schema, shards=bound, deals=deals, rows=rows)
    return arena.compared(metric)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Arena:
    """What all contestants are trained on.

    Args:
        job: the plan, and where it runs.
        schema: what the nodes agreed on over all their rows.
        shards: the rows, bound to it.
        deals: into folds, one for each repeat.
        rows: node -> (repeats, folds, classes) number of rows.
    """

    job: Job
    schema: Schema
    shards: Mapping[str, Shard]
    deals: tuple[Folds, ...]
    rows: Mapping[str, np.ndarray]

    def compared(self, metric: str) -> Comparison:
        """Train all, test all, and say what came of it."""
        nodes = list(self.shards)
        together = self.trained(nodes)
        pooled, notes = self.pooled()
        models: dict[str, tuple[Models, ...]] = {}
        why: dict[str, str] = {}
        for node in nodes:
            alone, why[node] = self.attempted([node])
            left_out, _ = self.attempted([other for other in nodes if other != node])
            models[node] = (alone, together, left_out, pooled)
        trial = Trial(models=models, deals=self.deals, scoring=metric, schema=self.schema)
        said = trial.put(self.shards, self.job.engine, self.schema)
        return Comparison(
            rows=tuple(_row(node, self.rows[node], said.get(node), why[node]) for node in nodes),
            metric=metric,
            folds=self.deals[0].count,
            repeats=len(self.deals),
            notes=notes,
        )

    def attempted(self, nodes: Sequence[str]) -> tuple[Models, str]:
        """What `nodes` learn together, or nothing and the reason."""
        try:
            return self.trained(nodes), ""
        except TalkootError as error:
            return None, f"cannot learn alone: {error.cause.rstrip('.')}"

    def trained(self, nodes: Sequence[str]) -> tuple[Any, ...]:
        """The models that `nodes` learn together, one for each fold that is held out.

        Raises:
            TalkootError: they cannot learn.
        """
        models = []
        for repeat, folds in enumerate(self.deals):
            for fold in range(folds.count):
                dealt = sum(self.rows[node][repeat] for node in nodes)
                schema, index = narrowed(self.schema, dealt.sum(axis=0) - dealt[fold])
                shards = self.parts(nodes, folds, fold)
                if index is not None:
                    shards = {node: Mapped(shard, Relabel(index)) for node, shard in shards.items()}
                done = self.job.execute(schema, shards)
                models.append(self.job.plan.learner.finish(done.model))
        return tuple(models)

    def pooled(self) -> tuple[Models, tuple[str, ...]]:
        """What scikit-learn makes of all rows in this process, or nothing and the reason."""
        if size(self.schema) > LIMIT:
            note = f"pooled is left out: it would take {size(self.schema) / 2**30:.1f} GB in this process."
            return None, (note,)
        models = []
        for folds in self.deals:
            for fold in range(folds.count):
                pool = Pool.of(self.parts(list(self.shards), folds, fold), self.schema)
                models.append(pool.fit(self.job.estimator))
        return tuple(models), ()

    def parts(self, nodes: Sequence[str], folds: Folds, fold: int) -> Mapping[str, Shard]:
        """The rows of `nodes` without one fold."""
        return {node: Part(shard=self.shards[node], folds=folds, fold=fold) for node in nodes}


def narrowed(schema: Schema, counts: np.ndarray) -> tuple[Schema, tuple[int, ...] | None]:
    """The schema of rows of which some classes may be missing.

    Args:
        schema: of all rows.
        counts: (classes,) rows that are there.

    Returns:
        The schema, and for each old class its new index, or None where no class is missing.

    Raises:
        DataError: no rows, or rows of a single class.
    """
    rows, there = int(counts.sum()), counts > 0
    if not rows:
        raise DataError("it has no rows")
    if schema.classes is None or there.all():
        return replace(schema, rows=rows), None
    if there.sum() == 1:
        raise DataError(f"all its rows have the label {schema.classes[there].tolist()[0]!r}")
    index = tuple(np.where(there, np.cumsum(there) - 1, -1).tolist())
    return replace(schema, rows=rows, classes=schema.classes[there]), index


def _row(node: str, rows: np.ndarray, said: Answer | None, why: str) -> Row:
    count = int(rows[0].sum())
    if said is None:
        return Row(node=node, rows=count, scores={}, gain=None, why="has no rows")
    scores, covariance, groups = said["scores"], said["covariance"], int(said["groups"][0])
    reach = student.ppf(0.975, max(1, groups - 1))

    def interval(weights: np.ndarray) -> Interval | None:
        part = weights != 0
        value = float(weights[part] @ scores[part])
        variance = float(weights[part] @ covariance[np.ix_(part, part)] @ weights[part])
        if not np.isfinite(value):
            return None
        half = reach * np.sqrt(max(0.0, variance)) if np.isfinite(variance) else np.inf
        return Interval(value, value - half, value + half)

    each = np.eye(len(CONTESTANTS))
    found = {way: interval(unit) for way, unit in zip(CONTESTANTS, each, strict=True)}
    return Row(
        node=node,
        rows=count,
        scores={way: score for way, score in found.items() if score is not None},
        gain=interval(each[1] - each[0]),
        why=why or "has no score: no fold of its rows has every label",
    )


def _deals(folds: int, repeats: int, seed: int) -> tuple[Folds, ...]:
    if folds < 2 or repeats < 1:
        raise PlanError(f"folds={folds}, repeats={repeats}", cure="Take folds >= 2 and repeats >= 1.")
    return tuple(Folds(count=folds, seed=seed + repeat) for repeat in range(repeats))


def _metric(scoring: str | None, schema: Schema) -> str:
    if scoring is not None:
        known = get_scorer_names()
        if scoring not in known:
            near = get_close_matches(scoring, known, n=1)
            cure = f"Did you mean {near[0]!r}?" if near else "See sklearn.metrics.get_scorer_names()."
            raise PlanError(f"scoring={scoring!r} is no scorer of scikit-learn", cure=cure)
        return scoring
    if schema.classes is None:
        return "r2"
    return "roc_auc" if len(schema.classes) == 2 else "accuracy"
