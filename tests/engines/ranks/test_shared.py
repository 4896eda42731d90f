"""Sums through shared memory: between real processes, that are killed and stopped."""

from __future__ import annotations

import gc
import itertools
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("torch")

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch._C._distributed_c10d import FileStore, HashStore, PrefixStore, Store
from torch.nn.parallel import DistributedDataParallel

from forks import FORKS
from patience import NEVER, patient
from talkoot.engines.ranks.collectives import links
from talkoot.engines.ranks.collectives import shared_sums as shared
from talkoot.engines.ranks.collectives.hook import hook
from talkoot.engines.ranks.collectives.links import PeerLost, PeerSilent, same_host
from talkoot.engines.ranks.collectives.shared_sums import SharedSum

STAGE, PIECE = 1 << 14, 1 << 11  # bytes; less than usual, which makes small tensors large
SIZES = [0, 1, 15, 1001, STAGE // 4, STAGE // 4 + 1, 3 * STAGE // 4 + 17]
DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.int64]


_NUMBERS = itertools.count()
_STARTED: list[int | None] = []  # processes


# Ranks


def rank_main(pipe: Any, work: Callable[..., Any], rank: int, world: int, path: Path, *args: Any) -> None:
    torch.set_num_threads(1)
    shared.STAGE, shared._PIECE = STAGE, PIECE
    try:
        pipe.send(work(FileStore(str(path), world), rank, world, *args))
    except BaseException as error:
        pipe.send(repr(error))
        raise


@contextmanager
def ranks(tmp: Path, world: int, work: Callable[..., Any], *args: Any) -> Iterator[list[Any]]:
    """A pipe to each of the processes that run ``work(store, rank, world, *args)``."""
    path = tmp / f"store-{next(_NUMBERS)}"
    pipes = [FORKS.Pipe(duplex=False) for _ in range(world)]
    processes = [
        FORKS.Process(target=rank_main, args=(send, work, rank, world, path, *args))
        for rank, (_, send) in enumerate(pipes)
    ]
    try:
        for process in processes:
            process.start()
            _STARTED.append(process.pid)
        for _, send in pipes:
            send.close()
        yield [receive for receive, _ in pipes]
    finally:
        for process in processes:
            process.join(0.2)
            process.kill()
            process.join()


def answers(tmp: Path, world: int, work: Callable[..., Any], *args: Any) -> list[Any]:
    with ranks(tmp, world, work, *args) as pipes:
        return [answer(pipe) for pipe in pipes]


def answer(pipe: Any) -> Any:
    assert pipe.poll(patient()), "a rank hangs"
    return pipe.recv()


def join(store: Store, rank: int, world: int, timeout: float = NEVER) -> SharedSum:
    return SharedSum.join(PrefixStore("sums", store), rank=rank, world=world, timeout=timeout)


def values(rank: int, size: int, dtype: torch.dtype) -> Tensor:
    noise = torch.randn(
        size, generator=torch.Generator().manual_seed(1000 * rank + size), dtype=torch.float64
    )
    return (100 * noise).to(dtype)


def held() -> set[str]:
    """What this process has open that a sum could have opened."""
    gc.collect()
    links = [f"/proc/self/fd/{fd}" for fd in os.listdir("/proc/self/fd")]
    names = {os.readlink(link) for link in links if os.path.lexists(link)}
    return {name for name in names if any(word in name for word in ("socket", "memfd", "/dev/shm/torch"))}


def left() -> list[str]:
    """Memory with a name that ranks have left behind."""
    names = [name for name in os.listdir("/dev/shm") if name.startswith("torch_")]
    return [name for name in names if int(name.split("_")[1]) in _STARTED]


# Sums


def sum_everything(store: Store, rank: int, world: int) -> Any:
    before = held()
    sums = join(store, rank, world)
    results = []
    for dtype in DTYPES:
        for size in SIZES:
            mine = values(rank, size, dtype)
            assert sums.all_reduce(mine) is mine
            expected = sum(values(other, size, dtype).double() for other in range(world))
            torch.testing.assert_close(
                mine.double(), expected, rtol=0, atol=8.0 if dtype == torch.bfloat16 else 1e-3
            )
            results.append(bytes(mine.view(torch.uint8).numpy()))
    matrix = torch.full((3, 5), float(rank), requires_grad=True)
    sums.all_reduce(matrix)
    assert bool((matrix == world * (world - 1) / 2).all())
    sums.close()
    del sums
    assert held() <= before
    return results


