"""Scores of several models on held-out rows, computed at the node."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any, final

import numpy as np
from sklearn import config_context
from sklearn.metrics import get_scorer
from sklearn.utils import Tags, get_tags

from talkoot.core.errors import DataError
from talkoot.core.merge import Gather, Merge, Sum
from talkoot.core.query import Answer, Query
from talkoot.core.shard import Block, InMemory, Schema, Shard
from talkoot.learners.compose.transform import head
from talkoot.learners.held_out.folds import IN_MEMORY, Folds, Part
from talkoot.learners.held_out.measures import GROUPS, measure_for

RESPONSES = ("predict", "predict_proba", "decision_function", "predict_log_proba")
GROUP = Folds(count=GROUPS, seed=-1, stratify=False)  # the group of the jackknife of each row


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FoldCounts(Query):
    """How many rows of each class each node has in each fold, or all together."""

    splits: tuple[Folds, ...]  # into folds, one for each repeat
    classes: int  # number of classes; 1 where there are none
    total: bool = False  # add up all nodes: the one answer is that of the node ""

    def merge(self) -> Merge:
        """A sum where only the total is wanted."""
        return Sum() if self.total else Gather()

    def answer(self, shard: Shard) -> Answer:
        """``"rows"``: (repeats, folds, classes) int64."""
        rows = np.zeros((len(self.splits), self.splits[0].count, self.classes), dtype=np.int64)
        for repeat, folds in enumerate(self.splits):
            for block, fold in folds.blocks_with_folds(shard):
                label = np.zeros(len(block), dtype=np.intp)
                if self.classes > 1 and block.y is not None:
                    label = block.y
                np.add.at(rows[repeat], (fold, label), 1)
        return {"rows": rows}


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HeldOutScores(Query):
    """Scores each node's models on that node's rows of a fold that none of them was trained on.

    The models are asked about: node -> models, None for one that could not be trained.
    """

    folds: Folds  # the split into folds
    fold: int  # which fold is held out
    scoring: Any  # a scikit-learn scorer, or its name
    schema: Schema  # how the rows are read, and their classes

    def answer(self, shard: Shard) -> Answer:
        """Without models nothing is scored."""
        del shard
        return {}

    def answer_about(self, question: Mapping[str, Sequence[Any]], shard: Shard, schema: Schema) -> Answer:
        """``"scores"``, ``"groups"``.

        Returns:
            scores: (1 + GROUPS, models) of all rows of the fold, then without each group of the
                jackknife; NaN for no score.
            groups: (GROUPS,) rows of each group.
        """
        models = question[shard.name]
        rows = _Rows.of(Part(shard=shard, folds=self.folds, fold=self.fold, held_out=True), self.schema)
        scores = np.full((1 + GROUPS, len(models)), np.nan)
        if len(rows.group):
            computed: dict[int, np.ndarray] = {}  # the same model may stand in several places
            for at, model in enumerate(models):
                if model is not None:
                    if id(model) not in computed:
                        computed[id(model)] = self._scores(CachedResponses(model, rows.shard), rows)
                    scores[:, at] = computed[id(model)]
        return {"scores": scores, "groups": np.bincount(rows.group, minlength=GROUPS)}

    def _scores(self, model: CachedResponses, rows: _Rows) -> np.ndarray:
        every = np.arange(len(rows.group))
        whole = self._score(model, rows, every)
        measure = measure_for(self.scoring, self.schema)
        if np.isnan(whole):
            return np.full(1 + GROUPS, np.nan)
        if measure is not None:
            tally = measure.tally(model, every[:, np.newaxis], rows.y, rows.w, rows.group)
            return np.concatenate([[whole], measure.scores(tally)[1:]])
        left = [self._score(model, rows, np.flatnonzero(rows.group != g)) for g in range(GROUPS)]
        return np.array([whole, *left])

    def _score(self, model: CachedResponses, rows: _Rows, at: np.ndarray) -> float:
        if not len(at):
            return np.nan
        y = rows.y[at]
        weights = {} if rows.w is None else {"sample_weight": rows.w[at]}
        with warnings.catch_warnings(), config_context(assume_finite=True):
            warnings.simplefilter("ignore")  # such as: a class is missing, so the score is set to 0
            try:
                return float(get_scorer(self.scoring)(model, at[:, np.newaxis], y, **weights))
            except (ValueError, TypeError) as error:
                known = getattr(model, "classes_", None)
                if known is not None and set(y.tolist()) != set(np.asarray(known).tolist()):
                    return np.nan  # such as an area under the curve where a class is missing
                what = str(error).strip().split("\n")[0].rstrip(".")
                raise DataError(
                    f"scoring={self.scoring!r} cannot score the rows here: {what}",
                    cure="Take another score, such as 'accuracy' for labels or 'r2' for numbers.",
                ) from error


@final
@dataclass(frozen=True, slots=True, eq=False)
class _Rows:
    """Targets, weights and jackknife groups of some rows, and the rows: in memory if they are few."""

    shard: Shard
    y: np.ndarray
    w: np.ndarray | None
    group: np.ndarray

    @classmethod
    def of(cls, part: Part, schema: Schema) -> _Rows:
        """Read them in one pass; groups are split over all of the node's rows, so that folds share them."""
        blocks: list[Block] = []
        columns, rows = [], 0
        for block, group in part.blocks_with_folds(GROUP):
            columns.append((np.asarray(block.y), block.w, group))
            rows += len(block)
            blocks = [*blocks, block] if rows * schema.features <= IN_MEMORY else []
        if not columns:
            return cls(part, np.empty(0), None, np.empty(0, dtype=np.intp))
        y = np.concatenate([y for y, _, _ in columns])
        ws = [w for _, w, _ in columns if w is not None]
        few = rows * schema.features <= IN_MEMORY
        return cls(
            shard=InMemory(name=part.name, held=tuple(blocks)) if few else part,
            y=y if schema.classes is None else schema.classes[y],
            w=np.concatenate(ws) if ws else None,
            group=np.concatenate([group for _, _, group in columns]),
        )


