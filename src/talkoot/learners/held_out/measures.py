"""Scores from a few numbers of each group of rows, so that leaving a group out needs no second pass."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.shard import Schema

GROUPS = 20  # of rows, which the jackknife leaves out one by one
Tally = Mapping[str, np.ndarray]  # the numbers that a measure needs of some rows


class Measure(ABC):
    """A score that is computed from tallies of any parts of the rows.

    Class attributes:
        adds: tallies of several nodes are added; else they are concatenated.
    """

    adds: ClassVar[bool]

    @abstractmethod
    def tally(self, model: Any, X: Any, y: np.ndarray, w: np.ndarray | None, group: np.ndarray) -> Tally:
        """The tally of a fitted model on some rows.

        Args:
            model: predicts.
            X: n rows, as the model takes them.
            y: (n,) labels or (n,) or (n, outputs) numbers.
            w: (n,) weights; None where every row counts 1.
            group: (n,) the jackknife group of each row, below GROUPS.
        """

    @abstractmethod
    def join(self, tallies: Sequence[Tally]) -> Tally:
        """One tally of the rows of all."""

    @abstractmethod
    def scores(self, tally: Tally) -> np.ndarray:
        """(1 + GROUPS,) the score of all rows, then without each group; NaN where it is not defined."""

    @abstractmethod
    def present(self, tally: Tally) -> np.ndarray:
        """(GROUPS,) whether a group has any rows."""


@dataclass(frozen=True, slots=True)
class Additive(Measure):
    """A measure of sums over rows: ``"sums"`` (GROUPS, leaves), the first leaf the number of rows."""

    adds: ClassVar[bool] = True

    @abstractmethod
    def leaves(self, model: Any, X: Any, y: np.ndarray, w: np.ndarray) -> list[np.ndarray]:
        """The terms of the sums, (n,) each."""

    def score(self, sums: np.ndarray) -> np.ndarray:
        """(...,) scores from sums (..., leaves) without the number of rows: a mean, unless it is another."""
        return np.asarray(sums[..., 1] / sums[..., 0])

    def tally(self, model: Any, X: Any, y: np.ndarray, w: np.ndarray | None, group: np.ndarray) -> Tally:
        """Sums by group."""
        w = np.ones(len(group)) if w is None else np.asarray(w, dtype=np.float64)
        each = [np.ones(len(group)), *self.leaves(model, X, y, w)]
        return {"sums": np.stack([np.bincount(group, leaf, minlength=GROUPS) for leaf in each], axis=1)}

    def join(self, tallies: Sequence[Tally]) -> Tally:
        """Their sum."""
        return {"sums": np.sum([tally["sums"] for tally in tallies], axis=0)}

    def scores(self, tally: Tally) -> np.ndarray:
        """From all sums, then from these minus each group's."""
        sums = tally["sums"]
        whole = sums.sum(axis=0)
        every = np.vstack([whole, whole - sums])
        with np.errstate(divide="ignore", invalid="ignore"):
            scores = self.score(every[:, 1:])
        return np.where(every[:, 0] > 0, scores, np.nan)

    def present(self, tally: Tally) -> np.ndarray:
        """By the number of rows."""
        return np.asarray(tally["sums"][:, 0] > 0)


@final
@dataclass(frozen=True, slots=True)
class Accuracy(Additive):
    """The share of rows that are classified correctly."""

    def leaves(self, model: Any, X: Any, y: np.ndarray, w: np.ndarray) -> list[np.ndarray]:
        """Weights, and those of the hits."""
        return [w, w * (model.predict(X) == y)]


@final
@dataclass(frozen=True, slots=True)
class LogLoss(Additive):
    """The mean logarithm of the true class's probability, clipped as in sklearn.metrics.log_loss.

    A class that the model has not seen has the probability 0.
    """

    def leaves(self, model: Any, X: Any, y: np.ndarray, w: np.ndarray) -> list[np.ndarray]:
        """Weights, and weighted logarithms."""
        probability = model.predict_proba(X)
        place = {label: i for i, label in enumerate(model.classes_.tolist())}
        column = np.array([place.get(label, -1) for label in y.tolist()], dtype=np.intp)
        chance = np.where(column >= 0, probability[np.arange(len(w)), column], 0.0)
        least = np.finfo(probability.dtype).eps
        return [w, w * np.log(np.clip(chance, least, 1 - least))]


