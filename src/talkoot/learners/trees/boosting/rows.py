"""A node's part of boosting: its rows in bins, what is predicted for them, and sums of their gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.core.update import BOUNDED, Update
from talkoot.learners.sums.exact import exact_sum, exact_total
from talkoot.learners.trees.boosting import sklearn_private as private
from talkoot.learners.trees.boosting.bins import Bins
from talkoot.learners.trees.boosting.quantiles.leaves import LeafCount
from talkoot.learners.trees.boosting.validation import Validation
from talkoot.learners.trees.boosting.warm_start.trees import Trees
from talkoot.learners.trees.weights import Weights

SPLIT = 9  # numbers of a split: left child, parent, feature, bin, whether missing values go left, set of bins
WIDTH = 62  # bits of a sum of whole gradients
SPARE = 8  # of these, for gradients that grow
HISTOGRAMS = f"{BOUNDED}histograms:"  # the beginning of a leaf's name; `_round` sees to the bound
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
    earlier: Trees | None = None  # of an earlier fit, before those of `past`


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
        counted: the residuals that are counted, in place of histograms.
    """

    step: int
    bits: Bits | None
    ended: Iteration | None
    splits: tuple[np.ndarray, ...]
    sought: tuple[np.ndarray, ...]
    start: Start | None = None
    scored: bool = False
    counted: LeafCount | None = None


