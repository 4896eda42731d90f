"""The pool: workers that are dead or stopped while nobody needs them, and servers that do not answer."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from patience import patient, soon
from talkoot.core.errors import NodeLost
from talkoot.engines.processes import pool
from talkoot.engines.processes.pool import POOL, Pool, Worker, ending

psutil = pytest.importorskip("psutil")


def server_process() -> int:
    POOL.give_back(POOL.lease(30.0))
    assert POOL._server is not None
    return POOL._server._process.pid


def test_the_fork_server_runs_no_threads() -> None:
    assert os.listdir(f"/proc/{server_process()}/task") == [str(server_process())]


def test_the_last_worker_given_back_is_the_next_one_lent() -> None:
    worker = POOL.lease(30.0)
    POOL.give_back(worker)
    assert POOL.lease(12.0) is worker
    assert worker.sock.gettimeout() == 12.0
    POOL.give_back(worker)


def test_a_dead_worker_is_not_lent() -> None:
    worker = POOL.lease(30.0)
    os.kill(worker.pid, signal.SIGTERM)
    assert soon(lambda: not worker.alive)
    POOL.give_back(worker)
    other = POOL.lease(30.0)
    assert other.pid != worker.pid
    assert not psutil.pid_exists(worker.pid), "its remains were seen to"
    POOL.give_back(other)


def test_a_stopped_worker_is_not_lent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "STILL", 0.1)
    worker = POOL.lease(30.0)
    os.kill(worker.pid, signal.SIGSTOP)
    POOL.give_back(worker)
    time.sleep(0.2)
    other = POOL.lease(30.0)
    assert other.pid != worker.pid
    assert not psutil.pid_exists(worker.pid)
    POOL.give_back(other)


def test_a_fork_server_that_does_not_answer_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Pool(())
    first = own.lease(30.0)
    (server,) = (p for p in psutil.Process().children() if first.pid in {c.pid for c in p.children()})
    monkeypatch.setattr(pool, "REPLY", patient(2.0))
    server.suspend()
    second = own.lease(30.0)
    assert second.alive
    assert not psutil.pid_exists(server.pid)
    first.end()
    second.end()
    own.stop()


def test_more_idle_workers_than_it_keeps_are_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool, "KEEP", 1)
    monkeypatch.setattr(pool, "cores", lambda: 1)
    workers = [POOL.lease(30.0) for _ in range(3)]
    for worker in workers:
        POOL.give_back(worker)
    assert [psutil.pid_exists(worker.pid) for worker in workers] == [False, False, True]


def test_that_no_worker_can_be_started_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setattr("sys.executable", str(broken))
    own = Pool(())
    with pytest.raises(NodeLost, match="no worker process could be started") as caught:
        own.lease(30.0)
    assert "Inline()" in str(caught.value.cure)
    own.stop()


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0, "exited with status 0"),
        (signal.SIGKILL, "as the system does when memory runs out"),
        (signal.SIGBUS, "crashed in native code (SIGBUS)"),
        (signal.SIGTERM, "was killed (SIGTERM)"),
        (None, "went down with the process that had forked it"),
    ],
)
def test_how_a_process_ended_is_said_in_words(status: int | None, words: str) -> None:
    assert words in ending(status)


def test_a_worker_says_how_it_ended() -> None:
    worker: Worker = POOL.lease(30.0)
    assert soon(lambda: worker.board.beats), "it has begun"
    os.kill(worker.pid, signal.SIGSEGV)
    assert soon(lambda: psutil.Process(worker.pid).status() == psutil.STATUS_ZOMBIE)
    told = worker.end()
    assert told.startswith("crashed in native code (SIGSEGV). Its last words: Fatal Python error")
    assert "worker.py" in told


LIBRARY = """
import os, time
from talkoot.engines.processes import starting
from talkoot.engines.processes.pool import Pool

held = [os.open(os.devnull, os.O_RDONLY) for _ in range(8)]

def again():  # as libuv does with its pipe
    for number in held:
        os.close(number)
    held[:] = [os.open(os.devnull, os.O_RDONLY) for _ in held]

os.register_at_fork(after_in_child=again)
assert starting.can_fork()
pool = Pool((), inherit=True)
worker = pool.lease(10.0)
ends = time.monotonic() + float({seconds!r})
while worker.alive and not worker.board.beats and time.monotonic() < ends:
    time.sleep(0.01)
print(worker.board.beats > 0, worker.alive)
pool.stop()
"""


def test_workers_outlive_libraries_that_close_their_files_in_every_fork() -> None:
    script = LIBRARY.format(seconds=patient())
    got = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=patient())
    assert (got.stdout, got.stderr) == ("True True\n", "")