def mean_scores(tests: Sequence[Answer], trained: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """A node's mean scores over all folds, and their covariance.

    The covariance is the delete-a-group jackknife's over the node's rows: the same rows are left out for
    every model, so that differences are paired. Source: Kott 2001, The Delete-a-Group Jackknife, J. of
    Official Statistics 17.

    Args:
        tests: answers of `HeldOutScores`, one for each fold.
        trained: (models,) False for those that could not be trained in some fold, which have no score.

    Returns:
        scores: (models,), NaN for no score.
        covariance: (models, models).
        groups: number of jackknife groups that have rows.
    """
    present = np.sum([test["groups"] for test in tests], axis=0) > 0
    table = _table(tests, trained)
    scores = mean_over_folds(table[:, 0])
    left = np.array([mean_over_folds(table[:, 1 + g]) for g in np.flatnonzero(present)])
    return scores, jackknife_covariance(left), len(left)


def scored_folds(tests: Sequence[Answer], trained: np.ndarray) -> np.ndarray:
    """(folds,) whether a fold counts in the scores that `mean_scores` gives."""
    table = _table(tests, trained)[:, 0]
    scored = ~np.isnan(table).all(axis=0)
    return np.asarray(scored.any() & ~np.isnan(table[:, scored]).any(axis=1))


def _table(tests: Sequence[Answer], trained: np.ndarray) -> np.ndarray:
    """(folds, 1 + GROUPS, models) scores; NaN for models that could not be trained in some fold."""
    return np.where(trained, np.array([test["scores"] for test in tests]), np.nan)


def jackknife_covariance(left: np.ndarray) -> np.ndarray:
    """(n, n) covariance from (groups, n) scores without each group; NaN for fewer than two groups."""
    count = len(left)
    if count < 2:
        return np.full((left.shape[1],) * 2, np.nan)
    spread = left - left.mean(axis=0)
    return np.asarray((count - 1) / count * spread.T @ spread)


def mean_over_folds(table: np.ndarray) -> np.ndarray:
    """(models,) means of (folds, models), over folds where every model that has any score has one."""
    scored = ~np.isnan(table).all(axis=0)
    complete = ~np.isnan(table[:, scored]).any(axis=1)
    return np.asarray(table[complete].mean(axis=0)) if complete.any() else np.full(table.shape[1], np.nan)


@final
class CachedResponses:
    """A fitted model whose responses on some rows are computed once; its `X` are positions of rows."""

    def __init__(self, model: Any, shard: Shard) -> None:
        self.model, self.shard = model, shard
        self.transform_rows, self.last = head(model)
        self._responses: dict[str, np.ndarray] = {}

    def __sklearn_tags__(self) -> Tags:
        return get_tags(self.model)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "model" not in self.__dict__:
            raise AttributeError(name)
        if name not in RESPONSES:
            return getattr(self.model, name)
        return self._cached(name, getattr(self.last, name))

    def _cached(self, name: str, method: Callable[[Any], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        if name not in self._responses:
            blocks = [method(self.transform_rows(block.X)) for block in self.shard.blocks()]
            self._responses[name] = np.concatenate(blocks)
        responses = self._responses[name]

        @wraps(method)  # scorers read its name
        def at(rows: np.ndarray) -> np.ndarray:
            return np.asarray(responses[rows.ravel()])

        return at
