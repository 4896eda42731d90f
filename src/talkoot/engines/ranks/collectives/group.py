"""The ranks of one epoch: a process group of their own, that ends with the epoch."""

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
from talkoot.engines.ranks.collectives.shared_sums import PeerLost, SharedSum, same_host

_HEAD = 8  # bytes of the length before a payload
_LEAST = 4096  # bytes that a gathering makes room for at least
_LOOK = 0.002  # seconds between looks at whether others have come, or have been given up


@final
class GroupBroken(Exception):
    """A rank is gone, so what the ranks were doing together did not happen."""


@final
class Withdrawn(Exception):
    """The epoch is over before it began: the ranks that it is made of have changed."""


class Peers(Protocol):
    """All ranks of a run, seen from one of them."""

    rank: int
    world: int
    shared: SharedSum | None

    def gather(self, payload: bytes) -> list[bytes]:
        """What every rank says, by rank."""

    def start_gather(self, payload: bytes) -> Callable[[], list[bytes]]:
        """Start gathering; the function that is returned waits for it and gives what every rank said."""

    def add(self, tensor: torch.Tensor) -> None:
        """Sum a tensor over all ranks, in place, with the same bits everywhere."""

    def swap(self, parts: Sequence[np.ndarray], sizes: Sequence[int]) -> list[np.ndarray]:
        """Send a part to each rank, and get one from each.

        Args:
            parts: for each rank bytes, (n,) uint8.
            sizes: how many bytes come from each.
        """

    def numbers(self, mine: Sequence[float]) -> np.ndarray:
        """A few numbers of every rank: (ranks, numbers)."""

    def share_memory(self) -> SharedSum | None:
        """Sums through shared memory, where all ranks are on this machine."""

    def aside(self) -> Any:
        """Another process group of the same ranks, for what goes on meanwhile; None for one rank."""

    def close(self) -> Any:
        """Leave.

        Returns:
            What is left: connections and threads, which end when it is dropped and nobody else has it.
        """


@final
class Alone:
    """A process without peers."""

    rank, world = 0, 1
    shared: SharedSum | None = None

    def gather(self, payload: bytes) -> list[bytes]:
        """What it says itself."""
        return [payload]

    def start_gather(self, payload: bytes) -> Callable[[], list[bytes]]:
        """The same, later."""
        return lambda: [payload]

    def add(self, tensor: torch.Tensor) -> None:
        """There is nothing to add."""

    def swap(self, parts: Sequence[np.ndarray], sizes: Sequence[int]) -> list[np.ndarray]:
        """The part for itself."""
        del sizes
        return list(parts)

    def numbers(self, mine: Sequence[float]) -> np.ndarray:
        """One row."""
        return np.array([mine], dtype=np.float64)

    def share_memory(self) -> None:
        """There is nobody to share with."""

    def aside(self) -> None:
        """There is nobody to talk to."""

    def close(self) -> None:
        """There is nobody to leave."""


