"""Scores of a fitted model on the nodes' rows, from sums: over all nodes, or of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
from sklearn.base import is_classifier, is_regressor

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError, NotDistributable
from talkoot.core.learner import Kind, Learner
from talkoot.core.merge import Gather, Merge, Sum
from talkoot.core.outer import Outer, Solve
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update, total
from talkoot.learners.compose.transform import head

Values = Mapping[str, np.ndarray]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """The merged sums, after the one round."""

    schema: Schema
    sums: Update | None = None

    @property
    def done(self) -> bool:
        """Whether the sums are known."""
        return self.sums is not None


@final
@dataclass(frozen=True, slots=True)
class Score(Learner):
    """Scores of a fitted classifier (accuracy, log-loss) or regressor (R2) on rows that have a target.

    The result is ``{"accuracy": ...}``, or one of these for each node. Sample weights count.

    Args:
        model: a fitted estimator, a Pipeline included.
        apart: one result for each node.

    >>> import talkoot as tk
    >>> from sklearn.linear_model import Ridge
    >>> X = np.arange(8.0).reshape(8, 1)
    >>> tk.fit(Score(Ridge(alpha=0.0).fit(X, X[:, 0])), X, X[:, 0], nodes=2).model
    {'r2': 1.0}
    """

    model: Any
    apart: bool = False
    kind: ClassVar[Kind] = "exact"

    @property
    def estimator(self) -> Any:
        """The model; whether it is a classifier decides how targets are read."""
        return self.model

    def init(self, schema: Schema, rng: np.random.Generator) -> Scored:
        """Refuse what cannot be scored.

        Raises:
            NotDistributable: the model predicts nothing.
            DataError: the rows have no target of its kind.
        """
        del rng
        name = type(self.model).__name__
        if not (is_classifier(self.model) or is_regressor(self.model)):
            raise NotDistributable(f"{name} predicts nothing that can be scored")
        if (schema.classes if is_classifier(self.model) else schema.target_center) is None:
            raise DataError(f"{name} is scored against a target and none was given", cure="Pass target=.")
        return Scored(schema)

    def work(self, model: Scored, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Sums over a node's rows, by `classifier_sums` or `regressor_sums`."""
        del ctx
        transform, last = head(self.model)
        sums = classifier_sums if is_classifier(self.model) else regressor_sums
        return total(sums(last, transform(b.X), b, model.schema) for b in shard.blocks() if len(b)), local

    def merge(self) -> Merge:
        """A sum, or one for each node."""
        return Gather() if self.apart else Sum()

    def outer(self) -> Outer:
        """One round."""
        return Solve(self.step)

    def step(self, model: Scored, update: Update) -> Scored:
        """The state with the sums."""
        return replace(model, sums=update)

    def finish(self, model: Scored) -> Any:
        """The scores, by node if `apart`; nodes without rows have none."""
        sums = model.sums or Update()
        if not self.apart:
            return scores_of(sums.values)
        return {node: scores_of(values) for node, values in Gather.split(sums).items()}


def classifier_sums(last: Any, X: Any, block: Block, schema: Schema) -> Update:
    """The sums of a classifier's predictions.

    Args:
        last: the classifier.
        X: rows as it takes them.
        block: their targets, as indices of classes, and weights.
        schema: the classes; the classifier may know fewer of them, or others.

    Returns:
        rows: sum of weights; hits: sum of weights of correct predictions; loss, if the classifier has
        probabilities: weighted sum of -log(probability of the target's class), clipped to the dtype's epsilon
        as in sklearn.metrics.log_loss.
    """
    w = _weights(block)
    known, right = np.asarray(schema.classes), block.y
    sums = {"rows": w.sum(keepdims=True), "hits": (w @ (last.predict(X) == known[right]))[np.newaxis]}
    if hasattr(last, "predict_proba"):
        probability = last.predict_proba(X)
        place = {label: i for i, label in enumerate(last.classes_.tolist())}
        columns = np.array([place.get(label, -1) for label in known.tolist()])[right]
        chance = np.where(columns >= 0, probability[np.arange(len(w)), columns], 0.0)
        least = np.finfo(probability.dtype).eps
        sums["loss"] = -(w @ np.log(np.clip(chance, least, 1 - least)))[np.newaxis]
    return Update(values=sums, weight=float(len(w)))


def regressor_sums(last: Any, X: Any, block: Block, schema: Schema) -> Update:
    """The sums of a regressor's predictions; the arguments are those of `classifier_sums`.

    Returns:
        rows: sum of weights; for each output the weighted sums s of y - c, c the target's agreed center,
        ss of (y - c)^2, and residual of (y - prediction)^2.
    """
    w = _weights(block)
    y = np.asarray(block.y).reshape(len(w), -1)
    centered = y - schema.target_center
    missed = y - last.predict(X).reshape(y.shape)
    sums = {"rows": w.sum(keepdims=True), "s": w @ centered, "ss": w @ centered**2, "residual": w @ missed**2}
    return Update(values=sums, weight=float(len(w)))


def _weights(block: Block) -> np.ndarray:
    return np.ones(len(block)) if block.w is None else block.w.astype(np.float64)


def score_of(values: Values, kind: str) -> float:
    """A score from merged sums; NaN without rows.

    Args:
        values: merged `classifier_sums` or `regressor_sums`.
        kind: "accuracy", "log_loss" or "r2" (the mean over outputs, as scikit-learn's).

    >>> score_of({"rows": np.array([4.0]), "hits": np.array([3.0])}, "accuracy")
    0.75
    """
    rows = float(values["rows"][0]) if values else 0.0
    if not rows > 0:
        return float("nan")
    match kind:
        case "accuracy":
            return float(values["hits"][0] / rows)
        case "log_loss":
            return float(values["loss"][0] / rows)
        case "r2":
            return _r2(rows, values["s"], values["ss"], values["residual"])
        case _:
            raise ValueError(f"no score is called {kind!r}")


def _r2(rows: float, s: np.ndarray, ss: np.ndarray, residual: np.ndarray) -> float:
    """1 - residual / variation; for a constant target 1 if the residual is 0, else 0."""
    variation = np.maximum(ss - s**2 / rows, 0.0)
    flat = variation <= 0
    share = residual / np.where(flat, 1.0, variation)
    return float(np.where(flat, residual <= 0, 1.0 - share).mean())


def scores_of(values: Values) -> dict[str, float]:
    """All scores that the sums allow, by name; none without rows."""
    leaves = {"accuracy": "hits", "log_loss": "loss", "r2": "residual"}
    return {kind: score_of(values, kind) for kind, leaf in leaves.items() if leaf in values}
