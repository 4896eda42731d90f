"""LightGBM's sums between processes, over a mesh instead of its own sockets, which wait without end.

LightGBM calls a function for each sum, and that function cannot raise. Where a process is lost, it answers
with what this process has itself, so that LightGBM comes to the end of its tree; the tree is then dropped.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, final

import numpy as np

from talkoot.learners.lightgbm.leaves import COUNTS, COUNTS_AT, RECORD, Leaves, Split, read
from talkoot.learners.lightgbm.library import call
from talkoot.learners.lightgbm.mesh import Mesh

ROOT = 24  # bytes of the sums that a tree begins with
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
        leaves: of the tree that grows, whose rows are to be counted; None where LightGBM knows them.

    Attributes:
        error: why a sum could not be taken; None while all goes well.
    """

    def __init__(self, mesh: Mesh, leaves: Leaves | None) -> None:
        self._mesh, self._leaves = mesh, leaves
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
            self._try(partial(self._mesh.exchange, sent, [memoryview(part) for part in parts]))
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
        parts[self._mesh.rank][:] = here
        if self.error is None:
            self._try(partial(self._mesh.exchange, [here] * blocks, parts))
        if self._leaves is not None and self.error is None:
            self._try(partial(self._count, self._leaves, parts))
        if self.error is not None:
            for part in parts:
                part[:] = here if len(part) == size else bytes(len(part))

    def _count(self, leaves: Leaves, parts: Sequence[memoryview]) -> None:
        """Write into the best splits how many rows go to their sides."""
        if len(parts[0]) == ROOT:
            leaves.begin()
        if len(parts[0]) != 2 * RECORD:
            return
        best = list[tuple[int, memoryview, Split]]()
        for i, leaf in enumerate(leaves.looked_at()):
            records = [part[i * RECORD : (i + 1) * RECORD] for part in parts]
            chosen, split = records[0], read(records[0])
            for record in records[1:]:
                if (other := read(record)).better(split):
                    chosen, split = record, other
            best.append((leaf, chosen, split))
        sums = np.array([leaves.left_of(leaf, split) for leaf, _, split in best], dtype=np.int64)
        every = np.zeros((self._mesh.size, len(best)), dtype=np.int64)
        every[self._mesh.rank] = sums
        self._mesh.exchange([sums.tobytes()] * self._mesh.size, [memoryview(each.data) for each in every])
        for (leaf, record, split), left in zip(best, every.sum(axis=0).tolist(), strict=True):
            rows = leaves.found(leaf, split, left)
            if split.gain > 0:
                COUNTS.pack_into(record, COUNTS_AT, *rows)

    def _try(self, action: Callable[[], None]) -> None:
        try:
            action()
        except BaseException as error:
            self.error = error
            self._mesh.close()  # so that the others learn of it


def _bytes(address: int, size: int) -> memoryview:
    return memoryview((ctypes.c_ubyte * size).from_address(address)).cast("B")


@contextmanager
def summed(mesh: Mesh, leaves: Leaves | None) -> Iterator[Sums]:
    """While this lasts, what LightGBM sums in this thread is summed over a mesh; see `Sums`.

    Raises:
        LightGBMError: it does not take the functions.
    """
    sums = Sums(mesh, leaves)
    functions = (ctypes.cast(function, ctypes.c_void_p) for function in sums.functions)
    call("LGBM_NetworkInitWithFunctions", mesh.size, mesh.rank, *functions)
    try:
        yield sums
    finally:
        call("LGBM_NetworkFree")
