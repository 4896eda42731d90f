"""The process that forks workers: it has imported what they need, runs no threads, and ends with its parent.

Not multiprocessing's: that one imports the user's script again, which runs it again where it lacks
``if __name__ == "__main__"``.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
import struct
import time
import traceback
from collections.abc import Sequence
from importlib import import_module

from talkoot.engines.processes import worker

READY = b"!"
FORK, REAP = b"f", b"r"
ASK = struct.Struct("=ci")  # what, and the process it is about
ANSWER = struct.Struct("=i")  # the new process, or the exit status of an old one
_DESCRIPTORS = 2
_GRACE = 0.05  # seconds
_PATIENCE = 1000  # milliseconds between looks at whether the parent is still there


def main(descriptor: int, parent: int, modules: Sequence[str]) -> None:
    """Import `modules`, report that over the socket to the parent, and serve until the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    preload(modules)
    gc.freeze()  # so that collections in workers do not touch, and thereby copy, these pages
    with socket.socket(fileno=descriptor) as control:
        children: set[int] = set()
        try:
            with contextlib.suppress(ConnectionError):  # the parent is gone, which is how it always ends
                control.sendall(READY)
                _serve(control, parent, children)
        finally:
            for child in children:
                _reap(child)


def preload(modules: Sequence[str]) -> None:
    """Import what workers need, or would. Who needs what cannot be imported will see why."""
    for module in modules:
        with contextlib.suppress(Exception):
            import_module(module)


def _serve(control: socket.socket, parent: int, children: set[int]) -> None:
    waiting = select.poll()
    waiting.register(control, select.POLLIN)
    while os.getppid() == parent:
        if not waiting.poll(_PATIENCE):
            continue
        asked, descriptors, _, _ = socket.recv_fds(control, ASK.size, _DESCRIPTORS)
        if len(asked) < ASK.size:
            return
        what, child = ASK.unpack(asked)
        if what == FORK:
            child = _fork(control, descriptors)
            children.add(child)
            control.sendall(ANSWER.pack(child))
        elif what == REAP:
            children.discard(child)
            control.sendall(ANSWER.pack(_reap(child)))


def _fork(control: socket.socket, descriptors: list[int]) -> int:
    server = os.getpid()
    child = os.fork()
    if child:
        for descriptor in descriptors:
            os.close(descriptor)
        return child
    channel, page = descriptors
    status = 1
    try:
        control.close()
        gc.enable()
        worker.main(channel, page, server)
        status = 0
    except BaseException:
        os.write(page, traceback.format_exc().encode())  # its last words
    finally:
        os._exit(status)  # never back into the server's own frames


def _reap(child: int) -> int:
    """End a child, if it has not ended, and return its exit status as `os.waitpid` gives it.

    One that is about to end by itself gets the time to: how it ends says why.
    """
    ends = time.monotonic() + _GRACE
    with contextlib.suppress(ChildProcessError):
        while time.monotonic() < ends:
            pid, status = os.waitpid(child, os.WNOHANG)
            if pid:
                return status
            time.sleep(_GRACE / 50)
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(child, 0)[1]
    return 0
