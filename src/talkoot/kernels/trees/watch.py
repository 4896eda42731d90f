"""Detectors of a tree's errors: ADWIN windows that report rising errors only."""

from __future__ import annotations

from typing import NamedTuple

from talkoot.kernels.adwin import _differs, _drop, _insert
from talkoot.kernels.compiled import kernel
from talkoot.kernels.trees.layout import Array

CLOCK, LEAST, GRACE = 32, 5.0, 10


class Window(NamedTuple):
    """The arrays of an ADWIN detector."""

    ints: Array
    reals: Array
    counts: Array
    sums: Array
    squares: Array


@kernel
def empty(window: Window) -> None:
    """Forget all values."""
    window.ints[:] = 0
    window.reals[:] = 0.0
    window.counts[:] = 0
    window.ints[2] = 1


@kernel
def alarmed(window: Window, delta: float, value: float) -> bool:
    """Add an error; whether the mean has risen. Errors before a change are forgotten."""
    before = window.reals[0] / window.ints[0] if window.ints[0] > 0 else 0.0
    _insert(value, window.ints, window.reals, window.counts, window.sums, window.squares)
    window.ints[1] += 1
    if window.ints[1] % CLOCK != 0 or window.ints[0] <= GRACE:
        return False
    changed = False
    while _differs(window.ints, window.reals, window.counts, window.sums, delta, LEAST):
        _drop(window.ints, window.reals, window.counts, window.sums, window.squares)
        changed = True
    return changed and window.reals[0] / window.ints[0] > before
