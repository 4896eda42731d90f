"""Actors that are killed, stopped, late or too many: named, replaced, and the answer is the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faulty import SCHEMA, Faulty, Hurried, Odd, sites
from living import actors, psutil
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.naive_bayes import GaussianNB
from sklearn.preprocessing import StandardScaler

import talkoot as tk
from patience import patient
from talkoot.core.engine import Run
from talkoot.core.errors import DataError, NodeFailed, NodeLost, NodeSilent
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.sync import Rounds
from talkoot.data.tables.arrays import ArrayShard
from talkoot.engines.inline import Inline
from talkoot.engines.ray.engine import Ray
from talkoot.testing import check_engine
from talkoot.testing.compare import assert_same

ray = pytest.importorskip("ray", reason="Ray is not installed")
SILENCE = patient(2.5)
pytestmark = pytest.mark.usefixtures("cluster")


class Heard(list[tuple[str, Mapping[str, Any]]]):
    """A listener that remembers."""

    def __call__(self, event: str, facts: Mapping[str, Any]) -> None:
        self.append((event, facts))

    def of(self, event: str) -> list[Mapping[str, Any]]:
        return [facts for name, facts in self if name == event]


def go(learner: Faulty, engine: Any, emit: Any = None, **given: Any) -> Run:
    sync = Hurried(**given) if "hurried" in given else Rounds(**{"limit": 4, **given})
    plan = Plan(learner, sync=sync)
    return run(plan, sites(4), engine, schema=SCHEMA, emit=Heard() if emit is None else emit)


def assert_equal(got: Run, expected: Run) -> None:
    for name in ("sum", "count"):
        assert got.model[name].tobytes() == expected.model[name].tobytes(), name


def test_the_laws_of_engines() -> None:
    check_engine(Ray(2))


@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), Ridge(), PCA(2), StandardScaler(), GaussianNB()], ids=repr
)
def test_a_fit_is_that_of_one_process(estimator: Any) -> None:
    X = np.random.default_rng(3).normal(size=(400, 4))
    y = (X[:, 0] + X[:, 1] ** 2 > 0.5).astype(int)
    got, expected = (tk.fit(estimator, X, y, nodes=3, on=on).model for on in (Ray(2), Inline()))
    assert_same(got, expected, rtol=1e-9)


def test_large_rows_and_models_go_through_the_object_store() -> None:
    X = np.random.default_rng(4).normal(size=(2000, 300))
    got, expected = (tk.fit(PCA(3), X, nodes=3, on=on).model for on in (Ray(2), Inline()))
    assert_same(got, expected, rtol=1e-9)


def test_an_actor_that_dies_is_replaced_and_the_answer_is_the_same(tmp_path: Path) -> None:
    expected = go(Faulty(), Ray(2))
    heard = Heard()
    got = go(Faulty("kill", nodes=("site2",), rounds=(2,), marker=str(tmp_path / "done")), Ray(2), heard)
    assert_equal(got, expected)
    (event,) = heard.of("worker")
    assert "site2" in event["nodes"]
    assert "exit" in event["cause"]
    assert got.model["count"] == sum(1 + 2 + 3 + 4 for _ in range(4))  # no round was lost or done twice


def test_actors_killed_from_outside_between_rounds_are_replaced() -> None:
    heard = Heard()

    def kill(event: str, facts: Mapping[str, Any]) -> None:
        heard(event, facts)
        if event == "round" and facts["round"] == 1:
            for pid in actors():
                os.kill(pid, signal.SIGKILL)

    assert_equal(go(Faulty(), Ray(2), kill), go(Faulty(), Ray(2)))
    assert len(heard.of("worker")) == 2


def test_with_a_quorum_only_the_node_that_kills_actors_is_lost() -> None:
    heard = Heard()
    done = go(Faulty("segfault", nodes=("site1",), rounds=(1,)), Ray(1), heard, quorum=3, limit=3)
    assert [list(outcome.failed) for outcome in done.history] == [[], ["site1"], []]
    assert "died 3 times" in done.history[1].failed["site1"]
    assert done.model["count"] == 3 * (1 + 2 + 3) + (1 + 2), "the others kept their state"
    assert len(heard.of("worker")) == 3


@pytest.mark.slow  # Ray takes 6 s to end a process that is stopped
def test_a_stopped_actor_is_ended_and_its_node_missing() -> None:
    stop = Faulty("stop", nodes=("site1",), rounds=(1,))
    done = go(stop, Ray(1, silence=SILENCE), quorum=3, limit=3)
    assert [list(outcome.failed) for outcome in done.history] == [[], ["site1"], []]
    assert f"no sign of life from its worker for {SILENCE:g} s" in done.history[1].failed["site1"]


def test_an_actor_stopped_from_outside_is_noticed_and_the_node_that_it_was_at_is_named() -> None:
    def stop(event: str, facts: Mapping[str, Any]) -> None:
        if event == "rows" and facts["node"] == "site1":
            for pid in actors():
                os.kill(pid, signal.SIGSTOP)

    with pytest.raises(NodeSilent) as caught:
        go(Faulty("sleep", nodes=("site1",), rounds=(0,)), Ray(1, silence=SILENCE), stop)
    assert (caught.value.node, caught.value.step) == ("site1", "round 0")
    assert "Ray(...) a longer silence=" in str(caught.value.cure)


def test_with_a_quorum_the_round_counts_without_nodes_that_are_late() -> None:
    late = Faulty("sleep", nodes=("site3",), rounds=(1,))
    done = go(late, Ray(2), hurried=1, deadline=patient(2.0), quorum=3, limit=3)
    assert [list(outcome.failed) for outcome in done.history] == [[], ["site3"], []]
    assert "deadline" in done.history[1].failed["site3"]
    assert done.model["count"] == 3 * (1 + 2 + 3) + (1 + 2)


@pytest.mark.parametrize(("action", "cause"), [("odd", "Odd: odd one"), ("sys.exit", "SystemExit: 3")])
def test_an_odd_exception_is_an_error_like_any_other(action: str, cause: str) -> None:
    with pytest.raises(NodeFailed, match=cause) as caught:
        go(Faulty(action, nodes=("site1",)), Ray(2))
    assert caught.value.node == "site1"


def test_rows_that_do_not_pickle_are_named() -> None:
    rows = sites(2) | {"odd": ArrayShard(name="odd", X=Odd("a", "b"))}
    with pytest.raises(DataError, match="its rows cannot go") as caught:
        run(Plan(Faulty(), sync=Rounds(limit=1)), rows, Ray(2), schema=SCHEMA)
    assert caught.value.node == "odd"


def test_more_than_the_cluster_has_is_refused_at_once_with_a_cure() -> None:
    go(Faulty(), Ray(1), limit=1)
    with pytest.raises(tk.PlanError, match=r"the cluster has \d+ CPUs, and 2 workers of 4000 are required"):
        go(Faulty(), Ray(2, cpus=4000))
    with pytest.raises(tk.PlanError, match="the cluster has 0 GPUs"):
        go(Faulty(), Ray(2, gpus=1))


def test_a_cluster_of_somebody_else_that_cannot_grow_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    go(Faulty(), Ray(1), limit=1)
    from talkoot.engines.ray import actor_pool as actors
    from talkoot.engines.ray.cluster import CLUSTER

    monkeypatch.setattr(CLUSTER, "address", "joined")
    ends = time.monotonic() + patient()
    while CLUSTER.grows and time.monotonic() < ends:  # its first report comes some seconds after its start
        time.sleep(0.2)
    monkeypatch.setattr(actors, "placement_group", None)  # it must not be called
    with pytest.raises(tk.PlanError, match="2 workers of 4000 are required. Take fewer workers"):
        go(Faulty(), Ray(2, cpus=4000))


def test_an_environment_goes_to_the_actors_and_its_secrets_are_not_shown() -> None:
    on = Ray(1, runtime_env={"env_vars": {"TALKOOT_TEST": "secret"}})
    assert repr(on) == "Ray(workers=1, runtime_env={'env_vars': Ellipsis})"
    with pytest.raises(NodeFailed, match="the environment is 'secret'"):
        go(Faulty("environ", nodes=("site1",)), on)
    with pytest.raises(NodeFailed, match="the environment is None"):
        go(Faulty("environ", nodes=("site1",)), Ray(1))
    with pytest.raises(tk.PlanError, match="runtime_env= is a str"):
        Ray(1, runtime_env="pip")  # type: ignore[arg-type]


def test_a_cluster_without_room_is_waited_for_but_not_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkoot.engines.ray.actor_pool.ROOM", 1.0)
    troubles: list[NodeLost] = []

    def ask(event: str, facts: Mapping[str, Any]) -> None:
        if event == "round" and facts["round"] == 0:
            with pytest.raises(NodeLost) as caught:
                go(Faulty(), Ray(1, cpus=os.cpu_count() or 1), limit=1)
            troubles.append(caught.value)

    go(Faulty(), Ray(1), ask, limit=2)
    (trouble,) = troubles
    assert "no room for 1 workers" in str(trouble)


def test_one_process_is_in_one_cluster() -> None:
    go(Faulty(), Ray(1), limit=1)
    with pytest.raises(tk.PlanError, match="cannot use one at 127.0.0.1:1 as well"):
        go(Faulty(), Ray(1, address="127.0.0.1:1"))


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"workers": 1, "cpus": 0}, {"workers": 1, "silence": 0}])
def test_numbers_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(tk.PlanError, match="cannot work"):
        Ray(**wrong)


def test_without_ray_the_cure_is_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkoot.engines.ray.engine.find_spec", lambda name: None)
    with pytest.raises(tk.PlanError) as caught:
        Ray(2)
    assert caught.value.cure == "pip install 'talkoot[ray]'"


def start(body: str, **environ: str) -> subprocess.Popen[str]:
    """A process of its own that has what scripts here need."""
    head = f"""
    import sys, threading, time
    sys.path[:0] = {sys.path!r}
    from faulty import SCHEMA, Faulty, sites
    import talkoot as tk
    from talkoot.core.plan import Plan
    from talkoot.core.run import run
    from talkoot.core.sync import Rounds

    def go(engine, action=""):
        plan = Plan(Faulty(action, nodes=("site1",) if action else ()), sync=Rounds(limit=2))
        return run(plan, sites(2), engine, schema=SCHEMA)

    """
    source = textwrap.dedent(head) + textwrap.dedent(body)
    command = [sys.executable, "-W", "error", "-c", source]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, **environ}
    )


def wait_until_gone(processes: list[Any]) -> list[Any]:
    _, left = psutil.wait_procs(processes, patient())
    return [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


ENDS = """
assert "ray" not in sys.modules
go(tk.Inline()), go(tk.Local(1))
assert "ray" not in sys.modules, "the local path loads it"
try:
    go(tk.Ray(1, address="127.0.0.1:1"))
