"""Scores of several models on the rows that were held out from them, worked out at the node."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import wraps
from typing import Any, final

import numpy as np
from sklearn.exceptions import UndefinedMetricWarning
from sklearn.metrics import get_scorer
from sklearn.utils import Tags, get_tags

from talkoot.api.folds import Folds, Part
from talkoot.api.question import Answer, Question
from talkoot.core.shard import Schema, Shard
from talkoot.learners.composition.flow import head

RESPONSES = ("predict", "predict_proba", "decision_function", "predict_log_proba")
GROUPS = 20  # parts of a node's rows that the jackknife leaves out, one after the other


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Census(Question):
    """How many rows of each class each node has in each fold.

    Args:
        deals: one deal of the rows into folds for each repeat.
        classes: number of classes; 1 where there are none.
    """

    deals: tuple[Folds, ...]
    classes: int

    def answer(self, shard: Shard) -> Answer:
        """``"rows"``: (repeats, folds, classes) int64."""
        rows = np.zeros((len(self.deals), self.deals[0].count, self.classes), dtype=np.int64)
        for repeat, folds in enumerate(self.deals):
            for block, fold in folds.dealt(shard):
                label = np.zeros(len(block), dtype=np.intp)
                if self.classes > 1 and block.y is not None:
                    label = block.y
                np.add.at(rows[repeat], (fold, label), 1)
        return {"rows": rows}


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trial(Question):
    """Tests each node's models on that node's rows, each model on the fold that it has not seen.

    A score is the mean over folds. Its variance, and that of differences between models, is the
    delete-a-group jackknife's over the node's rows: the same rows are left out for every model, so that
    differences are paired. Source: Kott 2001, The Delete-a-Group Jackknife, J. of Official Statistics 17.

    Args:
        models: node -> the contestants, each one model a (repeat, fold) in that order; None for a
            contestant that could not be trained.
        deals: the deals into folds, one a repeat.
        scoring: name of a scikit-learn scorer.
        schema: how the rows are read, and their classes.
    """

    models: Mapping[str, tuple[tuple[Any, ...] | None, ...]]
    deals: tuple[Folds, ...]
    scoring: str
    schema: Schema

    def answer(self, shard: Shard) -> Answer:
        """``"scores"`` (contestants,), their ``"covariance"``, number of ``"groups"``; NaN for no score."""
        group = _dealt(shard, Folds(count=GROUPS, seed=-1, stratify=False))
        if not len(group):
            return {}
        y, w = _targets(shard, self.schema)
        tests = []
        for repeat, folds in enumerate(self.deals):
            fold = _dealt(shard, folds)
            for k in range(folds.count):
                rows = np.flatnonzero(fold == k)
                part = Part(shard=shard, folds=folds, fold=k, held_out=True)
                models = [m and m[repeat * folds.count + k] for m in self.models[shard.name]]
                tests.append(_Test(self, part, models, y[rows], None if w is None else w[rows], group[rows]))
        scores = _mean([test.scores(None) for test in tests])
        left = np.array([_mean([test.scores(g) for test in tests]) for g in np.unique(group)])
        spread = left - left.mean(axis=0)
        count = len(left)
        covariance = (count - 1) / count * spread.T @ spread
        return {"scores": scores, "covariance": covariance, "groups": np.array([count])}


def _dealt(shard: Shard, folds: Folds) -> np.ndarray:
    dealt = [fold for _, fold in folds.dealt(shard)]
    return np.concatenate(dealt) if dealt else np.empty(0, dtype=np.intp)


def _targets(shard: Shard, schema: Schema) -> tuple[np.ndarray, np.ndarray | None]:
    blocks = [(block.y, block.w) for block in shard.blocks()]
    y = np.concatenate([np.asarray(y) for y, _ in blocks])
    ws = [w for _, w in blocks if w is not None]
    return y if schema.classes is None else schema.classes[y], np.concatenate(ws) if ws else None


def _mean(scores: list[np.ndarray]) -> np.ndarray:
    """The mean over the tests in which every contestant that takes part at all has a score."""
    table = np.array(scores)
    takes_part = ~np.isnan(table).all(axis=0)
    whole = ~np.isnan(table[:, takes_part]).any(axis=1)
    return table[whole].mean(axis=0) if whole.any() else np.full(table.shape[1], np.nan)


@final
class _Test:
    """The contestants on one held-out fold of one node."""

    def __init__(self, trial: Trial, part: Part, models: list[Any], *rows: Any) -> None:
        self.scorer = get_scorer(trial.scoring)
        self.models = [None if model is None else Answered(model, part) for model in models]
        self.y, self.w, self.group = rows

    def scores(self, left_out: int | None) -> np.ndarray:
        """Each contestant's score, without one group of rows: (contestants,), NaN where there is none."""
        rows = np.flatnonzero(self.group != left_out) if left_out is not None else np.arange(len(self.y))
        return np.array([np.nan if m is None else self._score(m, rows) for m in self.models])

    def _score(self, model: Answered, rows: np.ndarray) -> float:
        if not len(rows):
            return np.nan
        y = self.y[rows]
        weights = {} if self.w is None else {"sample_weight": self.w[rows]}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)
            try:
                return float(self.scorer(model, rows[:, np.newaxis], y, **weights))
            except ValueError:
                if set(y.tolist()) != set(np.asarray(getattr(model, "classes_", ())).tolist()):
                    return np.nan  # such as an area under the curve where a class is missing
                raise


@final
class Answered:
    """A fitted model with its answers on some rows; it is asked about rows by their position.

    Scorers ask for the response that they need; it is worked out once, block by block.
    """

    def __init__(self, model: Any, shard: Shard) -> None:
        self.model, self.shard = model, shard
        self.way, self.last = head(model)
        self._known: dict[str, np.ndarray] = {}

    def __sklearn_tags__(self) -> Tags:
        return get_tags(self.model)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "model" not in self.__dict__:
            raise AttributeError(name)
        if name not in RESPONSES:
            return getattr(self.model, name)
        return self._recall(name, getattr(self.last, name))

    def _recall(self, name: str, ask: Callable[[Any], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
        if name not in self._known:
            self._known[name] = np.concatenate([ask(self.way(b.X)) for b in self.shard.blocks()])
        known = self._known[name]

        @wraps(ask)  # scorers read its name
        def recalled(rows: np.ndarray) -> np.ndarray:
            return np.asarray(known[rows.ravel()])

        return recalled
