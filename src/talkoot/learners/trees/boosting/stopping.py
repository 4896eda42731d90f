"""When boosting stops early: scores of the rows after each iteration, and scikit-learn's rule about them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.shard import Schema
from talkoot.core.update import Update
from talkoot.learners.common.estimator import refuse
from talkoot.learners.held_out.measures import R2, Accuracy, Additive, LogLoss
from talkoot.learners.sums.exact import exact_sum, exact_total
from talkoot.learners.trees.boosting import sklearn_private as private
from talkoot.learners.trees.boosting.rows import Rows

TRAINING, VALIDATION = "score:training", "score:validation"  # leaves: sums that scores are made of
MANY = 10_000  # rows above which early_stopping="auto" stops early
SCORINGS = ("accuracy", "neg_log_loss"), ("r2", "neg_mean_squared_error", "neg_mean_absolute_error")


@final
@dataclass(frozen=True, slots=True)
class NegativeLoss(Additive):
    """The mean loss of raw predictions, negated."""

    def leaves(self, model: Any, X: Any, y: np.ndarray, w: np.ndarray) -> list[np.ndarray]:
        """Weights, and weighted losses."""
        raw = X if X.shape[1] > 1 else X[:, 0]
        return [w, -w * model.loss.loss(y_true=y, raw_prediction=np.ascontiguousarray(raw), n_threads=1)]


@final
@dataclass(frozen=True, slots=True)
class NegativeError(Additive):
    """The mean of a power of errors, negated."""

    power: int

    def leaves(self, model: Any, X: Any, y: np.ndarray, w: np.ndarray) -> list[np.ndarray]:
        """Weights, and weighted powers of errors."""
        return [w, -w * np.abs(y - model.predict(X)) ** self.power]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Predicted:
    """What an estimator predicts for rows whose raw predictions are known, classes by their index."""

    loss: Any
    classes_: np.ndarray

    def predict(self, raw: np.ndarray) -> np.ndarray:
        """Indices of classes, or numbers."""
        if not len(self.classes_):
            return np.asarray(self.loss.link.inverse(raw[:, 0]))
        return raw[:, 0] > 0 if raw.shape[1] == 1 else raw.argmax(axis=1)

    def predict_proba(self, raw: np.ndarray) -> np.ndarray:
        """(rows, classes) probabilities."""
        return np.asarray(self.loss.predict_proba(raw))


def require_sums(estimator: Any, *, classifier: bool) -> None:
    """Refuse scorers that are no sums over rows.

    Raises:
        NotDistributable: it is one.
    """
    known = SCORINGS[0 if classifier else 1]
    if estimator.scoring is not None and estimator.scoring not in ("loss", *known):
        cure = f"Take scoring='loss', or one of {', '.join(known)}."
        refuse(estimator, "scoring", "it is not known to be a sum over rows", cure)


def measure_of(estimator: Any, schema: Schema) -> Additive:
    """What rows are scored by."""
    match estimator.scoring:
        case "loss":
            return NegativeLoss()
        case "neg_log_loss":
            return LogLoss()
        case "neg_mean_squared_error":
            return NegativeError(2)
        case "neg_mean_absolute_error":
            return NegativeError(1)
    if schema.target_center is not None:
        return R2(schema.target_center)
    return Accuracy()


def stops(estimator: Any, schema: Schema) -> bool:
    """Whether a fit stops early."""
    return schema.rows > MANY if estimator.early_stopping == "auto" else bool(estimator.early_stopping)


def scored(rows: Rows, name: str, measure: Additive, loss: Any, schema: Schema) -> Update:
    """The sums that the score of some rows is made of."""
    classes = np.arange(0 if schema.classes is None else len(schema.classes))
    weights = np.ones(len(rows.target)) if rows.weights is None else rows.weights
    leaves = measure.leaves(Predicted(loss, classes), rows.raw, rows.target, weights)
    return Update(values={name: np.stack([exact_sum(leaf) for leaf in leaves])})


@final
@dataclass(frozen=True, slots=True)
class Stopping:
    """The scores so far: before the first tree, and after each iteration."""

    training: tuple[float, ...] = ()
    validation: tuple[float, ...] = ()

    def scored(self, values: Mapping[str, np.ndarray], measure: Additive) -> Stopping:
        """With the scores of one iteration more.

        Raises:
            DataError: validation rows weigh nothing.
        """
        names = [name for name in (TRAINING, VALIDATION) if name in values]
        sums = {name: np.array([exact_total(places) for places in values[name]]) for name in names}
        if VALIDATION not in sums:
            return replace(self, training=(*self.training, float(measure.score(sums[TRAINING]))))
        if not sums[VALIDATION][0] > 0:
            cure = "Take another random_state=, or leave out rows that weigh 0."
            raise DataError("the weights of all rows that are held out for validation add up to 0", cure=cure)
        training, validation = (float(measure.score(sums[name])) for name in (TRAINING, VALIDATION))
        return Stopping((*self.training, training), (*self.validation, validation))

    def stop(self, estimator: Any) -> bool:
        """Whether the scores are no longer getting better."""
        return private.should_stop(estimator, list(self.validation or self.training))