except tk.PlanError as error:
    assert "no Ray cluster can be reached at '127.0.0.1:1'" in str(error), error
thread = threading.Thread(target=go, args=(tk.Ray(1),))  # the cluster must not end with it
thread.start(), thread.join()
time.sleep(0.5)
assert go(tk.Ray(1)).model["count"] == 6
print("fitted", flush=True)
time.sleep({seconds})
"""


def test_nothing_is_left_behind_by_a_script_that_ends() -> None:
    with start(ENDS.format(seconds=0.5)) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "fitted\n", process.communicate()[1]
        started = psutil.Process(process.pid).children(recursive=True)
        _, errors = process.communicate(timeout=patient())
        assert (process.returncode, errors) == (0, "")
        assert any("raylet" in p.name() for p in started if p.is_running()) is False
        assert wait_until_gone(started) == []


def test_nothing_is_left_behind_by_a_script_that_is_killed() -> None:
    with start("go(tk.Ray(1))\nprint('fitted', flush=True)\ngo(tk.Ray(1), 'sleep')") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "fitted\n", process.communicate()[1]
        started = psutil.Process(process.pid).children(recursive=True)
        (raylet,) = (p.cmdline() for p in started if p.name() == "raylet")
        (socket,) = (Path(word.partition("=")[2]) for word in raylet if "raylet_socket_name=" in word)
        process.kill()
        process.communicate()
        assert wait_until_gone(started) == []
        assert not socket.parents[1].exists(), "the folder of the session is removed"


def test_another_process_joins_a_running_cluster_and_leaves_it_running() -> None:
    from talkoot.engines.ray.actor_pool import ACTORS

    go(Faulty(), Ray(1), limit=1)
    ACTORS.clear()
    address = ray.get_runtime_context().gcs_address
    with start("assert go(tk.Ray(1)).model['count'] == 6", RAY_ADDRESS=address) as process:
        _, errors = process.communicate(timeout=patient())
        assert (process.returncode, errors) == (0, "")
    go(Faulty(), Ray(1), limit=1)


def test_fits_at_once_on_threads_have_actors_of_their_own() -> None:
    got: dict[int, Run] = {}
    fit = lambda number: got.update({number: go(Faulty(), Ray(1))})  # noqa: E731
    threads = [threading.Thread(target=fit, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patient())
    assert len(got) == 2
    assert_equal(got[0], got[1])
