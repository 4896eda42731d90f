"""Programs are killed, lines are cut, and the answer is right, with no work done twice."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from paced import Paced, worked
from programs import Federated, federated
from proxy import Proxy

import talkoot as tk
from patience import patient, soon
from talkoot.api.result import Fit

ROUNDS = 4
NODES = ("bergen", "oslo", "turku")
EACH = sum(range(1, ROUNDS + 1))
ROWS = {name: (np.eye(6), np.arange(6.0)) for name in NODES}
SCRIPT = """
import sys
from pathlib import Path
import talkoot as tk
sys.path[:0] = {path!r}
from test_killed import start
print(start(Path({folder!r}), Path({researcher!r})).model)
"""


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Federated]:
    with federated(tmp_path, ROWS) as made:
        yield made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def start(folder: Path, researcher: Path, size: int = 1) -> Fit:
    plan = tk.Plan(Paced(str(folder), size), sync=tk.rounds(ROUNDS))
    return tk.run(plan, tk.dataset("toy"), on=tk.Federation(researcher, registered={"Paced": Paced}))


def beside(folder: Path, made: Federated, size: int = 1) -> Future[Fit]:
    """The run on a thread of its own."""
    return ThreadPoolExecutor(1).submit(start, folder, made.researcher, size)


def held(folder: Path, node: str, index: int) -> Path:
    hold = folder / f"hold-{node}-{index}"
    hold.touch()
    return hold


def begun(folder: Path, node: str, index: int) -> bool:
    return soon(lambda: index in worked(folder, node))


def test_a_coordinator_that_is_killed_in_a_round_goes_on(three: Federated, folder: Path) -> None:
    hold = held(folder, "oslo", 2)
    running = beside(folder, three)
    assert begun(folder, "oslo", 2)
    three.coordinator.kill()
    three.coordinator.start()
    hold.unlink()
    assert running.result(patient()).model.tolist() == [3 * EACH]
    assert {node: worked(folder, node) for node in NODES} == {node: list(range(ROUNDS)) for node in NODES}


def test_a_site_that_is_killed_in_a_round_goes_on_with_its_state(three: Federated, folder: Path) -> None:
    hold = held(folder, "oslo", 2)
    running = beside(folder, three)
    assert begun(folder, "oslo", 2)
    three.sites["oslo"].kill()
    hold.unlink()
    three.sites["oslo"].start()
    assert running.result(patient()).model.tolist() == [3 * EACH]
    assert worked(folder, "oslo") == [0, 1, 2, 2, 3]
    assert worked(folder, "turku") == list(range(ROUNDS))


@pytest.mark.slow
def test_a_site_that_stands_still_is_given_up_at_the_deadline_and_comes_back(
    three: Federated, folder: Path
) -> None:
    hold, rounds = held(folder, "turku", 1), 12
    plan = tk.Plan(Paced(str(folder)), sync=tk.rounds(rounds, quorum=2, deadline=1.0))
    on = tk.Federation(three.researcher, registered={"Paced": Paced})
    running = ThreadPoolExecutor(1).submit(tk.run, plan, tk.dataset("toy"), on=on)
    assert begun(folder, "turku", 1)
    three.sites["oslo"].process.send_signal(signal.SIGSTOP)
    hold.unlink()
    assert begun(folder, "turku", 4)
    three.sites["oslo"].process.send_signal(signal.SIGCONT)
    history = running.result(patient()).history
    missed = [outcome for outcome in history if "oslo" in outcome.failed]
    assert missed
    assert all("no answer before the deadline" in outcome.failed["oslo"] for outcome in missed)
    assert all({"bergen", "turku"} <= {*outcome.arrived} for outcome in history)
    assert "oslo" in history[-1].arrived
    count = sum("oslo" in outcome.arrived for outcome in history)  # what did not count was undone
    expected = 2 * sum(range(1, rounds + 1)) + sum(range(1, count + 1))
    assert running.result().model.tolist() == [expected]


@pytest.mark.parametrize("how", [pytest.param(signal.SIGINT, marks=pytest.mark.slow), signal.SIGKILL])
def test_a_researcher_who_is_gone_calls_again_and_nothing_is_done_twice(
    three: Federated, folder: Path, how: signal.Signals
) -> None:
    hold = held(folder, "oslo", 2)
    path = [str(Path(__file__).parent), str(Path(__file__).parents[2])]
    script = SCRIPT.format(path=path, folder=str(folder), researcher=str(three.researcher))
    gone = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    assert begun(folder, "oslo", 2)
    gone.send_signal(how)
    gone.wait(patient())
    running = beside(folder, three)
    threading.Timer(0.2, hold.unlink).start()
    assert running.result(patient()).model.tolist() == [3 * EACH]
    assert {node: worked(folder, node) for node in NODES} == {node: list(range(ROUNDS)) for node in NODES}
    assert beside(folder, three).result(patient()).model.tolist() == [3 * EACH]  # a new run
    assert worked(folder, "oslo") == [*range(ROUNDS), *range(ROUNDS)]


def test_a_frame_that_is_cut_off_goes_on_where_it_was_through_a_proxy(tmp_path: Path, folder: Path) -> None:
    size, proxy = 64 << 20, Proxy(cut=48 << 20, cuts=1)  # far more than is on its way at a time
    with federated(tmp_path, ROWS, {"oslo": proxy.address}) as made:
        plan = tk.Plan(Paced(str(folder), size // 8), sync=tk.rounds(1))
        fit = tk.run(plan, tk.dataset("toy"), on=tk.Federation(made.researcher, registered={"Paced": Paced}))
    assert (fit.model == 3).all()
    assert proxy.connected == 2
    assert 2 * size < sum(proxy.moved) < 2 * size + size // 2  # the question and the answer, once each
    assert worked(folder, "oslo") == [0]
    proxy.close()
