"""Warm workers: kept between fits, lent to one fit at a time, ended with this process."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, final

from talkoot.core.cores import cores
from talkoot.core.errors import NodeLost
from talkoot.engines.processes import edited, forkserver, wire
from talkoot.engines.processes.forkserver import ANSWER, ASK, FORK, READY, REAP
from talkoot.engines.processes.heartbeat import Heartbeat
from talkoot.engines.processes.starting import Process, can_fork, forked, spawned
from talkoot.learners import MODULES

START = 60.0  # seconds until a fork server must be ready, and
REPLY = 10.0  # until it must have forked or ended a worker, or itself
STILL = 5.0  # without a sign of life from an idle worker, after which it is not used again
KEEP = 16  # idle workers that are kept in any case


@final
class Server:
    """A fork server, seen from the process that started it."""

    def __init__(self, modules: Sequence[str], *, inherit: bool) -> None:
        """Start it, and do not wait until it is ready.

        It imports `modules` for all workers; with `inherit` it is a fork of this process where that is safe,
        which will need them as well.
        """
        self._lock = threading.Lock()
        self._ready = False
        self._control, theirs = socket.socketpair()
        if inherit:
            edited.MODULES.note()
            forkserver.preload(modules)
        with theirs:
            start = forked if inherit and can_fork() else spawned
            self._process: Process = start(theirs.fileno(), tuple(modules))

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._control.fileno() >= 0 and self._process.poll() is None

    def fork(self, descriptors: list[int]) -> int:
        """A new worker process that gets `descriptors`.

        Raises:
            OSError, EOFError: the server is gone, or does not answer.
        """
        return self._ask(FORK, 0, descriptors)

    def reap(self, child: int) -> int | None:
        """End a worker and return its exit status as `os.waitpid` gives it; None if the server is gone."""
        try:
            return self._ask(REAP, child, [])
        except (OSError, EOFError):
            return None

    def _ask(self, what: bytes, child: int, descriptors: list[int]) -> int:
        with self._lock:
            try:
                self._wait_ready()
                self._control.settimeout(REPLY)
                socket.send_fds(self._control, [ASK.pack(what, child)], descriptors)
                return int(ANSWER.unpack(wire.exactly(self._control, ANSWER.size))[0])
            except BaseException:  # its answer may still come, and would be taken for that to the next
                self._process.kill()  # its workers go with it
                self.stop()
                raise

    def _wait_ready(self) -> None:
        if not self._ready:
            self._control.settimeout(START)
            wire.exactly(self._control, len(READY))
            self._ready = True

    def stop(self) -> None:
        """End it with all its workers."""
        self._control.close()
        if not self._ready:  # it would import to the end before it noticed
            self._process.kill()
        try:
            self._process.wait(REPLY)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(REPLY)

    def forget(self) -> None:
        """In a fork of this process: the server is the parent's."""
        self._control.close()
        self._process.returncode = 0


@final
class Worker:
    """A worker process, seen from the process that it works for."""

    def __init__(self, server: Server, timeout: float) -> None:
        """Have it forked by a server; `timeout` is the seconds that a message may take to go through."""
        self.board = Heartbeat.make()
        self.sock, theirs = socket.socketpair()
        self._server = server
        try:
            with theirs:
                self.pid = server.fork([theirs.fileno(), self.board.fd])
        except BaseException:
            self.sock.close()
            self.board.close()
            raise
        self.sock.settimeout(timeout)
        self.rest()

    def rest(self) -> None:
        """Nobody needs it from now on."""
        self._rested = time.monotonic(), self.board.beats

    @property
    def alive(self) -> bool:
        """Whether an idle worker can be given work: it beats, and it does not say that it is gone."""
        since, beats = self._rested
        if time.monotonic() - since > STILL and self.board.beats == beats:
            return False
        self.sock.setblocking(False)
        try:
            self.sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def end(self) -> str:
        """End it, if it has not ended, and say how it ended."""
        status = self._server.reap(self.pid)
        words = self.board.last_words()
        self.forget()
        return f"{ending(status)}{f'. Its last words: {words}' if words else ''}"

    def forget(self) -> None:
        """Let go of what this process holds of it."""
        self.sock.close()
        self.board.close()


