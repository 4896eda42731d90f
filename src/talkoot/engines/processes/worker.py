"""A worker process: holds the shards of some nodes, does their rounds, and says at any time how it is."""

from __future__ import annotations

import ctypes
import faulthandler
import gc
import os
import signal
import socket
import sys
import threading
import time
from functools import partial

import numpy as np
import pyarrow as pa

from talkoot.engines.processes import wire
from talkoot.engines.processes.heartbeat import Heartbeat
from talkoot.engines.processes.host import Host
from talkoot.engines.processes.messages import Load, PlacePlan, RoundRequest, Task

BEAT = 1.0  # seconds between signs of life
_DEATH = 1  # prctl: the signal to get when the parent dies


def main(channel: int, page: int, server: int) -> None:
    """Work until the other side of the socket is gone.

    `channel` and `page` are descriptors of the socket and the board; `server` is the process that forks.
    """
    _die_with(server)
    board = Heartbeat(page)
    faulthandler.enable(os.dup(page))
    pa.set_cpu_count(1)
    np.random.seed()  # or all forked processes would draw the same numbers
    threading.Thread(target=_beat, args=(board, server), daemon=True).start()
    with socket.socket(fileno=channel) as sock:
        try:
            _serve(sock, board)
        except (EOFError, ConnectionError):
            return


def _serve(sock: socket.socket, board: Heartbeat) -> None:
    host = Host()
    while True:
        message = wire.receive(sock)
        if isinstance(message, Load):
            host.load(message, [wire.borrow(sock) for _ in range(message.segments)])
        elif isinstance(message, PlacePlan):
            host.place(message, [wire.borrow(sock) for _ in range(message.segments)])
        elif isinstance(message, Task):
            message.run(sock, host)
        elif isinstance(message, RoundRequest):
            for answer in host.round(message, partial(wire.receive, sock), board):
                wire.send(sock, answer)
        else:
            host.clear()
            gc.collect()


def _die_with(server: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_DEATH, signal.SIGKILL)
    if os.getppid() != server:
        os._exit(1)


def _beat(board: Heartbeat, server: int) -> None:
    while os.getppid() == server:
        board.beat()
        time.sleep(BEAT)
    os._exit(1)
