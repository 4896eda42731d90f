"""A node's part of boosting: its rows in bins, what is predicted for them, and sums of their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from talkoot.core.update import Update
from talkoot.learners.trees import sklearn_private as private
from talkoot.learners.trees.bins import Bins
from talkoot.learners.trees.validation import Validation
from talkoot.learners.trees.weights import Weights

SPLIT = 9  # numbers of a split: left child, parent, feature, bin, whether missing values go left, set of bins


@final
@dataclass(frozen=True, slots=True, eq=False)
class Iteration:
    """What one tree for each output does.

    Args:
        splits: for each output (splits, SPLIT) whole numbers.
        values: for each output (leaves,) what is added for rows in a leaf.
    """

    splits: tuple[np.ndarray, ...]
    values: tuple[np.ndarray, ...]


@final
@dataclass(frozen=True, slots=True, eq=False)
class Start:
    """What a node needs to begin: bins, weights, the prediction before the first tree, rows held out."""

    bins: Bins
    weights: Weights
    baseline: np.ndarray  # (outputs,)
    past: tuple[Iteration, ...] = ()  # whole iterations, for a node that lost its state
    validation: Validation | None = None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Grow:
    """What nodes do in a step.

    Args:
        step: its number; a node that has not done the step before answers that it is behind.
        ended: the iteration that ended with the step before, if one did.
        splits: of the trees that grow, since the step before; since the beginning where there is a `start`.
        sought: for each output the leaves whose histograms are wanted.
        start: for the first step, and where some node is behind.
        scored: whether the scores before the trees that grow are wanted.
    """

    step: int
    ended: Iteration | None
    splits: tuple[np.ndarray, ...]
    sought: tuple[np.ndarray, ...]
    start: Start | None = None
    scored: bool = False


@final
@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a node between two steps; never changed, so that a step can be taken back."""

    step: int
    binned: np.ndarray  # (rows, features) uint8, a column after the other
    target: np.ndarray
    raw: np.ndarray  # (rows, outputs) what is predicted, before the link
    gradients: np.ndarray
    hessians: np.ndarray
    leaves: tuple[dict[int, np.ndarray], ...]  # for each output, the rows of each leaf
    constant: bool = False  # whether all Hessians are 1, and `hessians` holds but one
    weights: np.ndarray | None = None  # (rows,) of the rows; None where each weighs 1

    def __reduce__(self) -> Any:
        return type(None), ()  # never sent: a node that is behind gets all that is past


def begun(start: Start, X: np.ndarray, y: np.ndarray, w: np.ndarray | None, loss: Any) -> Rows:
    """The rows before any tree, or behind those that are past."""
    binned = private.bin_mapper(start.bins.thresholds, start.bins.count, start.bins.categories).transform(X)
    raw = np.zeros((len(y), len(start.baseline)), order="F") + start.baseline
    none = np.zeros((0, 0))
    rows = Rows(-1, binned, y, np.asfortranarray(raw), none, none, (), weights=w)
    rows = with_gradients(rows, loss)
    for iteration in start.past:
        rows = ended(divided(rows, iteration.splits, start.bins.count), iteration, loss)
    return rows


def advanced(rows: Rows, question: Grow, loss: Any, bins: int) -> Rows:
    """The rows after what a question asks to do first; as they are where that is done."""
    if rows.step == question.step:
        return rows
    if question.ended is not None:
        rows = ended(divided(rows, question.ended.splits, bins), question.ended, loss)
    return replace(divided(rows, question.splits, bins), step=question.step)


def with_gradients(rows: Rows, loss: Any) -> Rows:
    """The gradients of an iteration that begins, with all rows in the root of each tree."""
    gradients, hessians = private.empty_gradients(loss, len(rows.target))
    facts = {"y_true": rows.target, "raw_prediction": rows.raw, "sample_weight": rows.weights, "n_threads": 1}
    if loss.constant_hessian:
        loss.gradient(**facts, gradient_out=gradients)
    else:
        loss.gradient_hessian(**facts, gradient_out=gradients, hessian_out=hessians)
    every = np.arange(len(rows.target), dtype=np.uint32)
    outputs = rows.raw.shape[1]
    return replace(
        rows,
        gradients=gradients.reshape(len(gradients), -1, order="F"),
        hessians=hessians.reshape(len(hessians), -1, order="F"),
        leaves=tuple({0: every} for _ in range(outputs)),
        constant=bool(loss.constant_hessian),
    )


def ended(rows: Rows, iteration: Iteration, loss: Any) -> Rows:
    """The rows after an iteration."""
    raw = rows.raw.copy(order="F")
    for k, (leaves, values) in enumerate(zip(rows.leaves, iteration.values, strict=True)):
        for leaf, own in leaves.items():
            raw[own, k] += values[leaf]
    return with_gradients(replace(rows, raw=raw), loss)


def divided(rows: Rows, splits: Sequence[np.ndarray], bins: int) -> Rows:
    """The rows with some leaves divided."""
    leaves = []
    for held, found in zip(rows.leaves, splits, strict=True):
        now = dict(held)
        for left, parent, feature, last, missing_left, *words in found.tolist():
            own = now.pop(parent)
            values = rows.binned[:, feature][own]
            goes = bits_of(words)[values] if any(words) else values <= last
            goes[values == bins - 1] = missing_left
            now[left], now[left + 1] = own[goes], own[~goes]
        leaves.append(now)
    return replace(rows, leaves=tuple(leaves))


def words_of(bins: np.ndarray | None) -> list[int]:
    """A set of bins as four whole numbers of 64 bits; all 0 for None."""
    return [0] * 4 if bins is None else bins.astype("<u4").view("<i8").tolist()


def bits_of(words: Sequence[int]) -> np.ndarray:
    """(256,) whether a bin is in a set.

    >>> np.flatnonzero(bits_of(words_of(np.array([5, 0, 0, 0, 0, 0, 0, 1 << 31], dtype=np.uint32)))).tolist()
    [0, 2, 255]
    """
    bits = np.unpackbits(np.array(words, dtype="<i8").view(np.uint8), bitorder="little")
    return np.asarray(bits, dtype=bool)


def sums(rows: Rows, sought: Sequence[np.ndarray], bins: int) -> Update:
    """The histograms of some leaves."""
    values = {}
    for k, wanted in enumerate(sought):
        if not len(wanted):
            continue
        own = [rows.leaves[k][leaf] for leaf in wanted.tolist()]
        gradients, hessians = rows.gradients[:, k], rows.hessians[:, min(k, rows.hessians.shape[1] - 1)]
        found = private.histograms(rows.binned, gradients, hessians, own, bins, constant=rows.constant)
        values[f"gradients:{k}"] = np.stack([part["sum_gradients"] for part in found])
        values[f"count:{k}"] = np.stack([part["count"] for part in found]).astype(np.int64)
        if not rows.constant:
            values[f"hessians:{k}"] = np.stack([part["sum_hessians"] for part in found])
    return Update(values=values, weight=float(len(rows.target)))


def merged(update: Update, k: int) -> np.ndarray:
    """(leaves, features, bins) histograms of an output over all nodes."""
    gradients = update.values[f"gradients:{k}"]
    found = np.zeros(gradients.shape, dtype=private.HISTOGRAM)
    found["sum_gradients"], found["count"] = gradients, update.values[f"count:{k}"]
    if f"hessians:{k}" in update.values:
        found["sum_hessians"] = update.values[f"hessians:{k}"]
    return found
