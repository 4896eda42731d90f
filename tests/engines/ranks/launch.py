"""Real processes that a launcher would start: each has a rank in its environment, and no more."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

from forks import FORKS
from patience import patient
from ports import port

Work = Callable[..., Any]
QUIET = {"GLOO_SOCKET_IFNAME": "lo", "OMP_NUM_THREADS": "1"}


def torchrun(rank: int, world: int, port: int) -> dict[str, str]:
    """What torchrun sets, and whoever sets ranks by hand."""
    return {"RANK": str(rank), "WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}


@dataclass
class Rank:
    """A process under way."""

    process: BaseProcess
    pipe: Connection

    def receive(self) -> Any:
        """Its next message; after the last one its exit code, below 0 for a signal."""
        assert self.pipe.poll(patient()), "a rank hangs"
        try:
            return self.pipe.recv()
        except EOFError:
            self.process.join(patient())
            return self.process.exitcode

    def send(self, number: signal.Signals) -> None:
        """Signal it."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)


@contextmanager
def ranks(work: Work, *args: Any, environs: Sequence[Mapping[str, str]]) -> Iterator[list[Rank]]:
    """Run ``work(send, *args)`` in a process for each environment; `send` sends a message here.

    What it returns or raises is sent as well. No process outlives this.
    """
    started: list[Rank] = []
    try:
        for environ in environs:
            receive, send = FORKS.Pipe(duplex=False)
            process = FORKS.Process(target=_rank, args=(send, dict(environ), work, args))
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


def outcomes(work: Work, *args: Any, world: int = 2) -> list[Any]:
    """What every rank returned or raised."""
    free = port()
    environs = [torchrun(rank, world, free) for rank in range(world)]
    with ranks(work, *args, environs=environs) as started:
        return [rank.receive() for rank in started]


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
