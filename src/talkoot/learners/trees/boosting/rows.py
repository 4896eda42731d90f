"""A node's part of boosting: its rows in bins, what is predicted for them, and sums of their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.update import Update
from talkoot.learners.sums.exact import exact_sum, exact_total
from talkoot.learners.trees.boosting import sklearn_private as private
from talkoot.learners.trees.boosting.bins import Bins
from talkoot.learners.trees.boosting.validation import Validation
from talkoot.learners.trees.weights import Weights

SPLIT = 9  # numbers of a split: left child, parent, feature, bin, whether missing values go left, set of bins
WIDTH = 62  # bits of a sum of whole gradients
SPARE = 8  # of these, for gradients that grow
MAGNITUDES = "magnitudes"  # a leaf: sums of the gradients and Hessians before the first tree, without signs

Bits = tuple[int, int]  # behind the point of whole gradients, and of whole Hessians


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
        bits: of whole gradients; None in the first step, which finds out how large gradients are.
        splits: of the trees that grow, since the step before; since the beginning where there is a `start`.
        sought: for each output the leaves whose histograms are wanted.
        start: for the first step, and where some node is behind.
        scored: whether the scores before the trees that grow are wanted.
    """

    step: int
    bits: Bits | None
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
    bits: Bits | None
    gradients: np.ndarray  # (outputs, rows) int64
    hessians: np.ndarray  # (outputs, rows) int64; (outputs, 0) where all are 1
    leaves: tuple[dict[int, np.ndarray], ...]  # for each output, the rows of each leaf
    nodes: int  # whose sums are added
    weights: np.ndarray | None = None  # (rows,) of the rows; None where each weighs 1
    learned: bool = True  # whether trees are learned from them; others need no gradients

    def __reduce__(self) -> Any:
        return type(None), ()  # never sent: a node that is behind gets all that is past


def begun(
    start: Start,
    columns: np.ndarray,
    y: np.ndarray,
    w: np.ndarray | None,
    loss: Any,
    bits: Bits | None,
    nodes: int,
    *,
    learned: bool = True,
) -> Rows:
    """The rows before any tree, or behind those that are past; their bins are (features, rows) `columns`."""
    raw = np.zeros((len(y), len(start.baseline)), order="F") + start.baseline
    none = np.zeros((0, 0), np.int64)
    rows = Rows(-1, columns.T, y, np.asfortranarray(raw), bits, none, none, (), nodes, w, learned)
    rows = rows if bits is None else with_gradients(rows, loss, bits)
    for iteration in start.past:
        rows = ended(divided(rows, iteration.splits, start.bins.count), iteration, loss)
    return rows


def advanced(rows: Rows, question: Grow, loss: Any, bins: int) -> Rows:
    """The rows after what a question asks to do first; as they are where that is done."""
    if rows.step == question.step:
        return rows
    if question.bits is None:
        return replace(rows, step=question.step)
    if rows.bits is None:
        rows = with_gradients(rows, loss, question.bits)
    if question.ended is not None:
        rows = ended(divided(rows, question.ended.splits, bins), question.ended, loss)
    return replace(divided(rows, question.splits, bins), step=question.step)


