"""What this machine offers: how many cores this process may use, and how they are shared out."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from pathlib import Path

from threadpoolctl import ThreadpoolController

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "BLIS_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_QUOTA = Path("/sys/fs/cgroup/cpu.max")


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


def share(total: int, among: int) -> int:
    """Threads for each of `among` workers when `total` cores are dealt out; never less than one.

    >>> share(8, 3), share(2, 7)
    (2, 1)
    """
    return max(1, total // max(1, among))


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    del modules
    return ThreadpoolController()


def libraries() -> ThreadpoolController:
    """The BLAS and OpenMP libraries of this process; looked for anew when more modules have been imported."""
    return _libraries(len(sys.modules))


_LIMITS = threading.Lock()
_depth = 0
_outermost = ExitStack()


@contextmanager
def limited(threads: int) -> Iterator[ThreadpoolController]:
    """Have BLAS in this process, and OpenMP in this thread, use so many threads; gives OpenMP for others.

    BLAS knows one number for the whole process. Where several fits run at the same time it is that of
    the last to begin, and it is put back when the last of them ends.
    """
    global _depth
    openmp, blas = (libraries().select(user_api=api) for api in ("openmp", "blas"))
    with openmp.limit(limits=threads):
        with _LIMITS:
            limiter = blas.limit(limits=threads)
            if _depth == 0:
                _outermost.push(limiter)
            _depth += 1
        try:
            yield openmp
        finally:
            with _LIMITS:
                _depth -= 1
                if _depth == 0:
                    _outermost.close()
