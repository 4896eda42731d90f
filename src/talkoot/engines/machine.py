"""A node uses one of the cores of its process."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController

ONE_CORE = dict.fromkeys(  # what BLAS and OpenMP libraries read when they are loaded
    (
        "OMP_NUM_THREADS",
        "OPENBLAS_NUM_THREADS",
        "MKL_NUM_THREADS",
        "BLIS_NUM_THREADS",
        "VECLIB_MAXIMUM_THREADS",
    ),
    "1",
)


@lru_cache(maxsize=1)
def _libraries(modules: int) -> ThreadpoolController:
    """The BLAS and OpenMP libraries of this process; looked for anew when more modules were imported."""
    return ThreadpoolController()


_LIMITS = threading.Lock()
_depth = 0
_outermost = ExitStack()


@contextmanager
def one_core() -> Iterator[ThreadpoolController]:
    """Have BLAS in this process, and OpenMP in this thread, use one core; gives OpenMP, for other threads.

    BLAS knows one number for the whole process. It is put back when the last of several fits ends.
    """
    global _depth
    openmp, blas = (_libraries(len(sys.modules)).select(user_api=api) for api in ("openmp", "blas"))
    with openmp.limit(limits=1):
        with _LIMITS:
            if _depth == 0:
                _outermost.push(blas.limit(limits=1))
            _depth += 1
        try:
            yield openmp
        finally:
            with _LIMITS:
                _depth -= 1
                if _depth == 0:
                    _outermost.close()
