"""Sums of tensors over the ranks of one machine, through shared memory.

Small tensors go through a **stage**: each rank copies its tensor into shared memory, and adds up the copies
of all ranks, in order of rank. That takes one exchange of messages. Large tensors are **moved** into shared
memory at their first sum: each rank then adds up its slice of all ranks' tensors and writes the sum into each
of them (a reduce-scatter and an all-gather without a copy between). That takes two exchanges, and each rank
reads and writes as many bytes as the tensor has, for any number of ranks.

The memory has no name in any file system, so it is freed with the last process that holds it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor
from torch.distributed import Store

from talkoot.engines.processes.memory import ALIGN, anonymous, layout
from talkoot.engines.ranks.collectives.links import Links
from talkoot.learners.deep.torch_private import share_memory

STAGE = 1 << 20  # bytes that go through the stage at once
_PIECE = 1 << 17  # bytes that are added up at once; several fit into a core's cache
_SHM = "/dev/shm"  # where torch asks for shared memory


@final
class SharedSum:
    """Sums over the ranks of one machine, with the same bits on all of them.

    Not thread-safe. All ranks call the same methods in the same order, with tensors of the same sizes. After
    an error only `close` may be called; the tensors of that sum are undefined.

    Args:
        links: to the other ranks; `close` closes them.

    >>> import torch.distributed as dist
    >>> sums = SharedSum.join(dist.HashStore(), rank=0, world=1, timeout=10.0)
    >>> sums.all_reduce(torch.ones(2))
    tensor([1., 1.])
    >>> sums.close()
    """

    def __init__(self, links: Links) -> None:
        self.rank, self.world = links.rank, links.world
        self.pending: list[Tensor] = []
        self._links = links
        self._turn = 0
        self._moved: list[list[Tensor]] = []  # by place, then by rank; empty where memory was short
        fd = anonymous()
        try:
            os.ftruncate(fd, 2 * STAGE)
            self._stages = [view.view(2, STAGE) for view in self._exchange(2 * STAGE, fd)]
        finally:
            os.close(fd)

    @classmethod
    def join(cls, store: Store, *, rank: int, world: int, timeout: float) -> SharedSum:
        """Connect to the other ranks, which may keep each other waiting for `timeout` seconds, now and later.

        The store's prefix is one that only these ranks use, and only for this call.

        Raises:
            PeerSilent: a rank did not come, or stopped.
            PeerLost: a rank is gone.
        """
        links = Links.meet(store, rank=rank, world=world, timeout=timeout)
        try:
            return cls(links)
        except BaseException:
            links.close()
            raise

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Replace a tensor by its sum over all ranks, and return it.

        Raises:
            ValueError: the tensor does not lie on the CPU, or is not contiguous.
            PeerLost: a rank is gone.
            PeerSilent: a rank kept the others waiting for longer than the timeout.
        """
        if tensor.device.type != "cpu" or not tensor.is_contiguous():
            raise ValueError(
                f"only contiguous tensors on the CPU can be summed here, not one on {tensor.device}"
            )
        with torch.no_grad():
            for chunk in _chunks(tensor.view(-1), STAGE):
                self._through_stage([chunk], None)
        return tensor

    def mean(self, tensors: Sequence[Tensor]) -> None:
        """Replace flat tensors by their means over all ranks.

        Large ones are moved into shared memory and stay there: pass the same tensors at the same places at
        every call, as with the buckets of gradients.

        Raises:
            PeerLost: a rank is gone.
            PeerSilent: a rank kept the others waiting for longer than the timeout.
        """
        scale = 1.0 / self.world
        with torch.no_grad():
            if layout(tensor.nbytes for tensor in tensors)[1] <= STAGE:
                self._through_stage(tensors, scale)
                return
            for place, tensor in enumerate(tensors):
                self._move(place, tensor)
            del self._moved[len(tensors) :]
            self._in_place([views for views in self._moved if views], scale)
            for tensor, views in zip(tensors, self._moved, strict=True):
                if not views:
                    for chunk in _chunks(tensor, STAGE):
                        self._through_stage([chunk], scale)

    def close(self) -> None:
        """Leave the other ranks without waiting. Ranks that wait for this one get a `PeerLost`."""
        self._links.close()
        self._moved, self._stages, self.pending = [], [], []

    def _through_stage(self, tensors: Sequence[Tensor], scale: float | None) -> None:
        """Sum tensors that fit on the stage together.

        The two halves of the stage alternate. A rank writes to the second half only after it has read the
        first, so once all have written the second, the first may be written again.
        """
        offsets, _ = layout(tensor.nbytes for tensor in tensors)
        halves = [stage[self._turn] for stage in self._stages]
        self._turn ^= 1
        staged = [
            [half[at : at + x.nbytes].view(x.dtype) for half in halves]
            for at, x in zip(offsets, tensors, strict=True)
        ]
        for x, parts in zip(tensors, staged, strict=True):
            if scale is None:
                parts[self.rank].copy_(x)
            else:
                torch.mul(x, scale, out=parts[self.rank])
        self._barrier(sum(x.nbytes for x in tensors))
        for x, (first, *others) in zip(tensors, staged, strict=True):
            if not others:
                x.copy_(first)
                continue
            torch.add(first, others[0], out=x)
            for other in others[1:]:
                x.add_(other)

    def _in_place(self, tensors: Sequence[list[Tensor]], scale: float) -> None:
        """Average flat tensors in shared memory, each given as its copies by rank.

        Each rank adds up its own slice and writes the mean into all copies.
        """
        self._barrier(sum(views[0].nbytes for views in tensors))
        for views in tensors:
            own, *others = _pieces(views, self.rank)
            for piece, *theirs in zip(own, *others, strict=True):
                for their in theirs:
                    piece.add_(their)
                piece.mul_(scale)
                for their in theirs:
                    their.copy_(piece)
        self._barrier(len(tensors))

    def _move(self, place: int, tensor: Tensor) -> None:
        """Move a flat tensor into shared memory, and note the copies of all ranks at its place."""
        if place < len(self._moved):
            views = self._moved[place]
            if not views or views[self.rank].data_ptr() == tensor.data_ptr():
                return  # moved already: these views hold the memory, so no other tensor can have its address
            del self._moved[place:]
        storage = tensor.untyped_storage()
        fd = share_memory(storage) if _free_bytes() >= storage.nbytes() * self.world else None
        views = [view.view(tensor.dtype) for view in self._exchange(storage.nbytes(), fd)]
        if views:
            start = tensor.storage_offset()
            views = [view[start : start + tensor.numel()] for view in views]
            views[self.rank] = tensor
        self._moved.append(views)

    def _exchange(self, size: int, fd: int | None) -> list[Tensor]:
        """Pass this rank's memory to all ranks; the memory of each, by rank; none if a rank has none."""
        self._links.send(size, fd)
        received = self._links.receive()
        fds = {self.rank: fd} | {peer: theirs for peer, (_, theirs) in received.items()}
        try:
            self._compare(size, {peer: number for peer, (number, _) in received.items()})
            if any(each is None for each in fds.values()):
                return []
            return [
                torch.from_file(f"/proc/self/fd/{fds[rank]}", shared=True, size=size, dtype=torch.uint8)
                for rank in range(self.world)
            ]
        finally:
            for _, theirs in received.values():
                if theirs is not None:
                    os.close(theirs)

    def _barrier(self, size: int) -> None:
        """Wait until all ranks are at the same sum."""
        self._links.send(size)
        self._compare(size, {peer: number for peer, (number, _) in self._links.receive().items()})

    def _compare(self, size: int, sizes: dict[int, int]) -> None:
        for peer, theirs in sizes.items():
            if theirs != size:
                raise ValueError(f"rank {peer} sums {theirs} where rank {self.rank} sums {size} bytes")


def _pieces(views: Sequence[Tensor], rank: int) -> list[Sequence[Tensor]]:
    """The slice that `rank` adds up, in pieces: of its own copy first, then of the others'."""
    world, count, width = len(views), views[0].numel(), views[0].element_size()
    lines = -(-count * width // ALIGN)
    start, end = (lines * edge // world * ALIGN // width for edge in (rank, rank + 1))
    order = [*range(rank, world), *range(rank)]
    return [_chunks(views[each][start:end], _PIECE) for each in order]


def _chunks(flat: Tensor, size: int) -> tuple[Tensor, ...]:
    """A flat tensor in views of `size` bytes; at least one."""
    return torch.split(flat, size // flat.element_size())


def _free_bytes() -> int:
    """Bytes of shared memory that are free; containers often have little of it."""
    try:
        free = os.statvfs(_SHM)
    except OSError:
        return 0
    return free.f_bavail * free.f_frsize