def ending(status: int | None) -> str:
    """How a process ended, in words.

    >>> ending(9)
    'was killed (SIGKILL), as the system does when memory runs out'
    >>> ending(3 << 8)
    'exited with status 3'
    """
    if status is None:
        return "went down with the process that had forked it"
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exited with status {code}"
    name = signal.Signals(-code).name
    if -code == signal.SIGKILL:
        return f"was killed ({name}), as the system does when memory runs out"
    crashes = (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE)
    return f"crashed in native code ({name})" if -code in crashes else f"was killed ({name})"


def advice_on(cause: str) -> str:
    """What to do about processes that end again and again, by how they ended.

    >>> advice_on(ending(1 << 8))
    'Something in the task ends its process, such as os._exit(); Inline() shows where.'
    """
    if "memory" in cause:
        return "Take fewer workers, or a smaller batch; Inline() shows how much one of them needs."
    if "exited with status" in cause:
        return "Something in the task ends its process, such as os._exit(); Inline() shows where."
    return "Inline() shows a crash in your own process."


@final
@dataclass(slots=True, eq=False)
class Pool:
    """The workers of this process that nobody uses just now."""

    modules: tuple[str, ...]  # what they have imported
    inherit: bool = False  # their fork server is forked from this process where that is safe
    _idle: list[Worker] = field(default_factory=list)
    _server: Server | None = None
    _lock: Any = field(default_factory=threading.Lock)

    @property
    def warmed(self) -> bool:
        """Whether there are workers that wait for work."""
        return bool(self._idle)

    def warm(self) -> None:
        """Have a fork server started, if there is none; it gets ready while others work."""
        self._living()

    def lease(self, timeout: float) -> Worker:
        """A worker for the caller alone.

        Raises:
            NodeLost: none can be started.
        """
        with self._lock:
            while self._idle:
                worker = self._idle.pop()
                if worker.alive:
                    worker.sock.settimeout(timeout)
                    return worker
                worker.end()
        with contextlib.suppress(OSError, EOFError):
            return Worker(self._living(), timeout)
        try:  # once more, with another fork server
            return Worker(self._living(), timeout)
        except (OSError, EOFError) as error:
            cure = f"See what {sys.executable!r} printed, or run on Inline()."
            raise NodeLost(f"no worker process could be started: {error}", cure=cure) from error

    def give_back(self, worker: Worker) -> None:
        """Take back a worker that has nothing to do; keep it for the next fit."""
        worker.rest()
        with self._lock:
            self._idle.append(worker)
            spare = [self._idle.pop(0) for _ in range(len(self._idle) - max(KEEP, cores()))]  # the oldest
        for worker in spare:
            worker.end()

    def _living(self) -> Server:
        with self._lock:
            if self._server is not None and not self._server.alive:
                self._server.stop()
                self._server = None
            if self._server is None:
                self._server = Server(self.modules, inherit=self.inherit)
            return self._server

    def stop(self) -> None:
        """End all workers and the fork server."""
        with self._lock:
            idle, self._idle = self._idle, []
            server, self._server = self._server, None
        for worker in idle:
            worker.forget()
        if server is not None:
            server.stop()

    def forget(self) -> None:
        """In a fork of this process: all of it is the parent's."""
        for worker in self._idle:
            worker.forget()
        if self._server is not None:
            self._server.forget()
        self._idle, self._server, self._lock = [], None, threading.Lock()


_ROWS = ("pyarrow.parquet", "pyarrow.dataset", "talkoot.data.shards", "talkoot.data.schema")
POOL = Pool((*_ROWS, *(f"talkoot.learners.{name}" for name in MODULES)))
DEEP = Pool(  # for torch, which classical learners do without, and which takes more than a second to import
    ("talkoot.engines.ranks.supervision.rank_process", "torch._dynamo"),  # every optimizer imports the latter
    inherit=True,
)
for pool in (POOL, DEEP):
    atexit.register(pool.stop)
    os.register_at_fork(after_in_child=pool.forget)
