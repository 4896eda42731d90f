"""Real processes that a launcher would start: each has a rank in its environment, and no more."""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from together import RANKS

Work = Callable[..., Any]
QUIET = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}


def port() -> int:
    """One that is free now."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def torchrun(rank: int, world: int, port: int) -> dict[str, str]:
    """What torchrun sets, and whoever sets ranks by hand."""
    return {"RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


@dataclass
class Rank:
    """A process under way."""

    process: BaseProcess
    pipe: Connection
    words: list[Any] = field(default_factory=list)

    def hear(self, deadline: float = 30.0) -> Any:
        """What it says next; its exit code, below 0 for a signal, if it says no more."""
        assert self.pipe.poll(deadline), "a rank hangs"
        try:
            return self.pipe.recv()
        except EOFError:
            self.process.join(5)
            return self.process.exitcode

    def send(self, number: signal.Signals) -> None:
        """Signal it."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)


@contextmanager
def ranks(work: Work, *args: Any, environs: Sequence[Mapping[str, str]]) -> Iterator[list[Rank]]:
    """``work(say, *args)`` in a process for each environment; `say` sends word here.

    What it returns or raises is said as well. No process outlives this.
    """
    started: list[Rank] = []
    try:
        for environ in environs:
            receive, send = RANKS.Pipe(duplex=False)
            process = RANKS.Process(target=_rank, args=(send, dict(environ), work, args))
            process.start()
            send.close()
            started.append(Rank(process, receive))
        yield started
    finally:
        for rank in started:
            with suppress(ProcessLookupError):
                rank.send(signal.SIGCONT)
            rank.process.join(0.0 if sys.exc_info()[0] else 5)
            rank.process.kill()
            rank.process.join()


def said(work: Work, *args: Any, world: int = 2, deadline: float = 40.0) -> list[Any]:
    """What every rank returned or raised."""
    free = port()
    environs = [torchrun(rank, world, free) for rank in range(world)]
    with ranks(work, *args, environs=environs) as started:
        return [rank.hear(deadline) for rank in started]


def _rank(pipe: Connection, environ: dict[str, str], work: Work, args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(QUIET | environ)
    import torch

    torch.set_num_threads(1)
    try:
        result = work(pipe.send, *args)
    except Exception as error:
        error.__cause__ = None
        result = error
    pipe.send(result)
    pipe.close()


def waited(until: Callable[[], bool], seconds: float = 20.0) -> None:
    """Wait for something."""
    ends = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < ends, "it did not come"
        time.sleep(0.02)