@final
class Group:
    """Ranks that can talk to all others of one epoch.

    Every epoch has a prefix of its own in the store: torch's own restarts reuse keys, and break there.

    Args:
        store: where ranks find each other.
        epoch: its number.
        rank: this process, from 0.
        world: how many ranks there are.
        timeout: seconds that one of them may keep the others waiting.
        patience: seconds that one of them may take to come.
        withdrawn: asked while waiting for the others: whether to stop waiting.

    Raises:
        Withdrawn: `withdrawn` said so.
        NodeSilent: a rank did not come.
        PlanError: two processes are the same rank, or count the ranks differently.
        GroupBroken: one went away again.
    """

    def __init__(
        self,
        store: Any,
        *,
        epoch: int,
        rank: int,
        world: int,
        timeout: float,
        patience: float,
        withdrawn: Callable[[], bool] = lambda: False,
    ) -> None:
        self.epoch, self.rank, self.world, self.timeout = epoch, rank, world, timeout
        self._store = dist.PrefixStore(f"talkoot/{epoch}", store)
        self._room = _LEAST
        self.shared: SharedSum | None = None
        self._meet(patience, withdrawn)
        self.owned = not dist.is_initialized()
        if self.owned:
            with broken():
                dist.init_process_group(
                    "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
                    store=dist.PrefixStore("group", self._store),
                    rank=rank,
                    world_size=world,
                    timeout=timedelta(seconds=timeout),
                )

    def _meet(self, patience: float, withdrawn: Callable[[], bool]) -> None:
        """Wait until all ranks are there."""
        mine = f"{self.world} {secrets.token_hex(8)}"
        if self._store.compare_set(f"here/{self.rank}", "", mine).decode() != mine:
            raise _contradiction(f"two processes are rank {self.rank} of {self.world}")
        ends = time.monotonic() + patience
        for rank in range(self.world):
            while not self._store.check([f"here/{rank}"]):
                if withdrawn():
                    raise Withdrawn
                if time.monotonic() > ends:
                    raise NodeSilent(
                        f"it did not come within {patience:g} s",
                        node=f"rank {rank}",
                        step="joining",
                        cure="See whether it was started, and whether it reaches the first rank's address.",
                    )
                time.sleep(_LOOK)
            world = self._store.get(f"here/{rank}").decode().split()[0]
            if world != str(self.world):
                raise _contradiction(f"rank {self.rank} is one of {self.world}, and rank {rank} of {world}")

    def share_memory(self) -> SharedSum | None:
        """Sums through shared memory, where all ranks are on this machine; made when first asked for."""
        if self.shared is None and self.world > 1:
            store = dist.PrefixStore("shared", self._store)
            with broken():
                if same_host(store, self.rank, self.world):
                    self.shared = SharedSum.join(
                        store, rank=self.rank, world=self.world, timeout=self.timeout
                    )
        return self.shared

    def aside(self) -> Any:
        """Another process group of the same ranks, for what goes on meanwhile; None for one rank."""
        if self.world == 1:
            return None
        with broken():
            return dist.new_group(backend="gloo", timeout=timedelta(seconds=self.timeout))

    def gather(self, payload: bytes) -> list[bytes]:
        """What every rank says, by rank."""
        return self.start_gather(payload)()

    def start_gather(self, payload: bytes) -> Callable[[], list[bytes]]:
        """Start gathering; the function that is returned waits for it and gives what every rank said.

        Payloads are padded to the room that the last ones took, so that one exchange is enough as long as
        they keep their size.
        """
        if self.world == 1:
            return lambda: [payload]
        with broken():
            sent = self._exchange(payload)
        return lambda: self._collect(payload, *sent)

    def _exchange(self, payload: bytes) -> tuple[list[torch.Tensor], Any]:
        mine = np.zeros(_HEAD + self._room, dtype=np.uint8)
        mine[:_HEAD] = np.frombuffer(len(payload).to_bytes(_HEAD, "little"), dtype=np.uint8)
        if len(payload) <= self._room:
            mine[_HEAD : _HEAD + len(payload)] = np.frombuffer(payload, dtype=np.uint8)
        theirs = [torch.empty(len(mine), dtype=torch.uint8) for _ in range(self.world)]
        return theirs, dist.all_gather(theirs, torch.from_numpy(mine), async_op=True)

    def _collect(self, payload: bytes, theirs: list[torch.Tensor], work: Any) -> list[bytes]:
        with broken():
            work.wait()
        said = [memoryview(tensor.numpy().data) for tensor in theirs]
        sizes = [int.from_bytes(view[:_HEAD], "little") for view in said]
        enough = max(sizes) <= self._room
        self._room = max(_LEAST, max(sizes))
        if not enough:
            return self.gather(payload)
        return [bytes(view[_HEAD : _HEAD + size]) for view, size in zip(said, sizes, strict=True)]

    def add(self, tensor: torch.Tensor) -> None:
        """Sum a tensor over all ranks, in place, with the same bits everywhere."""
        if self.world > 1:
            with broken():
                if self.shared is not None and tensor.device.type == "cpu":
                    self.shared.all_reduce(tensor)
                else:
                    dist.all_reduce(tensor)

    def swap(self, parts: Sequence[np.ndarray], sizes: Sequence[int]) -> list[np.ndarray]:
        """Send a part to each rank, and get one from each.

        Args:
            parts: for each rank bytes, (n,) uint8.
            sizes: how many bytes come from each.
        """
        theirs = torch.empty(sum(sizes), dtype=torch.uint8)
        mine = torch.from_numpy(np.concatenate(parts))
        with broken():
            dist.all_to_all_single(theirs, mine, [*sizes], [part.nbytes for part in parts])
        return np.split(theirs.numpy(), np.cumsum(sizes)[:-1])

    def numbers(self, mine: Sequence[float]) -> np.ndarray:
        """A few numbers of every rank: (world, numbers)."""
        row = torch.tensor(mine, dtype=torch.float64)
        table = [torch.empty_like(row) for _ in range(self.world)]
        if self.world == 1:
            return row.numpy()[None]
        with broken():
            dist.all_gather(table, row)
        return np.stack([t.numpy() for t in table])

    def close(self) -> Any:
        """Leave; whoever still waits for this rank hears of it once what is left has been dropped."""
        if self.shared is not None:
            self.shared.close()
            self.shared = None
        if not self.owned or not dist.is_initialized():
            return None
        left = dist.group.WORLD
        dist.destroy_process_group()
        return left


def _contradiction(cause: str) -> PlanError:
    return PlanError(cause, step="joining", cure="Give every process a RANK of its own and one WORLD_SIZE.")


@final
class broken:
    """A context in which the errors of a wire that breaks become `GroupBroken`."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PeerLost | dist.DistError) or (
            isinstance(error, RuntimeError) and is_wire(error)
        ):
            raise GroupBroken(str(error)) from error


def is_wire(error: BaseException) -> bool:
    """Whether torch speaks of a connection, not of somebody's arithmetic."""
    text = str(error)
    return any(
        word in text
        for word in ("gloo", "Connection", "connection", "ncclUnhandled", "Socket", "store", "PeerLost")
    )
