"""Programs that are forked from a server which has imported what they need, so that they start in no time.

It is a process of its own, without threads and without torch. What runs this file is that server.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from threading import Lock
from typing import IO, Any

MODULES = (
    "numpy.testing",
    "pyarrow.parquet",
    "sklearn.naive_bayes",
    "skops.io",
    "talkoot.api.fit",
    "talkoot.cli",
    "talkoot.engines.federation.coordinator.program",
    "talkoot.engines.federation.site.program",
)


class Forked:
    """What tests use of `subprocess.Popen`, for a program of Python that is given as text.

    Args:
        command: the interpreter, "-c", the program and its arguments.
        stdout: where it writes, errors too.
        env: of the server, which is started for the first program.
    """

    def __init__(self, command: list[str], *, stdout: IO[Any], env: Mapping[str, str], **_: object) -> None:
        self.returncode: int | None = None
        self._server = _server(tuple(env.items()))
        self.pid: int = self._server.ask("fork", os.fspath(stdout.name), command[1:])

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.ask("reap", self.pid)
        return self.returncode

    def wait(self, timeout: float = 300.0) -> int:
        ends = time.monotonic() + timeout
        while (found := self.poll()) is None:
            if time.monotonic() > ends:
                raise subprocess.TimeoutExpired(str(self.pid), timeout)
            time.sleep(0.005)
        return found

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class _Server:
    def __init__(self, env: dict[str, str]) -> None:
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(
            [sys.executable, __file__], stdin=pipe, stdout=pipe, text=True, bufsize=1, env=env
        )
        self.lock = Lock()
        atexit.register(self.end)

    def ask(self, *question: object) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        with self.lock:
            print(json.dumps(question), file=self.process.stdin)
            return json.loads(self.process.stdout.readline())

    def end(self) -> None:
        self.process.communicate()


@cache
def _server(env: tuple[tuple[str, str], ...]) -> _Server:
    return _Server(dict(env))


def serve() -> list[str]:
    """Fork programs until nobody asks any more; returns in a program, with its command."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for module in MODULES:
        import_module(module)
    import_module("talkoot.learners").catalogue()
    gc.freeze()
    running: set[int] = set()
    for line in iter(sys.stdin.readline, ""):
        match json.loads(line):
            case "fork", log, command:
                if not (child := os.fork()):
                    return _begin(log, command)
                running.add(child)
                print(child, flush=True)
            case "reap", child:
                found, status = os.waitpid(child, os.WNOHANG)
                running -= {found}
                print(json.dumps(os.waitstatus_to_exitcode(status) if found else None), flush=True)
    for child in running:
        os.kill(child, signal.SIGKILL)
    sys.exit()


def _begin(log: str, command: list[str]) -> list[str]:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    nothing, out = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for source, target in ((nothing, 0), (out, 1), (out, 2)):
        os.dup2(source, target)
    os.close(nothing)
    os.close(out)
    return command


if __name__ == "__main__":
    flag, program, *arguments = serve()
    sys.argv = [flag, *arguments]
    exec(program)
