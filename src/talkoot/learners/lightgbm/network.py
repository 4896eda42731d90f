"""LightGBM's sums between processes, over a mesh instead of its own sockets, which wait without end.

LightGBM calls a function for each sum, and that function cannot raise. Where a process is lost, it answers
with what this process has itself, so that LightGBM comes to the end of its tree; the tree is then dropped.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, final

import numpy as np

from talkoot.learners.lightgbm.mesh import Mesh

_SIZE = ctypes.c_int32
_SIZES = ctypes.POINTER(_SIZE)
_REDUCER = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int, _SIZE)
_REDUCE_SCATTER = ctypes.CFUNCTYPE(
    None,
    ctypes.c_void_p,
    _SIZE,
    ctypes.c_int,
    _SIZES,
    _SIZES,
    ctypes.c_int,
    ctypes.c_void_p,
    _SIZE,
    ctypes.POINTER(_REDUCER),
)
_ALLGATHER = ctypes.CFUNCTYPE(
    None, ctypes.c_void_p, _SIZE, _SIZES, _SIZES, ctypes.c_int, ctypes.c_void_p, _SIZE
)


@final
class Sums:
    """LightGBM's sums of one thread.

    Args:
        mesh: the processes.

    Attributes:
        error: why a sum could not be taken; None while all goes well.
    """

    def __init__(self, mesh: Mesh) -> None:
        self._mesh = mesh
        self.error: BaseException | None = None
        self.functions = _REDUCE_SCATTER(self._reduce_scatter), _ALLGATHER(self._allgather)

    def require(self) -> None:
        """Raise what went wrong.

        Raises:
            PeerLost: another process is gone, or does not answer.
        """
        if self.error is not None:
            raise self.error

    def _reduce_scatter(
        self,
        source: int,
        size: int,
        width: int,
        starts: Any,
        lengths: Any,
        blocks: int,
        target: int,
        room: int,
        reducer: Any,
    ) -> None:
        """The block of this rank in the sum over all processes, added in the order of ranks."""
        del room
        rank = self._mesh.rank
        here, own = _bytes(source, size), lengths[rank]
        sent = [here[starts[i] : starts[i] + lengths[i]] for i in range(blocks)]
        result = _bytes(target, own)
        if self.error is None and own + size:
            parts = np.empty((blocks, own), dtype=np.uint8)
            parts[rank] = np.frombuffer(sent[rank], dtype=np.uint8)
            self._exchange(sent, [memoryview(part) for part in parts])
            if self.error is None:
                for part in parts[1:]:
                    reducer[0](part.ctypes.data, parts.ctypes.data, width, own)
                result[:] = memoryview(parts[0])
                return
        result[:] = sent[rank]

    def _allgather(
        self, source: int, size: int, starts: Any, lengths: Any, blocks: int, target: int, room: int
    ) -> None:
        """What each process has, side by side."""
        here, whole = bytes(_bytes(source, size)), _bytes(target, room)  # both may be the same memory
        parts = [whole[starts[i] : starts[i] + lengths[i]] for i in range(blocks)]
        if self.error is None:
            self._exchange([here] * blocks, parts)
        for rank, part in enumerate(parts):
            if rank == self._mesh.rank or self.error is not None:
                part[:] = here if len(part) == size else bytes(len(part))

    def _exchange(self, sent: list[Any], received: list[memoryview]) -> None:
        try:
            self._mesh.exchange(sent, received)
        except BaseException as error:
            self.error = error
            self._mesh.close()  # so that the others learn of it


def _bytes(address: int, size: int) -> memoryview:
    return memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")


@contextmanager
def summed(mesh: Mesh) -> Iterator[Sums]:
    """While this lasts, what LightGBM sums in this thread is summed over a mesh.

    Raises:
        LightGBMError: it does not take the functions.
    """
    from lightgbm.basic import _LIB, _safe_call

    sums = Sums(mesh)
    functions = (ctypes.cast(function, ctypes.c_void_p) for function in sums.functions)
    _safe_call(_LIB.LGBM_NetworkInitWithFunctions(mesh.size, mesh.rank, *functions))
    try:
        yield sums
    finally:
        _safe_call(_LIB.LGBM_NetworkFree())