@final
@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of a node between two steps; never changed, so that a step can be taken back."""

    features: int
    bins: np.ndarray  # (words, rows) uint32, of four columns in each
    target: np.ndarray
    raw: np.ndarray  # (rows, outputs) what is predicted, before the link
    bits: Bits | None
    pairs: np.ndarray  # (outputs, rows, 2) int64 gradients and Hessians; (outputs, rows, 1) where these are 1
    shifts: tuple[int, ...]  # for each output how many bits below a gradient count rows
    orders: tuple[np.ndarray, ...]  # for each output the numbers of all rows, those of a leaf side by side
    places: tuple[np.ndarray, ...]  # for each output (parts, 2): from where to where in it leaves have them
    nodes: int  # whose sums are added
    weights: np.ndarray | None = None  # (rows,) of the rows; None where each weighs 1
    learned: bool = True  # whether trees are learned from them; others need no gradients

    def __reduce__(self) -> Any:
        return type(None), ()  # never sent: a node that is behind gets all that is past


def begun(
    start: Start,
    bins: np.ndarray,
    y: np.ndarray,
    w: np.ndarray | None,
    raw: np.ndarray | None,
    loss: Any,
    bits: Bits | None,
    nodes: int,
    *,
    learned: bool = True,
) -> Rows:
    """The rows before any tree, or behind those that are past; their bins are in words.

    Where there are trees of an earlier fit, `raw` is what they predict.
    """
    raw = np.zeros((len(y), len(start.baseline)), order="F") + start.baseline if raw is None else raw
    none, features = np.zeros((0, 0, 1), np.int64), len(start.bins.thresholds)
    rows = Rows(features, bins, y, np.asfortranarray(raw), bits, none, (), (), (), nodes, w, learned)
    rows = rows if bits is None else with_gradients(rows, loss, bits)
    for iteration in start.past:
        rows = ended(divided(rows, iteration.splits, start.bins.count), iteration, loss)
    return rows


def advanced(rows: Rows, question: Grow, loss: Any, bins: int) -> Rows:
    """The rows after what a question asks to do first."""
    if question.bits is None:
        return rows
    if rows.bits is None:
        rows = with_gradients(rows, loss, question.bits)
    if question.ended is not None:
        rows = ended(divided(rows, question.ended.splits, bins), question.ended, loss)
    return divided(rows, question.splits, bins)


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
    if not loss.differentiable:  # none is greater than the weight of its row, whatever it is now
        gradients = np.array([len(rows.target)]) if hessians is None else hessians
    none = np.zeros(0)  # of Hessians that are all 1, so that bits do not depend on the number of nodes
    sums = [exact_sum(np.abs(part)) for part in (gradients, none if hessians is None else hessians)]
    return Update(values={MAGNITUDES: np.stack(sums)}, weight=float(len(rows.target)))


def enough_bits(update: Update) -> Bits:
    """The bits behind the point with which no sum overflows, also when gradients grow somewhat."""
    exponents = [int(np.frexp(exact_total(sums))[1]) for sums in update.values[MAGNITUDES]]
    return WIDTH - SPARE - exponents[0], WIDTH - SPARE - exponents[1]


def with_gradients(rows: Rows, loss: Any, bits: Bits) -> Rows:
    """The gradients of an iteration that begins, with all rows in the root of each tree."""
    from talkoot.kernels.trees.histograms import counting_bits

    outputs = rows.raw.shape[1]
    every, root = np.arange(len(rows.target), dtype=np.uint32), np.array([[0, len(rows.target)]])
    rows = replace(rows, bits=bits, orders=(every,) * outputs, places=(root,) * outputs)
    if not rows.learned:
        return rows
    gradients, hessians = float_gradients(rows, loss)
    pairs = np.empty((*gradients.shape, 1 if hessians is None else 2), np.int64)
    greatest = _round(gradients, bits[0], rows.nodes, pairs[..., 0])
    if hessians is None:
        return replace(rows, pairs=pairs, shifts=(0,) * outputs)
    _round(hessians, bits[1], rows.nodes, pairs[..., 1])
    shifts = tuple(map(counting_bits, greatest))
    for own, shift in zip(pairs, shifts, strict=True):
        if shift:
            own[:, 0] = (own[:, 0] << shift) + 1
    return replace(rows, pairs=pairs, shifts=shifts)


def _round(values: np.ndarray, bits: int, nodes: int, whole: np.ndarray) -> tuple[int, ...]:
    """Write floats as whole multiples of 2^-bits; of each output the greatest one without its sign.

    Raises:
        DataError: their sum over so many nodes could be too large.
    """
    from talkoot.kernels.trees.gradients import rounded

    found = [rounded(*each, 2.0**bits) for each in zip(values, whole, strict=True)]
    if not sum(magnitude for magnitude, _ in found) < 2.0**WIDTH / nodes:
        raise DataError(
            "the gradients have grown many times since the first tree, or are not finite",
            cure="Lower learning_rate=, or look for extreme values in the target.",
        )
    return tuple(int(most) for _, most in found)


def ended(rows: Rows, iteration: Iteration, loss: Any) -> Rows:
    """The rows after an iteration."""
    from talkoot.kernels.trees.gradients import raise_leaves

    raw = rows.raw.copy(order="F")
    for k, values in enumerate(iteration.values):
        raise_leaves(raw[:, k], rows.orders[k], rows.places[k], values)
    assert rows.bits is not None
    return with_gradients(replace(rows, raw=raw), loss, rows.bits)


def divided(rows: Rows, splits: Sequence[np.ndarray], bins: int) -> Rows:
    """The rows with some leaves divided."""
    from talkoot.kernels.trees.histograms import divide

    orders, places = list(rows.orders), list(rows.places)
    for k, found in enumerate(splits):
        if len(found):
            orders[k] = orders[k].copy()
            more = np.zeros((found[-1, 0] + 2 - len(places[k]), 2), np.int64)
            places[k] = np.concatenate([places[k], more])
            divide(rows.bins, orders[k], places[k], found, _left_bins(found, bins))
    return replace(rows, orders=tuple(orders), places=tuple(places))


def _left_bins(splits: np.ndarray, bins: int) -> np.ndarray:
    """(splits, bins) whether a bin goes to the left."""
    found = np.arange(bins) <= splits[:, 3, None]
    sets = splits[:, 5:].any(axis=1)
    found[sets] = bits_of(splits[sets, 5:])[:, :bins]
    found[:, bins - 1] = splits[:, 4]
    return found


def words_of(bins: np.ndarray | None) -> list[int]:
    """A set of bins as four whole numbers of 64 bits; all 0 for None."""
    return [0] * 4 if bins is None else bins.astype("<u4").view("<i8").tolist()


def bits_of(words: np.ndarray) -> np.ndarray:
    """(sets, 256) whether a bin is in a set.

    >>> words = words_of(np.array([5, 0, 0, 0, 0, 0, 0, 1 << 31], dtype=np.uint32))
    >>> np.flatnonzero(bits_of(np.array([words]))).tolist()
    [0, 2, 255]
    """
    octets = np.ascontiguousarray(words, dtype="<i8").view(np.uint8)
    return np.unpackbits(octets, axis=1, bitorder="little").astype(bool)


def sums(rows: Rows, sought: Sequence[np.ndarray], bins: int) -> Update:
    """The histograms of some leaves; without Hessians where these are 1."""
    from talkoot.kernels.trees.histograms import sums_of_leaves

    values = dict[str, np.ndarray]()
    for k, wanted in enumerate(sought):
        if len(wanted):
            own, shift, shape = rows.pairs[k], rows.shifts[k], (len(wanted), rows.features, bins)
            where = rows.bins, rows.orders[k], rows.places[k][wanted]
            found = np.zeros((*shape, own.shape[1] + 1), np.int64)
            sums_of_leaves(*where, own, shift, found)
            if own.shape[1] == 2 and not shift:  # rows are not counted yet
                counts = np.zeros((*shape, 2), np.int64)
                sums_of_leaves(*where, np.ones((len(own), 1), np.int64), 0, counts)
                found[..., 2] = counts[..., 0]
            values[f"{HISTOGRAMS}{k}"] = found
    return Update(values=values, weight=float(len(rows.target)))


def merged(update: Update, k: int, bits: Bits) -> np.ndarray:
    """(leaves, features, bins) histograms of an output over all nodes."""
    from talkoot.kernels.trees.histograms import scale

    sums = update.values[f"{HISTOGRAMS}{k}"]
    found = np.zeros(sums.shape[:-1], dtype=private.HISTOGRAM)
    scale(
        sums.reshape(-1, *sums.shape[2:]), 2.0 ** -bits[0], 2.0 ** -bits[1], found.reshape(-1, sums.shape[2])
    )
    return found
