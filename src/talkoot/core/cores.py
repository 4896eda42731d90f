"""How many cores this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")
_REQUESTED: list[int] = []  # of each engine that is open in this process


def cores() -> int:
    """Cores that this process may use: its affinity, and the quota of its container if it has one.

    >>> cores() >= 1
    True
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(allowed, _quota() or allowed))


def _quota() -> int | None:
    """Cores that the control group grants (cgroup v2), rounded up."""
    try:
        limit, period = _QUOTA.read_text().split()
    except (OSError, ValueError):
        return None
    return None if limit == "max" else -(-int(limit) // int(period))


@contextmanager
def requested(count: int) -> Iterator[None]:
    """An engine is open in this process for which so many cores were requested."""
    _REQUESTED.append(count)
    try:
        yield
    finally:
        _REQUESTED.remove(count)


def most_requested() -> int:
    """The cores that the open engines of this process may use as requested, and no more than there are."""
    return min(max(_REQUESTED, default=1), cores())