@pytest.mark.parametrize("world", [2, 3, 4])
def test_sums_are_right_and_have_the_same_bits_on_all_ranks(tmp_path: Path, world: int) -> None:
    first, *others = answers(tmp_path, world, sum_everything)
    assert len(first) == len(DTYPES) * len(SIZES), first
    assert all(other == first for other in others)


def average_again_and_again(store: Store, rank: int, world: int, room: int | None) -> Any:
    if room is not None and rank == 1:
        shared._free_bytes = lambda: room
    before, sums, results = held(), join(store, rank, world), []
    for sizes in ([7, 3], [STAGE, 5, 10_003], [STAGE, 5, 10_003], [9, STAGE // 2]):
        tensors = [torch.zeros(size) for size in sizes]
        for turn in range(3):
            for size, tensor in zip(sizes, tensors, strict=True):
                tensor.copy_(values(rank + 10 * turn, size, torch.float32))
            sums.mean(tensors)
            for size, tensor in zip(sizes, tensors, strict=True):
                all_ranks = [values(r + 10 * turn, size, torch.float64) for r in range(world)]
                torch.testing.assert_close(
                    tensor.double(), torch.stack(all_ranks).mean(0), rtol=1e-5, atol=1e-3
                )
            results.append([bytes(tensor.view(torch.uint8).numpy()) for tensor in tensors])
    moved = sum(1 for views in sums._moved if views)
    sums.close()
    del sums, tensor, tensors
    assert held() <= before
    return moved, results


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.parametrize("room", [None, 0, 64 * STAGE])
def test_large_means_are_taken_where_the_tensors_lie(tmp_path: Path, world: int, room: int | None) -> None:
    (moved, first), *others = answers(tmp_path, world, average_again_and_again, room)
    assert moved == (0 if room == 0 else 2)
    assert all(other == (moved, first) for other in others)
    assert left() == []


def sum_unlike(store: Store, rank: int, world: int) -> Any:
    sums = join(store, rank, world)
    with pytest.raises(ValueError, match=rf"rank {1 - rank} sums {8 - 4 * rank} where rank {rank}"):
        sums.all_reduce(torch.ones(1 + rank))
    with pytest.raises(ValueError, match="contiguous"):
        sums.all_reduce(torch.ones(3, 4).T)
    sums.close()
    return "done"


def test_ranks_that_sum_different_things_are_told(tmp_path: Path) -> None:
    assert answers(tmp_path, 2, sum_unlike) == ["done"] * 2


# Losses


def mean_for_ever(sums: SharedSum, tensors: list[Tensor]) -> None:
    while True:
        sums.mean(tensors)


def sum_until_lost(
    store: Store, rank: int, world: int, size: int, victim: int, end: signal.Signals, timeout: float
) -> Any:
    sums = join(store, rank, world)
    tensors = [torch.ones(size)]
    for _ in range(3):
        sums.mean(tensors)
    sums._links.timeout = timeout  # from now on, as all are there
    if rank == victim:
        original, calls = sums._links.receive, iter(range(2))

        def receive() -> Any:
            if next(calls) == 1 or size < STAGE // 4:  # after it has sent that it is there
                os.kill(os.getpid(), end)
            return original()

        sums._links.receive = receive  # type: ignore[method-assign]
    with pytest.raises(PeerLost) as caught:
        mean_for_ever(sums, tensors)
    with pytest.raises(PeerLost, match=f"rank {victim} "):
        sums.all_reduce(torch.ones(1))
    sums.close()
    sums.close()
    return caught.value.rank, type(caught.value) is PeerSilent


@pytest.mark.parametrize(("world", "victim", "size"), [(2, 0, 10), (3, 1, 10), (4, 3, STAGE)])
def test_a_killed_rank_is_named_at_once_by_all_others(
    tmp_path: Path, world: int, victim: int, size: int
) -> None:
    with ranks(tmp_path, world, sum_until_lost, size, victim, signal.SIGKILL, NEVER) as pipes:
        results = [answer(pipe) for rank, pipe in enumerate(pipes) if rank != victim]
    assert results == [(victim, False)] * (world - 1)
    assert left() == []


@pytest.mark.parametrize(("world", "victim", "size"), [(2, 1, 10), (3, 0, STAGE)])
def test_a_stopped_rank_is_named_at_the_deadline(tmp_path: Path, world: int, victim: int, size: int) -> None:
    with ranks(tmp_path, world, sum_until_lost, size, victim, signal.SIGSTOP, patient(3.0)) as pipes:
        results = [answer(pipe) for rank, pipe in enumerate(pipes) if rank != victim]
    assert [rank for rank, _ in results] == [victim] * (world - 1)
    assert any(silent for _, silent in results)


def leave_early(store: Store, rank: int, world: int) -> Any:
    sums = join(store, rank, world)
    sums.all_reduce(torch.ones(1))
    store.set(f"met {rank}", "")
    if rank == 0:
        store.wait([f"met {one}" for one in range(world)])  # who is slow may still be adding
        sums.close()
        return "left"
    with pytest.raises(PeerLost, match="rank 0 (has left|is gone|is lost, as rank . found)"):
        sums.all_reduce(torch.ones(1))
    return "lost"


def test_a_rank_that_leaves_has_left(tmp_path: Path) -> None:
    assert answers(tmp_path, 3, leave_early) == ["left", "lost", "lost"]


def die_with_a_fork(store: Store, rank: int, world: int) -> Any:
    sums = join(store, rank, world)
    if rank == 0:
        fork = os.fork()
        if fork == 0:
            time.sleep(NEVER)
        store.set("fork", str(fork))
        os.kill(os.getpid(), signal.SIGKILL)
    with pytest.raises(PeerLost, match="rank 0 is gone"):
        sums.all_reduce(torch.ones(1))
    os.kill(int(store.get("fork")), signal.SIGKILL)  # raises if it has ended
    return "lost"


def test_a_fork_of_a_dead_rank_does_not_keep_it_alive(tmp_path: Path) -> None:
    with ranks(tmp_path, 2, die_with_a_fork) as pipes:
        assert answer(pipes[1]) == "lost"


def test_a_rank_that_does_not_come_is_named() -> None:
    store = HashStore()
    for rank in range(2):
        before = held()
        with pytest.raises(PeerSilent, match=f"rank {1 - rank} did not come"):
            join(PrefixStore(f"{rank}", store), rank, 2, timeout=0.2)
        assert held() <= before  # what earlier tests left may be collected meanwhile


def test_strangers_are_turned_away() -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind("\0talkoot-test-" + os.urandom(8).hex())
        listener.listen()
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as stranger:
            stranger.connect(listener.getsockname())
            stranger.send(b"who?")
            ends = time.monotonic() + NEVER  # the stranger is here already: nobody waits
            accepted = links._accept(listener, 1, ends)
            assert accepted == {}


# Hosts


def test_ranks_are_on_one_machine_only_if_all_say_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    store = HashStore()
    store.set("host/1", links._host(1))
    assert same_host(store, 0, 2)
    store.set("host/2", "elsewhere")
    assert not same_host(store, 0, 3)
    monkeypatch.setattr(sys, "platform", "darwin")
    assert links._host(0) != links._host(1)


# Gradients


def module(width: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(20, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 3)
    )


def train_both(store: Store, rank: int, world: int, width: int) -> Any:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    dist.init_process_group(
        "gloo",
        store=PrefixStore("gloo", store),
        rank=rank,
        world_size=world,
        timeout=timedelta(seconds=NEVER),
    )
    sums = join(store, rank, world)
    plain = DistributedDataParallel(module(width), bucket_cap_mb=0.02)
    ours = DistributedDataParallel(module(width), bucket_cap_mb=0.02, gradient_as_bucket_view=True)
    ours.register_comm_hook(sums, hook)
    for net in (plain, ours):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9)
        noise = torch.Generator().manual_seed(rank)
        for _ in range(20):
            optimizer.zero_grad()
            x, y = torch.randn(8, 20, generator=noise), torch.randn(8, 3, generator=noise)
            torch.autograd.backward(nn.functional.mse_loss(net(x), y))
            optimizer.step()
    for a, b in zip(plain.parameters(), ours.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-6)
    weights = [bytes(p.detach().view(torch.uint8).numpy()) for p in ours.parameters()]
    moved = len(sums._moved)
    dist.barrier()
    if rank == 0:
        sums.close()
    else:
        with pytest.raises(PeerLost, match="rank 0 (has left|is gone|is lost, as rank . found)"):
            torch.autograd.backward(ours(x).sum())
    del plain, ours, net, optimizer  # a DDP that is freed after its group may wait for it without end
    dist.destroy_process_group()
    return moved, weights


@pytest.mark.parametrize(("world", "width"), [(2, 16), (2, 100), (3, 100)])
def test_training_with_the_hook_is_training_without_it(tmp_path: Path, world: int, width: int) -> None:
    (moved, weights), *others = answers(tmp_path, world, train_both, width)
    assert (moved > 1) == (width == 100)
    assert all(other == (moved, weights) for other in others)
