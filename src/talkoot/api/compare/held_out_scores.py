"""Scores of several models on the rows that were held out from them, worked out at the node."""

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

from talkoot.api.compare.folds import FEW, Blocks, Folds, Part
from talkoot.api.compare.measures import GROUPS, measure_for
from talkoot.api.compare.scoring import RESPONSES
from talkoot.api.question import Answer, Question
from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema, Shard
from talkoot.learners.compose.transform import head

GROUP = Folds(count=GROUPS, seed=-1, stratify=False)  # which part of the jackknife a row belongs to


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class FoldCounts(Question):
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
class HeldOutScores(Question):
    """Scores each node's models on that node's rows of a fold that none of them has seen.

    Args:
        models: node -> the contestants; None for one that could not be trained.
        folds: the deal into folds.
        fold: which fold is held out.
        scoring: a scikit-learn scorer, or its name.
        schema: how the rows are read, and their classes.
    """

    models: Mapping[str, Sequence[Any]]
    folds: Folds
    fold: int
    scoring: Any
    schema: Schema

    def answer(self, shard: Shard) -> Answer:
        """``"scores"``, ``"groups"``.

        Returns:
            scores: (1 + GROUPS, contestants) of all rows of the fold, then without each group of the
                jackknife; NaN for no score.
            groups: (GROUPS,) rows of each group.
        """
        models = self.models[shard.name]
        rows = _Rows.of(Part(shard=shard, folds=self.folds, fold=self.fold, held_out=True), self.schema)
        scores = np.full((1 + GROUPS, len(models)), np.nan)
        if len(rows.group):
            known: dict[int, np.ndarray] = {}  # one model may stand for several contestants
            for at, model in enumerate(models):
                if model is not None:
                    if id(model) not in known:
                        known[id(model)] = self._scores(Answered(model, rows.shard), rows)
                    scores[:, at] = known[id(model)]
        return {"scores": scores, "groups": np.bincount(rows.group, minlength=GROUPS)}

    def _scores(self, model: Answered, rows: _Rows) -> np.ndarray:
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

    def _score(self, model: Answered, rows: _Rows, at: np.ndarray) -> float:
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
    """Targets, weights and groups of the jackknife of some rows, and the rows: in memory if they are few."""

    shard: Shard
    y: np.ndarray
    w: np.ndarray | None
    group: np.ndarray

    @classmethod
    def of(cls, part: Part, schema: Schema) -> _Rows:
        """Of one pass; groups are dealt over all of the node's rows, so that folds share them."""
        blocks: list[Block] = []
        facts, rows = [], 0
        for block, group in part.beside(GROUP):
            facts.append((np.asarray(block.y), block.w, group))
            rows += len(block)
            blocks = [*blocks, block] if rows * schema.features <= FEW else []
        if not facts:
            return cls(part, np.empty(0), None, np.empty(0, dtype=np.intp))
        y = np.concatenate([y for y, _, _ in facts])
        ws = [w for _, w, _ in facts if w is not None]
        few = rows * schema.features <= FEW
        return cls(
            shard=Blocks(part.name, tuple(blocks)) if few else part,
            y=y if schema.classes is None else schema.classes[y],
            w=np.concatenate(ws) if ws else None,
            group=np.concatenate([group for _, _, group in facts]),
        )


def averaged(tests: Sequence[Answer], able: np.ndarray) -> tuple[np.ndarray, np.ndarray, int]:
    """A node's scores over all folds, and how sure they are.

    A score is the mean over folds. Its variance, and that of differences between models, is the
    delete-a-group jackknife's over the node's rows: the same rows are left out for every model, so that
    differences are paired. Source: Kott 2001, The Delete-a-Group Jackknife, J. of Official Statistics 17.

    Args:
        tests: what `HeldOutScores` found, one for each fold.
        able: (contestants,) False for those that could not be trained in some fold, which have no score.

    Returns:
        scores: (contestants,), NaN for no score.
        covariance: (contestants, contestants).
        groups: those of the jackknife that have rows.
    """
    present = np.sum([test["groups"] for test in tests], axis=0) > 0
    table = np.where(able, np.array([test["scores"] for test in tests]), np.nan)
    scores = mean_over_folds(table[:, 0])
    left = np.array([mean_over_folds(table[:, 1 + g]) for g in np.flatnonzero(present)])
    return scores, jackknifed(left), len(left)


def jackknifed(left: np.ndarray) -> np.ndarray:
    """(n, n) covariance from (groups, n) scores without each group; NaN for less than two."""
    count = len(left)
    if count < 2:
        return np.full((left.shape[1],) * 2, np.nan)
    spread = left - left.mean(axis=0)
    return np.asarray((count - 1) / count * spread.T @ spread)


def mean_over_folds(table: np.ndarray) -> np.ndarray:
    """(contestants,) means of (folds, contestants), over folds where all that take part have a score."""
    takes_part = ~np.isnan(table).all(axis=0)
    whole = ~np.isnan(table[:, takes_part]).any(axis=1)
    return np.asarray(table[whole].mean(axis=0)) if whole.any() else np.full(table.shape[1], np.nan)


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