def float_gradients(rows: Rows, loss: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """(outputs, rows) gradients and Hessians of the predictions; no Hessians where all are 1."""
    gradients, hessians = private.empty_gradients(loss, len(rows.target))
    facts = {"y_true": rows.target, "raw_prediction": rows.raw, "sample_weight": rows.weights, "n_threads": 1}
    if loss.constant_hessian:
        loss.gradient(**facts, gradient_out=gradients)
        return np.atleast_2d(gradients.T), None
    loss.gradient_hessian(**facts, gradient_out=gradients, hessian_out=hessians)
    return np.atleast_2d(gradients.T), np.atleast_2d(hessians.T)


def magnitudes(rows: Rows, loss: Any) -> Update:
    """How large gradients and Hessians are before the first tree."""
    gradients, hessians = float_gradients(rows, loss)
    sums = [exact_sum(np.abs(part)) for part in (gradients, np.ones(1) if hessians is None else hessians)]
    return Update(values={MAGNITUDES: np.stack(sums)}, weight=float(len(rows.target)))


def enough_bits(update: Update) -> Bits:
    """The bits behind the point with which no sum overflows, also when gradients grow somewhat."""
    exponents = [int(np.frexp(exact_total(sums))[1]) for sums in update.values[MAGNITUDES]]
    return WIDTH - SPARE - exponents[0], WIDTH - SPARE - exponents[1]


def with_gradients(rows: Rows, loss: Any, bits: Bits) -> Rows:
    """The gradients of an iteration that begins, with all rows in the root of each tree."""
    every = np.arange(len(rows.target), dtype=np.uint32)
    leaves = tuple({0: every} for _ in range(rows.raw.shape[1]))
    if not rows.learned:
        return replace(rows, bits=bits, leaves=leaves)
    gradients, hessians = float_gradients(rows, loss)
    none = np.zeros((len(gradients), 0), np.int64)
    return replace(
        rows,
        bits=bits,
        gradients=_whole(gradients, bits[0], rows.nodes),
        hessians=none if hessians is None else _whole(hessians, bits[1], rows.nodes),
        leaves=leaves,
    )


def _whole(values: np.ndarray, bits: int, nodes: int) -> np.ndarray:
    """Floats as whole multiples of 2^-bits.

    Raises:
        DataError: their sum over so many nodes could be too large.
    """
    found = np.ldexp(values.astype(np.float64), bits)
    if not np.abs(found).sum() < 2.0**WIDTH / nodes:
        raise DataError(
            "the gradients have grown many times since the first tree, or are not finite",
            cure="Lower learning_rate=, or look for extreme values in the target.",
        )
    return np.rint(found, out=found).astype(np.int64)


def ended(rows: Rows, iteration: Iteration, loss: Any) -> Rows:
    """The rows after an iteration."""
    raw = rows.raw.copy(order="F")
    for k, (leaves, values) in enumerate(zip(rows.leaves, iteration.values, strict=True)):
        for leaf, own in leaves.items():
            raw[own, k] += values[leaf]
    assert rows.bits is not None
    return with_gradients(replace(rows, raw=raw), loss, rows.bits)


def divided(rows: Rows, splits: Sequence[np.ndarray], bins: int) -> Rows:
    """The rows with some leaves divided."""
    from talkoot.kernels.trees.histograms import parted

    leaves, columns = [], rows.binned.T
    for held, found in zip(rows.leaves, splits, strict=True):
        now = dict(held)
        for left, parent, feature, last, missing_left, *words in found.tolist():
            goes_left = bits_of(words)[:bins] if any(words) else np.arange(bins) <= last
            goes_left[bins - 1] = missing_left
            now[left], now[left + 1] = parted(now.pop(parent), columns[feature], goes_left)
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
    from talkoot.kernels.trees.histograms import sums_in_bins

    values, columns = {}, rows.binned.T
    for k, wanted in enumerate(sought):
        if not len(wanted):
            continue
        hessians = rows.hessians[k]
        found = np.zeros((len(wanted), len(columns), bins, 3 if len(hessians) else 2), np.int64)
        for leaf, into in zip(wanted.tolist(), found, strict=True):
            sums_in_bins(columns, rows.leaves[k][leaf], rows.gradients[k], hessians, into)
        values[f"histograms:{k}"] = found
    return Update(values=values, weight=float(len(rows.target)))


def merged(update: Update, k: int, bits: Bits) -> np.ndarray:
    """(leaves, features, bins) histograms of an output over all nodes."""
    sums = update.values[f"histograms:{k}"]
    found = np.zeros(sums.shape[:-1], dtype=private.HISTOGRAM)
    found["sum_gradients"], found["count"] = (
        np.ldexp(sums[..., 0].astype(np.float64), -bits[0]),
        sums[..., -1],
    )
    if sums.shape[-1] == 3:
        found["sum_hessians"] = np.ldexp(sums[..., 1].astype(np.float64), -bits[1])
    return found
