"""Two ways to start a fork server: as an interpreter of its own, or as a fork of this one and its imports."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Sequence
from typing import NoReturn, Protocol, final

from talkoot.engines.machine import ONE_CORE
from talkoot.engines.processes import forkserver

_SCRIPT = """import gc, sys
gc.disable()  # imports make no garbage worth looking for
sys.path[:] = {path!r}
from talkoot.engines.processes.forkserver import main
main({fd}, {pid}, {modules!r})"""
_NO_THREADS = {"JE_ARROW_MALLOC_CONF": "background_thread:false"}
_NO_CUDA = {"PYTORCH_NVML_BASED_CUDA_CHECK": "1"}  # looks for GPUs that leave CUDA usable in forks
_TICK = 0.01  # seconds between looks at whether a process has ended


class Process(Protocol):
    """What of `subprocess.Popen` is asked of a server."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None:
        """Its exit status, if it has ended."""

    def kill(self) -> None:
        """End it."""

    def wait(self, timeout: float) -> int:
        """Until it has ended."""


def spawned(descriptor: int, modules: Sequence[str]) -> Process:
    """A server in an interpreter of its own; `descriptor` is its socket's."""
    script = _SCRIPT.format(path=sys.path, fd=descriptor, pid=os.getpid(), modules=modules)
    return subprocess.Popen(
        [sys.executable, "-c", script],
        stdin=subprocess.DEVNULL,
        pass_fds=[descriptor],
        env={**os.environ, **ONE_CORE, **_NO_THREADS, **_NO_CUDA},
        start_new_session=True,  # Ctrl-C in a terminal is for the parent alone
    )


def can_fork() -> bool:
    """Whether this process may go on in a fork: one thread of Python's, and CUDA unused.

    Threads of BLAS and OpenMP do not count: OpenBLAS starts its anew after a fork; for OpenMP see `forked`.
    """
    return sys.platform == "linux" and threading.active_count() == 1 and not _cuda_used()


def _fork() -> int:
    """A fork, without Python's warning: threads that only compute do no harm to it, see `can_fork`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _cuda_used() -> bool:
    """Whether forks of this process can no longer use a GPU; torch knows that in a fork alone.

    A look at whether there is a GPU is enough for it, which `torch.cuda.is_initialized()` does not show.
    """
    torch = sys.modules.get("torch")
    if torch is None or torch.version.cuda is None:
        return False
    if child := _fork():
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0
    os._exit(bool(torch.cuda._is_in_bad_fork()))


def forked(descriptor: int, modules: Sequence[str]) -> Process:
    """A server that is a fork of this process, without its open files, but with its imports."""
    parent = os.getpid()
    for stream in (sys.stdout, sys.stderr):  # or the fork might write again what is still in a buffer
        with contextlib.suppress(Exception):
            stream.flush()
    children: list[int] = []

    def fork() -> None:
        if child := _fork():
            children.append(child)
        else:
            _serve(descriptor, parent, modules)

    # OpenMP keeps the threads of a team with the thread that asked for them, and waits for them in a fork for
    # ever. A new thread has asked for none.
    thread = threading.Thread(target=fork)
    thread.start()
    thread.join()
    if not children:
        raise OSError("this process could not be forked")
    return Forked(children[0])


def _serve(descriptor: int, parent: int, modules: Sequence[str]) -> NoReturn:
    """In the fork: be a server, and never go back into the user's own frames."""
    status = 1
    try:
        _leave_parent(descriptor)
        forkserver.main(descriptor, parent, modules)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _leave_parent(descriptor: int) -> None:
    """Let go of what belongs to the user's program: its terminal, its files, its signals, its cores."""
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.set_wakeup_fd(-1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    # Not closed, as libraries close what they remember, libuv in every fork: by then a number that was closed
    # here would belong to something else.
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number not in (descriptor, null):
            os.dup2(null, number, inheritable=False)
    os.environ.update({**ONE_CORE, **_NO_CUDA})
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@final
class Forked:
    """A child of this process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, if it has ended."""
        if self.returncode is None:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except ChildProcessError:
                pid, status = self.pid, 0
            if pid:
                self.returncode = os.waitstatus_to_exitcode(status)
        return self.returncode

    def kill(self) -> None:
        """End it."""
        if self.poll() is None:
            os.kill(self.pid, signal.SIGKILL)

    def wait(self, timeout: float) -> int:
        """Until it has ended.

        Raises:
            subprocess.TimeoutExpired: it has not.
        """
        ends = time.monotonic() + timeout
        while (status := self.poll()) is None:
            if time.monotonic() > ends:
                raise subprocess.TimeoutExpired("fork server", timeout)
            time.sleep(_TICK)
        return status
