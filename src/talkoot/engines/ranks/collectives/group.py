"""The ranks of one epoch: a process group that ends with the epoch."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, Protocol, final

import numpy as np
import torch
import torch.distributed as dist
import torch.distributed.nn  # imported later, its defaults would hold on to the group of that moment

from talkoot.core.errors import NodeSilent, PlanError
from talkoot.engines.ranks.collectives.gpus import backend, own_gpu
from talkoot.engines.ranks.collectives.links import same_host
from talkoot.engines.ranks.collectives.shared_sums import SharedSum
from talkoot.engines.ranks.collectives.torch_errors import is_connection_error

_HEADER = 8  # bytes of the length before a payload
_MIN_BYTES = 4096  # smallest buffer of an all-gather
_POLL = 0.002  # seconds between looks at whether the others have come


@final
class GroupBroken(Exception):
    """A rank is gone, so the collective operation under way did not happen."""


@final
class EpochCancelled(Exception):
    """The ranks changed before this epoch began."""


class Peers(Protocol):
    """All ranks of a run, seen from one of them."""

    rank: int
    world: int
    shared: SharedSum | None

    def all_gather(self, payload: bytes) -> list[bytes]:
        """The payloads of all ranks, by rank."""

    def start_all_gather(self, payload: bytes) -> Callable[[], list[bytes]]:
        """Start an all-gather; the returned function waits for it and gives the payloads of all ranks."""

    def all_reduce(self, tensor: torch.Tensor) -> None:
        """Sum a tensor over all ranks, in place, with the same bits everywhere."""

    def all_to_all(self, parts: Sequence[np.ndarray], sizes: Sequence[int]) -> list[np.ndarray]:
        """Send a part to each rank, (n,) uint8, and get one from each, of so many bytes."""

    def gather_numbers(self, mine: Sequence[float]) -> np.ndarray:
        """A few numbers of every rank: (ranks, numbers)."""

    def share_memory(self) -> SharedSum | None:
        """Sums through shared memory, where all ranks are on this machine."""

    def new_group(self) -> Any:
        """Another process group of the same ranks, to be used at the same time; None for one rank."""

    def close(self) -> Any:
        """Leave; connections and threads end when the last reference to the returned object is dropped."""


@final
class SingleRank:
    """A group of one rank."""

    rank, world = 0, 1
    shared: SharedSum | None = None

    def all_gather(self, payload: bytes) -> list[bytes]:
        """Its own payload."""
        return [payload]

    def start_all_gather(self, payload: bytes) -> Callable[[], list[bytes]]:
        """Its own payload, later."""
        return lambda: [payload]

    def all_reduce(self, tensor: torch.Tensor) -> None:
        """The tensor is the sum."""

    def all_to_all(self, parts: Sequence[np.ndarray], sizes: Sequence[int]) -> list[np.ndarray]:
        """The part for itself."""
        return list(parts)

    def gather_numbers(self, mine: Sequence[float]) -> np.ndarray:
        """One row."""
        return np.array([mine], dtype=np.float64)

    def share_memory(self) -> None:
        """No peers, so no shared memory."""

    def new_group(self) -> None:
        """No peers, so no group."""

    def close(self) -> None:
        """There is nothing to close."""


@final
class Group:
    """The ranks of one epoch, over torch.distributed.

    Every epoch has its own prefix in the store: torch's restarts reuse keys, and fail on them.

    Raises:
        EpochCancelled: `cancelled` returned True.
        NodeSilent: a rank did not come.
        PlanError: two processes are the same rank, or count the ranks differently.
        GroupBroken: a rank left again.
    """

    def __init__(
        self,
        store: Any,
        *,
        epoch: int,
        rank: int,
        world: int,
        timeout: float,  # seconds that a rank may keep the others waiting
        patience: float,  # seconds that a rank may take to come
        cancelled: Callable[[], bool] = lambda: False,  # whether to stop waiting for the others
    ) -> None:
        self.epoch, self.rank, self.world, self.timeout = epoch, rank, world, timeout
        self._store = dist.PrefixStore(f"talkoot/{epoch}", store)
        self._capacity = _MIN_BYTES
        self.shared: SharedSum | None = None
        gpus = self._meet(patience, cancelled)
        self.owned = not dist.is_initialized()
        if self.owned:
            with as_group_broken():
                dist.init_process_group(
                    backend(gpus),
                    store=dist.PrefixStore("group", self._store),
                    rank=rank,
                    world_size=world,
                    timeout=timedelta(seconds=timeout),
                )

    def _meet(self, patience: float, cancelled: Callable[[], bool]) -> list[str]:
        """Wait until all ranks are there; returns their GPUs."""
        mine, gpus = f"{self.world} {own_gpu()} {secrets.token_hex(8)}", []
        if self._store.compare_set(f"here/{self.rank}", "", mine).decode() != mine:
            raise _contradiction(f"two processes are rank {self.rank} of {self.world}")
        ends = time.monotonic() + patience
        for rank in range(self.world):
            while not self._store.check([f"here/{rank}"]):
                if cancelled():
                    raise EpochCancelled
                if time.monotonic() > ends:
                    raise NodeSilent(
                        f"it did not come within {patience:g} s",
                        node=f"rank {rank}",
                        step="joining",
                        cure="See whether it was started, and whether it reaches the first rank's address.",
                    )
                time.sleep(_POLL)
            world, gpu, _ = self._store.get(f"here/{rank}").decode().split()
            if world != str(self.world):
                raise _contradiction(f"rank {self.rank} is one of {self.world}, and rank {rank} of {world}")
            gpus.append(gpu)
        return gpus

    def share_memory(self) -> SharedSum | None:
        """Sums through shared memory, where all ranks are on this machine; made at the first call."""
        if self.shared is None and self.world > 1:
            store = dist.PrefixStore("shared", self._store)
            with as_group_broken():
                if same_host(store, self.rank, self.world):
                    self.shared = SharedSum.join(
                        store, rank=self.rank, world=self.world, timeout=self.timeout
                    )
        return self.shared

    def new_group(self) -> Any:
        """Another process group of the same ranks, to be used at the same time; None for one rank."""
        if self.world == 1:
            return None
        with as_group_broken():
            return dist.new_group(backend="gloo", timeout=timedelta(seconds=self.timeout))

    def all_gather(self, payload: bytes) -> list[bytes]:
        """The payloads of all ranks, by rank."""
        return self.start_all_gather(payload)()

    def start_all_gather(self, payload: bytes) -> Callable[[], list[bytes]]:
        """Start an all-gather; the returned function waits for it and gives the payloads of all ranks.

        Payloads are padded to the size of the last largest one: as long as sizes do not grow, one exchange is
        enough.
        """
        if self.world == 1:
            return lambda: [payload]
        with as_group_broken():
            sent = self._exchange(payload)
        return lambda: self._collect(payload, *sent)

    def _exchange(self, payload: bytes) -> tuple[list[torch.Tensor], Any]:
        mine = np.zeros(_HEADER + self._capacity, dtype=np.uint8)
        mine[:_HEADER] = np.frombuffer(len(payload).to_bytes(_HEADER, "little"), dtype=np.uint8)
        if len(payload) <= self._capacity:
            mine[_HEADER : _HEADER + len(payload)] = np.frombuffer(payload, dtype=np.uint8)
        theirs = [torch.empty(len(mine), dtype=torch.uint8) for _ in range(self.world)]
        return theirs, dist.all_gather(theirs, torch.from_numpy(mine), async_op=True)

    def _collect(self, payload: bytes, theirs: list[torch.Tensor], work: Any) -> list[bytes]:
        with as_group_broken():
            work.wait()
        views = [memoryview(tensor.numpy().data) for tensor in theirs]
        sizes = [int.from_bytes(view[:_HEADER], "little") for view in views]
        enough = max(sizes) <= self._capacity
        self._capacity = max(_MIN_BYTES, max(sizes))
        if not enough:
            return self.all_gather(payload)
        return [bytes(view[_HEADER : _HEADER + size]) for view, size in zip(views, sizes, strict=True)]

    def all_reduce(self, tensor: torch.Tensor) -> None:
        """Sum a tensor over all ranks, in place, with the same bits everywhere."""
        if self.world > 1:
            with as_group_broken():
                if self.shared is not None and tensor.device.type == "cpu":
                    self.shared.all_reduce(tensor)
                else:
                    dist.all_reduce(tensor)

    def all_to_all(self, parts: Sequence[np.ndarray], sizes: Sequence[int]) -> list[np.ndarray]:
        """Send a part to each rank, and get one from each."""
        theirs = torch.empty(sum(sizes), dtype=torch.uint8)
        mine = torch.from_numpy(np.concatenate(parts))
        with as_group_broken():
            dist.all_to_all_single(theirs, mine, [*sizes], [part.nbytes for part in parts])
        return np.split(theirs.numpy(), np.cumsum(sizes)[:-1])

    def gather_numbers(self, mine: Sequence[float]) -> np.ndarray:
        """A few numbers of every rank: (world, numbers)."""
        row = torch.tensor(mine, dtype=torch.float64)
        table = [torch.empty_like(row) for _ in range(self.world)]
        if self.world == 1:
            return row.numpy()[None]
        with as_group_broken():
            dist.all_gather(table, row)
        return np.stack([t.numpy() for t in table])

    def close(self) -> Any:
        """Leave; peers that wait for this rank fail once the returned object has been freed."""
        if self.shared is not None:
            self.shared.close()
            self.shared = None
        if not self.owned or not dist.is_initialized():
            return None
        world = dist.group.WORLD
        dist.destroy_process_group()
        return world


def _contradiction(cause: str) -> PlanError:
    return PlanError(cause, step="joining", cure="Give every process a RANK of its own and one WORLD_SIZE.")


@final
class as_group_broken:
    """A context in which errors of connections are raised as `GroupBroken`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None and is_connection_error(error):
            raise GroupBroken(str(error)) from error
