"""A leaf of whole numbers modulo 2**bits: it adds exactly, in any order, and may stand under a mask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import prod
from typing import Any, ClassVar, cast, final

import numpy as np

from talkoot.core.errors import DataError
from talkoot.guards import limbs

_WHOLE = ("bool", *(f"{kind}{bits}" for kind in ("int", "uint") for bits in (8, 16, 32, 64)))
_NAMES = (*_WHOLE, "float16", "float32", "float64")
DTYPES = frozenset((*_NAMES, *(f"torch.{name}" for name in (*_NAMES, "bfloat16"))))


@final
@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Ring:
    """An array in fixed point: a value is a whole number times 2**-fraction.

    Args:
        words: (limbs, size) uint64 or uint32, the lowest limb first; see `limbs`. Four of floats, two of
            whole numbers, one of either where they have a limit.
        shape: of the array.
        dtype: of the array that it was made of: a name of numpy, or ``"torch."`` and a name of torch.
        fraction: bits behind the point.

    >>> one = Ring(words=np.array([[3, 2**64 - 1]], np.uint64), shape=(2,), dtype="float64", fraction=1)
    >>> (one + one).words.tolist(), (one - one).words.tolist()
    ([[6, 18446744073709551614]], [[0, 0]])
    """

    words: np.ndarray
    shape: tuple[int, ...]
    dtype: str
    fraction: int
    __array_ufunc__: ClassVar[None] = None  # numpy then leaves `array + leaf` to this class, which refuses

    @property
    def nbytes(self) -> int:
        """Bytes to send."""
        return self.words.nbytes

    @property
    def form(self) -> tuple[object, ...]:
        """What two leaves must share to be added, besides the dtype."""
        return self.shape, self.fraction, self.words.dtype.name, len(self.words)

    @property
    def is_sound(self) -> bool:
        """Whether the words are those of its shape and fraction, whoever sent it."""
        words, shape, fraction = cast("tuple[Any, Any, Any]", (self.words, self.shape, self.fraction))
        whole = isinstance(shape, tuple) and all(type(n) is int and n >= 0 for n in shape)
        if not (whole and isinstance(words, np.ndarray) and words.ndim == 2):
            return False
        if type(fraction) is not int or words.shape[1] != prod(shape) or self.dtype not in DTYPES:
            return False
        count, wide = len(words), words.dtype == np.uint64
        if self.dtype.removeprefix("torch.") in _WHOLE:
            return wide and count in (1, 2) and fraction == 0
        narrow = count == 1 and words.dtype in (np.uint32, np.uint64)
        return narrow or (wide and count == limbs.LIMBS and fraction == limbs.FRACTION)

    def with_words(self, words: np.ndarray) -> Ring:
        """The same with other words."""
        return replace(self, words=words)

    def zero(self) -> Ring:
        """A zero of the same form."""
        return self.with_words(np.zeros_like(self.words))

    def __add__(self, other: Any) -> Ring:
        dtype = self._joint(other)
        return replace(self, words=limbs.add(self.words, other.words), dtype=dtype)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Ring:
        dtype = self._joint(other)
        return replace(self, words=limbs.subtract(self.words, other.words), dtype=dtype)

    def __neg__(self) -> Ring:
        return self.zero() - self

    def _joint(self, other: Any) -> str:
        """The dtype that both have together, if they add."""
        if not isinstance(other, Ring) or self.form != other.form:
            theirs = other.form if isinstance(other, Ring) else type(other).__name__
            raise DataError(
                f"numbers in fixed point do not add: {self.form} here, {theirs} at another node",
                cure="Give every node the same plan and columns.",
            )
        if self.dtype == other.dtype:
            return self.dtype
        if "torch" in self.dtype + other.dtype:
            raise DataError(f"a leaf is {self.dtype} here and {other.dtype} at another node")
        return np.result_type(np.dtype(self.dtype), np.dtype(other.dtype)).name
