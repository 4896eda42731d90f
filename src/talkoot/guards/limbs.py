"""Whole numbers of several machine words: one column of `words` (limbs, n) each, the lowest limb first.

They are integers modulo 2**bits in two's complement, so sums carry from limb to limb, are exact and do not
depend on their order. Of 256 bits, 96 stand behind the point: a float becomes the nearest multiple of 2**-96.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

LIMBS, FRACTION, RANGE = 4, 96, 2.0**127  # of the wide format; each |value| is below RANGE
COARSE = 2.0**-80  # below it, multiples of 2**-96 are coarse: under 16 binary digits are left
TILE = 1 << 14  # numbers at a time, so that they stay in a core's cache


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
    for part in _tiles(len(values)):
        _split(np.rint(values[part] * 2.0**FRACTION), words[:, part])
    return words


def _split(whole: np.ndarray, words: np.ndarray) -> None:
    """Write whole floats, each a mantissa of 53 bits that lies in two neighbouring limbs."""
    mantissa, exponent = np.frexp(whole)
    digits, place = (mantissa * 2.0**53).astype(np.int64), exponent.astype(np.int64) - 53
    digits >>= np.maximum(-place, 0)  # no bit is lost: the float is whole
    np.maximum(place, 0, out=place)
    at, bit = place >> 6, place & 63
    low, high, sign = digits << bit, digits >> (63 - bit) >> 1, digits >> 63
    for limb in range(LIMBS):
        out = words[limb].view(np.int64)
        np.multiply(sign, at < limb, out=out)
        np.copyto(out, low, where=at == limb)
        np.copyto(out, high, where=at == limb - 1)


def to_floats(words: np.ndarray) -> np.ndarray:
    """The float64 values of (4, n) words; exact where the number has 53 bits, else to its last digit."""
    values = np.empty(words.shape[1], np.float64)
    for part in _tiles(words.shape[1]):
        values[part] = _joined(words[:, part])
    return values


def _joined(words: np.ndarray) -> np.ndarray:
    """The sum of the limbs as signed digits: a small negative number is then no difference of large ones."""
    total = np.zeros(words.shape[1])
    carry = np.zeros(words.shape[1], np.uint64)
    for limb, word in enumerate(words):
        digit = word + carry
        total += digit.view(np.int64) * 2.0 ** (64 * limb - FRACTION)
        carry = digit >> np.uint64(63) | (digit < carry)
    return total


def from_integers(values: np.ndarray) -> np.ndarray:
    """(4, n) words of int64 or uint64 values."""
    words = np.zeros((LIMBS, len(values)), np.uint64)
    signed = values if values.dtype.kind == "u" else values.astype(np.int64)
    words[1] = (signed << 32).view(np.uint64)
    words[2] = (signed >> 32).view(np.uint64)
    words[3] = 0 if values.dtype.kind == "u" else (signed >> 63).view(np.uint64)
    return words


def to_integers(words: np.ndarray, *, signed: bool) -> tuple[np.ndarray, np.ndarray]:
    """The whole values of (4, n) words as int64 or uint64, and which of them fit 64 bits."""
    low = (words[1] >> np.uint64(32)) | (words[2] << np.uint64(32))
    if not signed:
        return low, (words[2] >> np.uint64(32) == 0) & (words[3] == 0)
    values = low.view(np.int64)
    sign = values >> 63
    return values, (words[2].view(np.int64) >> 31 == sign) & (words[3].view(np.int64) == sign)


def add_into(total: np.ndarray, words: np.ndarray) -> None:
    """Add words to `total`, in place, with carries.

    >>> total = np.array([[2**64 - 1], [0]], np.uint64)
    >>> add_into(total, np.array([[1], [0]], np.uint64))
    >>> total.tolist()
    [[0], [1]]
    """
    if len(total) == 1:
        total += words
        return
    for part in _tiles(total.shape[1]):
        carry = np.zeros(total[:, part].shape[1], total.dtype)
        for mine, other in zip(total[:, part], words[:, part], strict=True):
            mine += other
            over = mine < other
            mine += carry
            carry = (over | (mine < carry)).astype(total.dtype)


def subtract_from(total: np.ndarray, words: np.ndarray) -> None:
    """Subtract words from `total`, in place, with borrows."""
    if len(total) == 1:
        total -= words
        return
    for part in _tiles(total.shape[1]):
        borrow = np.zeros(total[:, part].shape[1], total.dtype)
        for mine, other in zip(total[:, part], words[:, part], strict=True):
            under = mine < other
            mine -= other
            under |= mine < borrow
            mine -= borrow
            borrow = under.astype(total.dtype)


def add_all(total: np.ndarray, terms: Iterable[tuple[int, np.ndarray]]) -> None:
    """Add words to `total`, or subtract those with a sign of -1, in place; carries move once, at the end.

    >>> total = np.array([[0], [5]], np.uint64)
    >>> add_all(total, [(-1, np.array([[1], [0]], np.uint64)), (1, np.array([[3], [1]], np.uint64))])
    >>> total.tolist()
    [[2], [6]]
    """
    carries, wide = np.zeros(total.shape, np.int32), len(total) > 1
    for sign, words in terms:
        if sign > 0:
            total += words
            if wide:
                carries += total < words
        else:
            if wide:
                carries -= total < words
            total -= words
    carry = carries[0].astype(np.int64)
    for word, own in zip(total[1:], carries[1:], strict=True):
        before = word.copy()
        word += carry.view(np.uint64)
        over, under = (carry > 0) & (word < before), (carry < 0) & (word > before)
        carry = own.astype(np.int64) + over - under
