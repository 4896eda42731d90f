"""Whole numbers of several machine words: one column of `words` (limbs, n) each, the lowest limb first.

They are integers modulo 2**bits in two's complement, so sums carry from limb to limb, are exact and do not
depend on their order. Floats have 256 bits, 96 of them behind the point: a float becomes the nearest multiple
of 2**-96. Whole numbers have 128 bits, more than any sum of them needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

LIMBS, FRACTION, RANGE = 4, 96, 2.0**127  # of floats; each |value| is below RANGE
COARSE = 2.0**-80  # below it, multiples of 2**-96 are coarse: under 16 binary digits are left
TILE = 1 << 13  # numbers at a time, so that they stay in a core's cache


def _tiles(size: int) -> Iterator[slice]:
    return (slice(first, first + TILE) for first in range(0, size, TILE))


def is_whole(values: np.ndarray) -> bool:
    """Whether all values are multiples of 2**-96."""
    scaled = values * 2.0**FRACTION
    return bool((np.rint(scaled) == scaled).all())


def from_floats(values: np.ndarray) -> np.ndarray:
    """(4, n) words of finite float64 values below RANGE, rounded to multiples of 2**-96.

    >>> from_floats(np.array([1.0, -(2.0**-96)]))[:, 1].tolist() == [2**64 - 1] * 4
    True
    """
    words = np.empty((LIMBS, len(values)), np.uint64)
    rest, whole, half = np.empty(TILE), np.empty(TILE), np.empty(TILE, np.bool)
    for part in _tiles(len(values)):
        size = len(values[part])
        np.multiply(values[part], 2.0 ** (FRACTION - 64 * (LIMBS - 1)), out=rest[:size])
        _split(rest[:size], words[:, part].view(np.int64), whole[:size], half[:size])
    return words


def _split(rest: np.ndarray, digits: np.ndarray, whole: np.ndarray, half: np.ndarray) -> None:
    """Write each limb as a signed digit, the highest first, then move borrows up."""
    for limb in reversed(range(LIMBS)):
        np.rint(rest, out=whole)
        if limb:
            rest -= whole  # exact: what is left has no more digits than the float
            np.equal(rest, 0.5, out=half)  # the next digit would be 2**63, which is no int64
            whole += half
            rest -= half
            rest *= 2.0**64
        digits[limb] = whole
    for lower, upper in pairwise(digits):
        upper += lower >> 63


def to_floats(words: np.ndarray, fraction: int) -> np.ndarray:
    """The float64 values of (limbs, n) words; exact where a number has 53 bits, else to its last digit."""
    values = np.empty(words.shape[1], np.float64)
    for part in _tiles(words.shape[1]):
        values[part] = _joined(words[:, part], fraction)
    return values


def _joined(words: np.ndarray, fraction: int) -> np.ndarray:
    """The sum of the limbs as signed digits: a small negative number is then no difference of large ones."""
    total = np.zeros(words.shape[1])
    carry = np.zeros(words.shape[1], np.uint64)
    for limb, word in enumerate(words):
        digit = word + carry
        total += digit.view(np.int64) * 2.0 ** (64 * limb - fraction)
        carry = digit >> np.uint64(63) | (digit < carry)
    return total


def from_integers(values: np.ndarray) -> np.ndarray:
    """(2, n) words of int64 or uint64 values.

    >>> from_integers(np.array([5, -1])).tolist() == [[5, 2**64 - 1], [0, 2**64 - 1]]
    True
    """
    words = np.empty((2, len(values)), np.uint64)
    words[0] = values.view(np.uint64)
    words[1] = 0 if values.dtype.kind == "u" else (values >> 63).view(np.uint64)
    return words


def to_integers(words: np.ndarray, *, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """The values of (1, n) or (2, n) words as int64 or uint64, and which of them fit these."""
    low, high = words[0], words[-1]
    values = low.view(np.int64)
    if len(words) == 1:
        return (values, np.ones(len(low), np.bool)) if signed else (low, values >= 0)
    return (values, high.view(np.int64) == values >> 63) if signed else (low, high == 0)


def add(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The sum of words, with carries.

    >>> add(np.array([[2**64 - 1], [0]], np.uint64), np.array([[1], [0]], np.uint64)).tolist()
    [[0], [1]]
    """
    if len(one) == 1:
        return np.asarray(one + other)
    total = np.empty_like(one)
    for part in _tiles(one.shape[1]):
        tile = total[:, part]
        np.add(one[:, part], other[:, part], out=tile)
        over = tile < other[:, part]
        for (_, carry), (word, more) in pairwise(zip(tile, over, strict=True)):
            word += carry
            more |= word < carry
    return total


def subtract(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """The difference of words, with borrows."""
    if len(one) == 1:
        return np.asarray(one - other)
    rest = np.empty_like(one)
    for part in _tiles(one.shape[1]):
        tile = rest[:, part]
        np.subtract(one[:, part], other[:, part], out=tile)
        under = one[:, part] < other[:, part]
        for (_, borrow), (word, more) in pairwise(zip(tile, under, strict=True)):
            more |= word < borrow
            word -= borrow
    return rest


def add_all(total: np.ndarray, terms: Iterable[tuple[int, Iterable[np.ndarray]]]) -> None:
    """Add words to `total`, or subtract those with a sign of -1, in place; carries move once a limb.

    Args:
        total: (limbs, n) words.
        terms: the sign of each, and its words limb by limb; a limb is used before another one is requested.

    >>> total = np.array([[0], [5]], np.uint64)
    >>> add_all(total, [(-1, np.array([[1], [0]], np.uint64)), (1, np.array([[3], [1]], np.uint64))])
    >>> total.tolist()
    [[2], [6]]
    """
    rows = [(sign, iter(words)) for sign, words in terms]
    carries = np.zeros(total.shape[1], np.min_scalar_type(-len(rows) - 2))
    over = np.empty(total.shape[1], np.bool)
    for limb, word in enumerate(total):
        if limb:
            _carry(carries, word)
        is_highest = limb + 1 == len(total)  # what is carried out of it is lost
        for sign, words in rows:
            other = next(words)
            if sign > 0:
                word += other
            if not is_highest:
                np.less(word, other, out=over)
                (np.add if sign > 0 else np.subtract)(carries, over.view(np.int8), out=carries)
            if sign < 0:
                word -= other


def _carry(carries: np.ndarray, word: np.ndarray) -> None:
    """Add carries to the next limb, in place; they become those out of it."""
    carry = carries.astype(np.int64).view(word.dtype)
    word += carry
    carries >>= 8 * carries.itemsize - 1  # a negative one borrows, unless the sum wraps around
    carries += word < carry
