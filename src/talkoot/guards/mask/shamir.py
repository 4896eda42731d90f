"""Shamir's secret sharing: a secret of 32 bytes is the value at zero of a polynomial over a prime field.

Any `threshold` shares give the secret; fewer say nothing about it. Source: Shamir 1979, CACM 22(11).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

PRIME = 2**521 - 1  # a Mersenne prime, beyond any secret
SIZE = 66  # bytes of a share
_WIDER = SIZE + 16  # random bytes for a number below PRIME, so that the remainder is even to 2**-128


def split(
    secret: bytes, places: Iterable[int], threshold: int, random: Callable[[int], bytes]
) -> dict[int, bytes]:
    """Shares of a secret by place.

    Args:
        secret: 32 bytes.
        places: distinct positive numbers, one for each share.
        threshold: how many shares give the secret.
        random: that many secret random bytes.

    >>> shares = split(b"s" * 32, [1, 2, 3], 2, bytes)
    >>> secret_of({1: shares[1], 3: shares[3]}) == b"s" * 32
    True
    """
    numbers = [int.from_bytes(random(_WIDER), "big") % PRIME for _ in range(threshold - 1)]
    polynomial = [*numbers, int.from_bytes(secret, "big")]  # the highest power first
    return {place: value_at(polynomial, place).to_bytes(SIZE, "big") for place in places}


def value_at(polynomial: Iterable[int], place: int) -> int:
    """The value of a polynomial, the highest power first."""
    value = 0
    for coefficient in polynomial:
        value = (value * place + coefficient) % PRIME
    return value


def weights(places: Iterable[int]) -> dict[int, int]:
    """Lagrange's weights: what each value counts in the value at zero. The same for all secrets of a set."""
    places = list(places)
    found = {}
    for place in places:
        above, below = 1, 1
        for other in places:
            if other != place:
                above = above * other % PRIME
                below = below * (other - place) % PRIME
        found[place] = above * pow(below, -1, PRIME) % PRIME
    return found


def secret_of(shares: Mapping[int, bytes], known: Mapping[int, int] | None = None) -> bytes | None:
    """The secret of shares by place; None if they are not of one secret.

    Args:
        shares: as many as the threshold, by place.
        known: `weights` of their places, where the caller has them.
    """
    known = weights(shares) if known is None else known
    value = sum(known[place] * int.from_bytes(share, "big") for place, share in shares.items()) % PRIME
    return value.to_bytes(32, "big") if value < 1 << 256 else None
