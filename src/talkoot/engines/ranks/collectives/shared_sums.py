"""Sums of tensors over the ranks of one machine, through shared memory.

Small tensors go over a **stage**: each rank writes what it has into memory that all see, says so, and adds up
what the others wrote, in order of rank. That takes one exchange of words. Large ones are themselves **moved**
into shared memory when they are first met: each rank then adds up its slice of all ranks' tensors and writes
the sum into every one of them (a reduce-scatter and an all-gather without a copy between). That takes two
exchanges of words, and each rank reads and writes as many bytes as the tensor has, however many ranks there
are.

The memory keeps no name in any file system, so it is gone with the last process that holds it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor
from torch.distributed.distributed_c10d import Store

from talkoot.engines.processes.memory import ALIGN, anonymous, layout
from talkoot.engines.ranks.collectives.links import Links, PeerLost, PeerSilent, same_host

__all__ = ["PeerLost", "PeerSilent", "SharedSum", "same_host"]

STAGE = 1 << 20  # bytes that go over the stage at once
_PIECE = 1 << 17  # bytes that are added up at once: several of them fit into a core's cache
_SHM = "/dev/shm"  # where torch asks for shared memory


@final
class SharedSum:
    """Sums over the ranks of one machine, with the same bits on all of them.

    Not for use by several threads at once. All ranks call the same methods in the same order, with tensors of
    the same sizes. After an error nothing but `close` is of use: tensors that were being summed are spoilt.

    Args:
        links: to the other ranks; owned from here on.

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
        self._moved: list[list[Tensor]] = []  # by place, then by rank; no ranks where memory was short
        fd = anonymous()
        try:
            os.ftruncate(fd, 2 * STAGE)
            self._stages = [view.view(2, STAGE) for view in self._exchange(2 * STAGE, fd)]
        finally:
            os.close(fd)

    @classmethod
    def join(cls, store: Store, *, rank: int, world: int, timeout: float) -> SharedSum:
        """Meet the other ranks.

        Args:
            store: with a prefix that belongs to these ranks alone, and to this one meeting.
            rank: this process, from 0.
            world: how many ranks there are.
            timeout: seconds that a rank may keep the others waiting, now and later.

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

        Args:
            tensor: contiguous, on the CPU, of any shape and size, and any dtype that torch adds.

        Raises:
            ValueError: the tensor lies elsewhere, or is not contiguous.
            PeerLost: a rank is gone.
            PeerSilent: a rank kept the others waiting for longer than the timeout.
        """
        if tensor.device.type != "cpu" or not tensor.is_contiguous():
            raise ValueError(
                f"only contiguous tensors on the CPU can be summed here, not one on {tensor.device}"
            )
        with torch.no_grad():
            for chunk in _chunks(tensor.view(-1), STAGE):
                self._over_stage([chunk], None)
        return tensor

    def mean(self, tensors: Sequence[Tensor]) -> None:
        """Replace flat tensors by their means over all ranks.

        Where they are large, their storages are moved into shared memory, kept, and found there again next
        time: give the same tensors, at the same places, again and again, as the buckets of gradients are.

        Raises:
            PeerLost: a rank is gone.
            PeerSilent: a rank kept the others waiting for longer than the timeout.
        """
        scale = 1.0 / self.world
        with torch.no_grad():
            if layout(tensor.nbytes for tensor in tensors)[1] <= STAGE:
                self._over_stage(tensors, scale)
                return
            for place, tensor in enumerate(tensors):
                self._move(place, tensor)
            del self._moved[len(tensors) :]
            self._in_place([views for views in self._moved if views], scale)
            for tensor, views in zip(tensors, self._moved, strict=True):
                if not views:
                    for chunk in _chunks(tensor, STAGE):
                        self._over_stage([chunk], scale)

    def close(self) -> None:
        """Leave the other ranks; never waits. Whoever still waits for this one gets a `PeerLost`."""
        self._links.close()
        self._moved, self._stages, self.pending = [], [], []

    def _over_stage(self, tensors: Sequence[Tensor], scale: float | None) -> None:
        """Sum tensors that fit on the stage together.

        The stage has two halves in turn. When one is written again, all ranks have said that they wrote the
        other one, and they do so only after they have read this one.
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
        self._agree(sum(x.nbytes for x in tensors))
        for x, (first, *others) in zip(tensors, staged, strict=True):
            if not others:
                x.copy_(first)
                continue
            torch.add(first, others[0], out=x)
            for other in others[1:]:
                x.add_(other)

    def _in_place(self, tensors: Sequence[list[Tensor]], scale: float) -> None:
        """Average flat tensors in shared memory, each given as the memory of every rank.

        Each rank adds up its own slice of them and writes that to all.
        """
        self._agree(sum(views[0].nbytes for views in tensors))
        for views in tensors:
            own, *others = _pieces(views, self.rank)
            for piece, *theirs in zip(own, *others, strict=True):
                for their in theirs:
                    piece.add_(their)
                piece.mul_(scale)
                for their in theirs:
                    their.copy_(piece)
        self._agree(len(tensors))

    def _move(self, place: int, tensor: Tensor) -> None:
        """See to it that a flat tensor lies in shared memory, and that its place knows every rank's."""
        if place < len(self._moved):
            known = self._moved[place]
            if not known or known[self.rank].data_ptr() == tensor.data_ptr():
                return  # what is known is kept, so no other tensor can have its address
            del self._moved[place:]
        storage = tensor.untyped_storage()
        fd = storage._share_fd_cpu_()[0] if _room() >= storage.nbytes() * self.world else None
        views = [view.view(tensor.dtype) for view in self._exchange(storage.nbytes(), fd)]
        if views:
            start = tensor.storage_offset()
            views = [view[start : start + tensor.numel()] for view in views]
            views[self.rank] = tensor
        self._moved.append(views)

    def _exchange(self, size: int, fd: int | None) -> list[Tensor]:
        """Pass own memory to all ranks; the bytes of every rank's, by rank; none if one has no memory."""
        self._links.say(size, fd)
        heard = self._links.hear()
        fds = {self.rank: fd} | {peer: theirs for peer, (_, theirs) in heard.items()}
        try:
            self._compare(size, {peer: number for peer, (number, _) in heard.items()})
            if any(each is None for each in fds.values()):
                return []
            return [
                torch.from_file(f"/proc/self/fd/{fds[rank]}", shared=True, size=size, dtype=torch.uint8)
                for rank in range(self.world)
            ]
        finally:
            for _, theirs in heard.values():
                if theirs is not None:
                    os.close(theirs)

    def _agree(self, size: int) -> None:
        """Wait until all ranks have come to the same point."""
        self._links.say(size)
        self._compare(size, {peer: number for peer, (number, _) in self._links.hear().items()})

    def _compare(self, size: int, heard: dict[int, int]) -> None:
        for peer, theirs in heard.items():
            if theirs != size:
                raise ValueError(f"rank {peer} sums {theirs} where rank {self.rank} sums {size} bytes")


def _pieces(views: Sequence[Tensor], rank: int) -> list[Sequence[Tensor]]:
    """The slice that `rank` adds up, in pieces, of its own memory first and then of the others'."""
    world, count, width = len(views), views[0].numel(), views[0].element_size()
    lines = -(-count * width // ALIGN)
    start, end = (lines * edge // world * ALIGN // width for edge in (rank, rank + 1))
    order = [*range(rank, world), *range(rank)]
    return [_chunks(views[each][start:end], _PIECE) for each in order]


def _chunks(flat: Tensor, size: int) -> tuple[Tensor, ...]:
    """A flat tensor in views of `size` bytes; at least one."""
    return torch.split(flat, size // flat.element_size())


def _room() -> int:
    """Bytes of shared memory that are free; containers often have little of it."""
    try:
        free = os.statvfs(_SHM)
    except OSError:
        return 0
    return free.f_bavail * free.f_frsize
