"""Real processes that are the ranks of a gloo group on this machine."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch._C._distributed_c10d import FileStore

from forks import FORKS
from patience import NEVER, patient

Work = Callable[..., Any]
_NUMBERS = itertools.count()


def together(tmp: Path, world: int, work: Work, *args: Any, patience: float = 60.0) -> list[Any]:
    """What ``work(rank, *args)`` returned or raised at each rank; an exit code below 0 if it was killed."""
    store = tmp / f"store-{next(_NUMBERS)}"
    pipes = [FORKS.Pipe(duplex=False) for _ in range(world)]
    ranks = [
        FORKS.Process(target=_rank, args=(pipes[rank][1], rank, world, store, work, args))
        for rank in range(world)
    ]
    try:
        for rank in ranks:
            rank.start()
        for _, send in pipes:
            send.close()
        return [_answer(receive, rank, patience) for (receive, _), rank in zip(pipes, ranks, strict=True)]
    finally:
        for rank in ranks:
            if rank.is_alive():
                rank.join(5)
            rank.kill()
            rank.join()


@contextmanager
def alone(work: Work, *args: Any) -> Iterator[BaseProcess]:
    """A process of its own, without any group."""
    process = FORKS.Process(target=work, args=args)
    process.start()
    try:
        yield process
    finally:
        process.kill()
        process.join()


def _answer(receive: Connection, rank: Any, patience: float) -> Any:
    assert receive.poll(patient(patience)), "a rank hangs"
    try:
        return receive.recv()
    except EOFError:
        rank.join(patient())
        return rank.exitcode


def _rank(send: Connection, rank: int, world: int, store: Path, work: Work, args: tuple[Any, ...]) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    shared = FileStore(str(store), world)
    dist.init_process_group(
        "gloo", store=shared, rank=rank, world_size=world, timeout=timedelta(seconds=NEVER)
    )
    try:
        result = work(rank, *args)
    except Exception as error:
        result = error
    send.send(result)
    send.close()
