"""Real processes that are killed, stopped, late or wrong: named, replaced, and the answer is the same."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty import SCHEMA, Faulty, Hurried, Twofold, sites

from patience import patient
from talkoot.core.engine import Engine, Run
from talkoot.core.errors import DataError, NodeFailed, NodeLost, NodeSilent
from talkoot.core.learner import Learner
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.sync import Rounds
from talkoot.engines.inline import Inline
from talkoot.engines.local import Local
from talkoot.engines.processes.pool import POOL

psutil = pytest.importorskip("psutil")
SILENCE, DEADLINE = patient(2.5), patient(1.5)  # seconds


class Heard(list[tuple[str, Mapping[str, Any]]]):
    """A listener that remembers."""

    def __call__(self, event: str, facts: Mapping[str, Any]) -> None:
        self.append((event, facts))

    def of(self, event: str) -> list[Mapping[str, Any]]:
        return [facts for name, facts in self if name == event]


def go(learner: Learner, engine: Engine, heard: Heard | None = None, nodes: int = 4, **given: Any) -> Run:
    sync = Hurried(**given) if "hurried" in given else Rounds(**{"limit": 4, **given})
    plan = Plan(learner, sync=sync)
    return run(plan, sites(nodes), engine, schema=SCHEMA, emit=heard if heard is not None else Heard())


def assert_equal(got: Run, expected: Run) -> None:
    for name in ("sum", "count"):
        assert got.model[name].tobytes() == expected.model[name].tobytes(), name


@pytest.mark.parametrize("engine", [Inline(), Inline(2), Local(2)], ids=repr)
def test_a_node_that_raises_is_named_with_its_own_traceback_first(engine: Engine) -> None:
    with pytest.raises(NodeFailed) as caught:
        go(Faulty("raise", nodes=("site2",), rounds=(1,)), engine)
    text = str(caught.value)
    assert (caught.value.node, caught.value.step) == ("site2", "round 1")
    assert text.index("Traceback") < text.index("IndexError: list index out of range")
    assert "faulty.py" in text


@pytest.mark.parametrize("engine", [Inline(), Inline(2), Local(2)], ids=repr)
def test_an_error_about_data_passes_as_itself_with_the_node_filled_in(engine: Engine) -> None:
    with pytest.raises(DataError) as caught:
        go(Faulty("refuse", nodes=("site2",)), engine)
    assert str(caught.value) == ("node 'site2', round 0, column 'age': 12 rows hold text. Encode it first.")


@pytest.mark.parametrize(("action", "said"), [("odd", "Odd: odd one"), ("sys.exit", "SystemExit: 3")])
@pytest.mark.parametrize("engine", [Inline(2), Local(2)], ids=repr)
def test_an_odd_exception_is_an_error_like_any_other(engine: Engine, action: str, said: str) -> None:
    with pytest.raises(NodeFailed, match=said) as caught:
        go(Faulty(action, nodes=("site1",)), engine)
    assert caught.value.node == "site1"


@pytest.mark.parametrize(
    ("action", "cause"),
    [("kill", "SIGKILL"), ("exit", "exited with status 3"), ("segfault", "crashed in native code (SIGSEGV)")],
)
def test_a_worker_that_dies_is_replaced_and_the_answer_is_the_same(
    tmp_path: Path, action: str, cause: str
) -> None:
    expected = go(Faulty(), Local(2))
    heard = Heard()
    got = go(Faulty(action, nodes=("site2",), rounds=(2,), marker=str(tmp_path / "done")), Local(2), heard)
    assert_equal(got, expected)
    (event,) = heard.of("worker")
    assert cause in event["cause"]
    assert "site2" in event["nodes"]
    assert got.model["count"] == sum(1 + 2 + 3 + 4 for _ in range(4))  # no round was lost or done twice


def test_all_workers_may_die_in_one_round(tmp_path: Path) -> None:
    expected = go(Faulty(), Local(3))
    heard = Heard()
    everywhere = tuple(sites(4))
    got = go(Faulty("kill", nodes=everywhere, rounds=(1,), marker=str(tmp_path / "done")), Local(3), heard)
    assert_equal(got, expected)
    assert len(heard.of("worker")) == 4  # one of the workers hosts two nodes


def test_a_node_that_kills_its_worker_each_time_is_named() -> None:
    heard = Heard()
    with pytest.raises(NodeLost) as caught:
        go(Faulty("segfault", nodes=("site3",), rounds=(1,)), Local(2), heard)
    error = caught.value
    assert (error.node, error.step) == ("site3", "round 1")
    assert "died 3 times" in str(error)
    assert "SIGSEGV" in str(error)
    assert "in segfault" in str(error), "the place of the crash is in its last words"
    assert "Inline()" in str(error.cure)
    assert len(heard.of("worker")) == 3


def test_with_a_quorum_only_the_node_that_kills_workers_is_lost() -> None:
    done = go(Faulty("kill", nodes=("site1",), rounds=(1,)), Local(1), quorum=3)
    assert [outcome.arrived for outcome in done.history][1] == ("site0", "site2", "site3")
    assert [list(outcome.failed) for outcome in done.history] == [[], ["site1"], [], []]
    assert done.model["count"] == 3 * (1 + 2 + 3 + 4) + (1 + 2 + 3), "the others kept their state"


def test_a_stopped_worker_is_ended_and_its_node_named() -> None:
    with pytest.raises(NodeSilent) as caught:
        go(Faulty("stop", nodes=("site1",), rounds=(1,)), Local(2, silence=SILENCE))
    assert (caught.value.node, caught.value.step) == ("site1", "round 1")
    assert f"no sign of life from its worker for {SILENCE:g} s" in str(caught.value)
    assert "silence=" in str(caught.value.cure)


def test_with_a_quorum_only_the_node_of_a_stopped_worker_is_missing() -> None:
    stop = Faulty("stop", nodes=("site1",), rounds=(1,))
    done = go(stop, Local(1, silence=SILENCE), quorum=3, limit=3)
    assert [list(outcome.failed) for outcome in done.history] == [[], ["site1"], []]


@pytest.mark.parametrize("engine", [Inline(), Inline(2), Local(2)], ids=repr)
def test_nodes_that_miss_the_deadline_are_named(engine: Engine) -> None:
    with pytest.raises(NodeSilent) as caught:
        go(Faulty("sleep", nodes=("site1",), rounds=(1,)), engine, hurried=1, deadline=DEADLINE, limit=2)
    assert caught.value.node == "site1"
    assert f"no answer before the deadline of {DEADLINE:g} s" in str(caught.value)


@pytest.mark.parametrize("engine", [Inline(2), Local(1), Local(2)], ids=repr)
def test_with_a_quorum_the_round_counts_without_nodes_that_are_late(engine: Engine) -> None:
    late = Faulty("sleep", nodes=("site3",), rounds=(1,))
    done = go(late, engine, hurried=1, deadline=DEADLINE, quorum=3, limit=3)
    assert [list(outcome.failed) for outcome in done.history] == [[], ["site3"], []]
    assert "deadline" in done.history[1].failed["site3"]
    assert done.model["count"] == 3 * (1 + 2 + 3) + (1 + 2)


def test_nodes_behind_a_late_one_are_told_apart_from_it() -> None:
    late = Faulty("sleep", nodes=("site1",), rounds=(1,))
    done = go(late, Local(1), hurried=1, deadline=DEADLINE, quorum=1, limit=2)
    failed = done.history[1].failed
    assert list(failed) == ["site1", "site2", "site3"]
    assert "waiting for its worker, which was at node 'site1'" in failed["site2"]


@pytest.mark.parametrize("engine", [Inline(), Local(2)], ids=repr)
def test_what_nodes_did_in_a_dropped_round_is_forgotten(engine: Engine) -> None:
    done = go(Faulty("raise", nodes=("site0", "site1"), rounds=(1,)), engine, quorum=3, limit=3)
    assert [outcome.committed for outcome in done.history] == [True, False, True]
    assert done.model["count"] == 4 * (1 + 2), "site2 and site3 must not count the dropped round"


def test_the_state_of_nodes_survives_death_in_a_dropped_round(tmp_path: Path) -> None:
    plain = go(Faulty("raise", nodes=("site0", "site1"), rounds=(1,)), Local(2), quorum=3, limit=4)
    marker = str(tmp_path / "done")
    raises = Faulty("raise", nodes=("site0", "site1"), rounds=(1,))
    both = Twofold(raises, Faulty("kill", nodes=("site3",), rounds=(2,), marker=marker))
    assert_equal(go(both, Local(2), quorum=3, limit=4), plain)
    assert Path(f"{marker}.site3").exists()


def test_a_worker_killed_from_outside_while_it_waits_is_replaced() -> None:
    heard = Heard()

    def kill(event: str, facts: Mapping[str, Any]) -> None:
        heard(event, facts)
        if event == "round" and facts["round"] == 1:
            for pid in workers_of_this_process():
                os.kill(pid, signal.SIGKILL)
                wait_until_dead(pid)

    plan = Plan(Faulty(), sync=Rounds(limit=4))
    got = run(plan, sites(4), Local(2), schema=SCHEMA, emit=kill)
    assert_equal(got, go(Faulty(), Local(2)))
    # An idle worker of the pool was killed too, and may take a slot for a moment before it is found dead.
    assert {event["worker"] for event in heard.of("worker")} == {0, 1}


def test_a_dead_fork_server_is_replaced_with_all_its_workers() -> None:
    heard = Heard()

    def kill(event: str, facts: Mapping[str, Any]) -> None:
        heard(event, facts)
        if event == "round" and facts["round"] == 1:
            workers = workers_of_this_process()
            server = server_of_this_process()
            server.kill()
            wait_until_dead(server.pid)
            for pid in workers:
                wait_until_dead(pid)

    plan = Plan(Faulty(), sync=Rounds(limit=4))
    got = run(plan, sites(4), Local(2), schema=SCHEMA, emit=kill)
    assert_equal(got, go(Faulty(), Local(2)))
    assert {event["cause"] for event in heard.of("worker")} == {
        "went down with the process that had forked it"
    }


def server_of_this_process() -> Any:
    assert POOL._server is not None
    return psutil.Process(POOL._server._process.pid)


def workers_of_this_process() -> list[int]:
    return [worker.pid for worker in server_of_this_process().children()]


def wait_until_dead(pid: int) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)


def test_rows_read_are_told_a_few_times_a_second() -> None:
    slow = Faulty("sleep", nodes=("site1",), rounds=(1,))
    for engine in (Inline(2), Local(2)):
        heard = Heard()
        with pytest.raises(NodeSilent):
            go(slow, engine, heard, hurried=1, deadline=DEADLINE, limit=2)
        told = [facts for facts in heard.of("rows") if facts == {"node": "site1", "rows": 50}]
        assert 1 <= len(told) <= 2 + 4 * DEADLINE, engine


def test_many_fits_at_once_on_threads_have_workers_of_their_own(tmp_path: Path) -> None:
    expected = go(Faulty(), Local(2))
    got: dict[int, Run] = {}

    def fit(number: int) -> None:
        marker = str(tmp_path / f"done{number}")
        got[number] = go(Faulty("kill", nodes=("site1",), rounds=(number,), marker=marker), Local(2))

    threads = [threading.Thread(target=fit, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 3
    for done in got.values():
        assert_equal(done, expected)


def test_fifty_nodes_on_two_workers() -> None:
    done = go(Faulty(), Local(2), nodes=50, limit=2)
    assert done.history[0].arrived == tuple(f"site{i}" for i in range(50))
    reference = go(Faulty(), Inline(), nodes=50, limit=2)
    np.testing.assert_allclose(done.model["sum"], reference.model["sum"], rtol=1e-12)
