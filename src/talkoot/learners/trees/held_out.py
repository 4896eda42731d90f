"""The rows that boosting of other libraries holds out for early stopping, as HistGradientBoosting does."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema
from talkoot.core.update import Update
from talkoot.learners.trees.boosting.survey import ROWS
from talkoot.learners.trees.boosting.validation import Validation, classes_of, drawn

FRACTION = 0.1  # of the rows that are held out, where validation_fraction= is not given: scikit-learn's own
CURE = "Take another validation_fraction=, bring in more rows, or leave early stopping out."


@final
@dataclass(frozen=True, slots=True, eq=False)
class Learning:
    """A question about the rows that are learned from; those that are held out are only kept.

    Args:
        question: the question.
        validation: which rows are held out; None where none are.
    """

    question: Any
    validation: Validation | None


def counted_classes(blocks: Iterable[Block], ctx: Ctx) -> Update:
    """How many rows of each class a node has, as leaf `ROWS`; of one class where the target holds numbers."""
    classes = 1 if ctx.schema.classes is None else len(ctx.schema.classes)
    rows = np.zeros((len(ctx.cohort), classes), dtype=np.int64)
    for block in blocks:
        rows[ctx.cohort.index(ctx.node)] += np.bincount(classes_of(block, classes), minlength=classes)
    return Update(values={ROWS: rows}) if rows.any() else Update()


def require_weight(w: np.ndarray | None) -> None:
    """Refuse rows held out that weigh nothing.

    Raises:
        DataError: their weights add up to 0.
    """
    if w is not None and not w.sum() > 0:
        cure = "Take another random_state=, or leave out rows that weigh 0."
        raise DataError("the weights of all rows that are held out for validation add up to 0", cure=cure)


def drawn_for(estimator: Any, update: Update, schema: Schema, seed: int) -> Validation:
    """The rows that are held out of those that nodes have counted.

    Raises:
        DataError: no node has rows, or there are too few.
    """
    if ROWS not in update.values:
        raise DataError(f"no node has rows, so {type(estimator).__name__} has nothing to learn from")
    fraction = estimator.get_params(deep=False).get("validation_fraction")
    return drawn(update.values[ROWS], schema, FRACTION if fraction is None else fraction, seed, CURE)
