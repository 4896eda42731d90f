"""What rows weigh: sample weights times class weights, as scikit-learn multiplies them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema
from talkoot.learners.solvers.target_stats import class_weights


@final
@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """What rows weigh.

    Args:
        some: whether rows have weights at all; without, sums are those of an unweighted fit.
        classes: (classes,) weights of classes; None for 1.
    """

    some: bool = False
    classes: np.ndarray | None = None

    def of(self, block: Block) -> np.ndarray | None:
        """(rows,) the weights of a block's rows; None where each weighs 1."""
        if not self.some:
            return None
        w = np.ones(len(block)) if block.w is None else np.asarray(block.w, dtype=np.float64)
        return w if self.classes is None else w * self.classes[block.y]


def listed_weights(estimator: Any, schema: Schema) -> np.ndarray | None:
    """(classes,) the weights that the estimator lists; None where it lists none."""
    return class_weights(estimator, schema) if schema.classes is not None else None


def agreed_weights(estimator: Any, schema: Schema, some: bool, counts: np.ndarray | None) -> Weights:
    """The weights of a fit, from whether some node has sample weights, and the rows of each class."""
    if schema.classes is None or estimator.class_weight is None:
        return Weights(some)
    if estimator.class_weight != "balanced":
        return Weights(True, listed_weights(estimator, schema))
    assert counts is not None
    found = np.zeros(len(counts))
    seen = counts > 0
    found[seen] = counts.sum() / (seen.sum() * counts[seen])
    return Weights(True, found)


def scale_of(total: float) -> float:
    """Whole units in a weight of 1, so that all weights add up to 2^52 at most.

    Raises:
        DataError: no row has a weight.
    """
    if not 0 < total < np.inf:
        raise DataError(f"the weights of all rows add up to {total}", cure="Some rows need a weight above 0.")
    return float(2.0 ** (52 - np.ceil(np.log2(total))))


def whole_weights(weights: np.ndarray | None, scale: float | None) -> np.ndarray | None:
    """Weights in whole units, of which `scale` are a weight of 1."""
    return None if weights is None or scale is None else np.rint(weights * scale).astype(np.int64)
