"""The one way in which kernels are compiled."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import numba
from numba.core.caching import FunctionCache

P = ParamSpec("P")
R = TypeVar("R")


@functools.cache
def _digest() -> str:
    """A digest of the source of all kernels."""
    found = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


class _Cache(FunctionCache):
    """Numba's own, which looks at a function's file alone, renewed where any kernel has changed."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        self._cache_file._source_stamp = (self._cache_file._source_stamp, _digest())


def kernel(function: Callable[P, R]) -> Callable[P, R]:
    """Compile `function` at its first call, for the types of its arguments.

    It runs without the interpreter's lock; floats are added in the order that is written, and a division
    by zero gives inf or nan. The code is stored on disk where a folder can be written, and renewed when the
    function's own file or any file of this folder changes.

    >>> @kernel
    ... def double(x):
    ...     return x + x
    >>> double(2.0)
    4.0
    """
    compiled: Any = numba.njit(nogil=True, fastmath=False, error_model="numpy")(function)
    with suppress(RuntimeError):  # no folder of numba's can be written
        compiled._cache = _Cache(function)
    return compiled  # type: ignore[no-any-return]


def inlined(function: Callable[P, R]) -> Callable[P, R]:
    """A part of a kernel of the same file, written into it where it is called: arrays are passed for free.

    >>> @inlined
    ... def half(x):
    ...     return x / 2
    >>> half(3.0)
    1.5
    """
    compiled: Any = numba.njit(nogil=True, fastmath=False, error_model="numpy", inline="always")(function)
    return compiled  # type: ignore[no-any-return]
