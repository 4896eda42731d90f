"""Sums of floats that do not depend on their order, nor on which node has which: whole numbers that add.

A float is cut into whole numbers of 32 bits at fixed places; each place is added up by itself.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from talkoot.core.errors import DataError

PLACES = tuple(range(96, -417, -32))  # powers of two that whole numbers count
ONE = PLACES.index(0)


def exact_sum(values: np.ndarray) -> np.ndarray:
    """(places,) int64 the sum of floats, each rounded to a multiple of 2^-416.

    Raises:
        DataError: a value is not finite, or is 2^126 or more.

    >>> exact_total(exact_sum(np.array([1e16, 1.0, -1e16])))
    1.0
    """
    rest = np.asarray(values, dtype=np.float64).reshape(-1)
    if not (np.abs(rest) < 2.0**126).all():
        raise DataError("a number to be added up is not finite, or is 2**126 or more", cure="Scale it down.")
    sums = np.zeros(len(PLACES), dtype=np.int64)
    for i, place in enumerate(PLACES):
        whole = np.rint(np.ldexp(rest, -place))
        rest = rest - np.ldexp(whole, place)
        sums[i] = whole.astype(np.int64).sum()
        if not rest.any():
            break
    return sums


def exact_count(count: int) -> np.ndarray:
    """(places,) int64 a whole number as a sum."""
    sums = np.zeros(len(PLACES), dtype=np.int64)
    sums[ONE] = count
    return sums


def exact_fraction(sums: np.ndarray) -> Fraction:
    """What sums of places add up to."""
    return sum((int(n) * Fraction(2) ** place for n, place in zip(sums, PLACES, strict=True)), Fraction())


def exact_total(sums: np.ndarray) -> float:
    """What sums of places add up to, rounded once."""
    return float(exact_fraction(sums))
