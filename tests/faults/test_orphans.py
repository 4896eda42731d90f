"""Nothing is left behind: no process, no descriptor, no shared memory, however it ends."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from faulty import SCHEMA, Faulty, sites

from patience import patient, soon
from talkoot.core.errors import NodeFailed, NodeLost
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.sync import Rounds
from talkoot.data.tables.arrays import ArrayShard
from talkoot.engines.local import Local
from talkoot.engines.processes.pool import POOL

psutil = pytest.importorskip("psutil")
SCRIPT = """
import os, sys, threading, time
import numpy as np
sys.path[:0] = {path!r}
from faulty import SCHEMA, Faulty, sites
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.sync import Rounds
from talkoot.engines.local import Local

def go(learner):
    return run(Plan(learner, sync=Rounds(limit=2)), sites(2, rows=20000), Local(2), schema=SCHEMA)

def workers():
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if int(open("/proc/%s/stat" % pid).read().rpartition(")")[2].split()[1]) == server():
                found.append(int(pid))
        except OSError:
            pass
    return found

def server():
    from talkoot.engines.processes.pool import POOL
    return POOL._server._process.pid

go(Faulty())
print(server(), *workers(), flush=True)
"""


def named(pids: Iterable[int]) -> list[str]:
    """Shared memory with a name, which could stay behind, that processes use."""
    found: list[str] = []
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended
            found += Path(f"/proc/{pid}/maps").read_text().splitlines()
    return [line for line in found if "/dev/shm/" in line]


def descriptors() -> Counter[str]:
    """What is open, by what it is; pipes and sockets have numbers of their own."""
    gc.collect()  # errors and the frames of their tracebacks hold each other
    targets: Counter[str] = Counter()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the one that lists them
            targets[os.readlink(f"/proc/self/fd/{descriptor}")] += 1
    return targets


def alive(pids: list[int]) -> list[int]:
    """Those of `pids` that still run; the dead may wait for init to notice."""
    left = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
                left.append(pid)
    return left


def wait_until_gone(pids: list[int]) -> list[int]:
    soon(lambda: not alive(pids))
    return alive(pids)


@contextlib.contextmanager
def script(body: str) -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process that has fitted, and goes on with `body`; and the processes that it has started."""
    source = SCRIPT.format(path=sys.path) + textwrap.dedent(body)
    process = subprocess.Popen(
        [sys.executable, "-c", source],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        pids = [int(word) for word in process.stdout.readline().split()]
        assert len(pids) == 3, process.communicate()[1]
        yield process, pids
    finally:
        process.kill()
        process.communicate()


BUSY = 'go(Faulty("{action}", nodes=("site0", "site1"), marker={{marker!r}}))'


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 0),
        ("os._exit(5)", 5),
        ("threading.Thread(target=go, args=(Faulty(),)).start()", 0),
        ("go(Faulty('raise', nodes=('site1',)))", 1),
    ],
)
def test_all_processes_end_with_their_parent(body: str, status: int) -> None:
    with script(body) as (process, pids):
        process.communicate(timeout=patient())
        assert process.returncode == status
        assert wait_until_gone(pids) == []


@pytest.mark.parametrize(
    ("body", "how"),
    [
        ("time.sleep(3600)", signal.SIGTERM),
        (BUSY.format(action="sleep"), signal.SIGKILL),
        (BUSY.format(action="hold"), signal.SIGKILL),
    ],
    ids=["idle", "at work", "at work, holding the interpreter"],
)
def test_all_processes_end_with_a_parent_that_is_killed(
    body: str, how: signal.Signals, tmp_path: Path
) -> None:
    marker = tmp_path / "at"
    with script(body.format(marker=str(marker))) as (process, pids):
        if "marker" in body:
            assert soon(lambda: len([*tmp_path.iterdir()]) == 2)
        assert named([process.pid, *pids]) == []
        process.send_signal(how)
        assert wait_until_gone(pids) == []


@pytest.mark.slow
def test_all_processes_end_although_a_fork_of_the_parent_lives_on() -> None:
    body = """
    child = os.fork()
    if child == 0:
        time.sleep(3600)
        os._exit(0)
    print(child, flush=True)
    time.sleep(3600)
    """
    with script(body) as (process, pids):
        assert process.stdout is not None
        child = int(process.stdout.readline())
        process.kill()
        assert wait_until_gone(pids) == []
        assert alive([child])
        os.kill(child, signal.SIGKILL)


