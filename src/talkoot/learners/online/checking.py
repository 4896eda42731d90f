"""What is checked before rows reach a kernel, which would read and write beside its arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkoot.core.errors import DataError, PlanError
from talkoot.learners.online.features import Features
from talkoot.learners.online.model import Floats

Rows = tuple[Floats, NDArray[np.uint64], Floats, Floats]  # numbers, categories, labels, weights


def checked(rows: Features, y: Any, w: Any, *, numbers: int, categories: bool | int, classes: int) -> Rows:
    """Numbers, categories, labels and weights as kernels read them.

    Args:
        rows: the features.
        y: labels; nan where there is none.
        w: weights, or None.
        numbers: how many numbers the state is for.
        categories: how many categories it is for, or whether there may be any.
        classes: how many classes; 0 for numbers.

    Raises:
        PlanError: the rows are not those that the state is for, or a class is new.
        DataError: a label or a weight that cannot be learned from.
    """
    width = rows.numbers.shape[1], rows.categories.shape[1]
    fits = bool(width[1]) <= categories if isinstance(categories, bool) else width[1] == categories
    if width[0] != numbers or not fits:
        raise PlanError(f"rows of {width[0]} numbers and {width[1]} categories are not those of the model")
    labels = np.ascontiguousarray(y, np.float64)
    weights = np.ones(len(rows)) if w is None else np.ascontiguousarray(w, np.float64)
    if labels.shape != (len(rows),) or weights.shape != (len(rows),):
        raise PlanError(f"{len(rows)} rows have {len(labels)} labels and {len(weights)} weights")
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise DataError("a weight of a row is negative or not finite", cure="Take weights of 0 or more.")
    _check_labels(labels[~np.isnan(labels)], classes)
    return np.ascontiguousarray(rows.numbers), np.ascontiguousarray(rows.categories), labels, weights


def _check_labels(labels: Floats, classes: int) -> None:
    if not np.isfinite(labels).all():
        raise DataError("a label is infinite")
    if classes and labels.size:
        if (labels != np.floor(labels)).any() or labels.min() < 0:
            raise DataError(f"labels of classes are codes 0, 1, ...; there is {labels.min():g}")
        if labels.max() >= classes:
            raise PlanError(
                f"the label {labels.max():g} is new, and there are {classes} classes",
                cure="Call widen first.",
            )