@final
@dataclass(frozen=True, slots=True, eq=False)
class R2(Additive):
    """The coefficient of determination, averaged over outputs as in scikit-learn."""

    center: np.ndarray  # (outputs,) near the mean of the target; sums are taken about it

    def leaves(self, model: Any, X: Any, y: np.ndarray, w: np.ndarray) -> list[np.ndarray]:
        """Weights; for each output sums of y - c, of its square, and of squared residuals."""
        y = np.asarray(y).reshape(len(w), -1)
        centered, missed = y - self.center, y - model.predict(X).reshape(y.shape)
        return [w, *(w * centered.T), *(w * centered.T**2), *(w * missed.T**2)]

    def score(self, sums: np.ndarray) -> np.ndarray:
        """1 - residual / variation; where a target is constant, 1 if it is predicted exactly, else 0."""
        weight, rest = sums[..., :1], sums[..., 1:]
        s, ss, residual = np.split(rest, 3, axis=-1)
        variation = np.maximum(ss - s**2 / weight, 0.0)
        flat = variation <= 0
        share = residual / np.where(flat, 1.0, variation)
        return np.asarray(np.where(flat, residual <= 0, 1.0 - share).mean(axis=-1))


@dataclass(frozen=True, slots=True, eq=False)
class Ranking(Measure):
    """A measure of how a model ranks rows of two classes.

    Tallies are the rows' ``"response"``, ``"positive"``, ``"group"`` and ``"weight"``, (n,) each.
    """

    positive: Any  # the label that counts as positive
    adds: ClassVar[bool] = False

    @abstractmethod
    def score(self, ranked: np.ndarray) -> float:
        """The score from (levels, 2) weights of negative and positive rows, lowest response first."""

    def tally(self, model: Any, X: Any, y: np.ndarray, w: np.ndarray | None, group: np.ndarray) -> Tally:
        """The rows' responses, computed as by scikit-learn's scorers."""
        column = model.classes_.tolist().index(self.positive)
        if hasattr(model, "decision_function"):
            response = model.decision_function(X) * (1 if column else -1)
        else:
            response = model.predict_proba(X)[:, column]
        return {
            "response": np.asarray(response, dtype=np.float64),
            "positive": np.asarray(y == self.positive, dtype=np.uint8),
            "group": group.astype(np.uint8),
            "weight": np.ones(len(group)) if w is None else np.asarray(w, dtype=np.float64),
        }

    def join(self, tallies: Sequence[Tally]) -> Tally:
        """The rows of all."""
        return {name: np.concatenate([tally[name] for tally in tallies]) for name in tallies[0]}

    def scores(self, tally: Tally) -> np.ndarray:
        """Sort once, score for each group."""
        order = np.argsort(tally["response"], kind="stable")
        response, positive, group, weight = (
            tally[k][order] for k in ("response", "positive", "group", "weight")
        )
        if not len(order):
            return np.full(1 + GROUPS, np.nan)
        level = np.concatenate([[0], np.cumsum(response[1:] != response[:-1])])
        cell = 2 * level + positive
        size = 2 * (level[-1] + 1)
        weights = (np.where(group == g, 0.0, weight) for g in (-1, *range(GROUPS)))
        return np.array([self.score(np.bincount(cell, w, minlength=size).reshape(-1, 2)) for w in weights])

    def present(self, tally: Tally) -> np.ndarray:
        """By the rows."""
        return np.asarray(np.bincount(tally["group"], minlength=GROUPS) > 0)


@final
@dataclass(frozen=True, slots=True, eq=False)
class RocAuc(Ranking):
    """The area under the ROC curve: the share of pairs in the right order; ties count a half."""

    def score(self, ranked: np.ndarray) -> float:
        """NaN where a class is missing."""
        negative, positive = ranked.T
        pairs = negative.sum() * positive.sum()
        below = np.cumsum(negative) - negative / 2
        return float(positive @ below / pairs) if pairs > 0 else np.nan


@final
@dataclass(frozen=True, slots=True, eq=False)
class AveragePrecision(Ranking):
    """The mean precision over recall, without interpolation; 0 without positive rows, as in scikit-learn."""

    def score(self, ranked: np.ndarray) -> float:
        """From the highest response down."""
        negative, positive = np.cumsum(ranked[::-1], axis=0).T
        if not len(positive) or not positive[-1] > 0:
            return 0.0 if ranked.sum() > 0 else np.nan
        share = np.divide(positive, positive + negative, out=np.zeros(len(positive)), where=positive > 0)
        return float(ranked[::-1, 1] @ share / positive[-1])


def measure_for(scoring: Any, schema: Schema) -> Measure | None:
    """The measure of a scorer, or of its name; None for scorers without one."""
    if schema.classes is None:
        known = scoring == "r2" and schema.target_center is not None
        return R2(schema.target_center) if known and schema.target_center is not None else None
    labels = schema.classes.tolist()
    match scoring:
        case "accuracy":
            return Accuracy()
        case "neg_log_loss":
            return LogLoss()
        case "roc_auc" if len(labels) == 2:
            return RocAuc(labels[1])
        case "average_precision" if len(labels) == 2 and 1 in labels:
            return AveragePrecision(next(label for label in labels if label == 1))
        case _:
            return None