@pytest.mark.slow
def test_a_fork_of_the_parent_leaves_its_workers_alone_and_can_have_its_own() -> None:
    body = """
    child = os.fork()
    if child == 0:
        assert go(Faulty()).model["count"] == 6
        sys.exit(0)
    assert os.waitpid(child, 0)[1] == 0
    before = sorted(workers())
    assert go(Faulty()).model["count"] == 6
    assert sorted(workers()) == before and len(before) == 2
    """
    with script(body) as (process, pids):
        _, errors = process.communicate(timeout=patient())
        assert process.returncode == 0, errors
        assert wait_until_gone(pids) == []


def test_ctrl_c_is_prompt_and_silent_and_the_engine_works_afterwards(tmp_path: Path) -> None:
    body = f"""
    try:
        {BUSY.format(action="sleep").format(marker=str(tmp_path / "at"))}
    except KeyboardInterrupt:
        print("interrupted", len(workers()), flush=True)
    assert go(Faulty()).model["count"] == 6
    """
    with script(body) as (process, pids):
        assert process.stdout is not None
        assert soon(lambda: len([*tmp_path.iterdir()]) == 2), "both workers sleep"
        os.killpg(process.pid, signal.SIGINT)
        assert process.stdout.readline() == "interrupted 0\n"
        _, errors = process.communicate(timeout=patient())
        assert process.returncode == 0, errors
        assert errors == ""
        assert wait_until_gone(pids) == []


def test_ctrl_c_while_the_first_workers_start() -> None:
    source = SCRIPT.format(path=sys.path).replace(
        "\ngo(Faulty())\n", '\nprint("go", flush=True)\ngo(Faulty())\n'
    )
    process = subprocess.Popen(
        [sys.executable, "-c", source],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    time.sleep(0.2)
    started = [child.pid for child in psutil.Process(process.pid).children(recursive=True)]
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=patient())
    assert "KeyboardInterrupt" in errors
    assert errors.count("Traceback") == 1, errors
    assert wait_until_gone(started) == []


@pytest.mark.slow
def test_nothing_grows_over_many_fits_good_and_bad() -> None:
    def fits(count: int) -> None:
        plans = [Faulty(), Faulty("raise", nodes=("site1",)), Faulty("exit", nodes=("site2",))]
        for learner in plans * count:
            with contextlib.suppress(NodeFailed, NodeLost):
                run(Plan(learner, sync=Rounds(limit=2)), sites(3, 5000), Local(2), schema=SCHEMA)

    def workers() -> set[int]:
        assert POOL._server is not None
        return {child.pid for child in psutil.Process(POOL._server._process.pid).children(recursive=True)}

    def others() -> set[int]:
        return {child.pid for child in psutil.Process().children(recursive=True)} - workers()

    POOL.stop()
    fits(1)
    before, count, rest = descriptors(), len(workers()), others()
    fits(3)
    assert descriptors().total() <= before.total()  # other engines may close what other tests have opened
    assert named(workers()) == []
    assert len(workers()) == count
    assert others() <= rest


def test_ending_the_pool_leaves_nothing_and_the_next_fit_starts_another() -> None:
    def fit() -> None:
        run(Plan(Faulty(), sync=Rounds(limit=1)), sites(3), Local(2), schema=SCHEMA)

    def ours() -> set[int]:
        return {child.pid for child in psutil.Process().children(recursive=True)} - others

    others: set[int] = set()
    fit()
    server = POOL._server._process.pid if POOL._server is not None else 0
    POOL.stop()
    before, others = descriptors(), ours()  # of other engines, which other tests have used
    assert server not in others
    fit()
    assert len(ours()) == 3
    POOL.stop()
    assert not descriptors() - before
    assert ours() == set()


def test_placed_rows_go_with_the_arrays_that_they_came_from() -> None:
    X = np.random.default_rng(0).normal(size=(100_000, 3))
    run(Plan(Faulty(), sync=Rounds(limit=1)), {"a": ArrayShard(name="a", X=X)}, Local(1), schema=SCHEMA)
    before = descriptors()
    del X
    assert (before - descriptors()).total() == 1
