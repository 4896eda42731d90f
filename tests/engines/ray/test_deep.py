"""Modules of torch on actors: the answer of Local, through kills, stops and errors, and warm afterwards."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest
from living import actors, psutil

from patience import patient

ray = pytest.importorskip("ray", reason="Ray is not installed")
torch = pytest.importorskip("torch", reason="torch is not installed")

from tasks import SAME, X, Y, adamw, apart, task  # noqa: E402

import talkoot as tk  # noqa: E402
from talkoot.core.engine import Emit, Engine, Run  # noqa: E402
from talkoot.core.errors import NodeFailed, NodeLost  # noqa: E402
from talkoot.core.plan import Plan  # noqa: E402
from talkoot.core.shard import Schema, Shard  # noqa: E402
from talkoot.engines.ray.actor import HELLO  # noqa: E402
from talkoot.engines.ray.actor_pool import ACTORS, ActorSet  # noqa: E402
from talkoot.engines.ray.ranks import RankLauncher  # noqa: E402
from talkoot.engines.ray.resources import Resources  # noqa: E402

pytestmark = pytest.mark.usefixtures("cluster")
SYNCS = {"every step": tk.every_step(), "every 5 steps": tk.every(steps=5)}
Facts = Mapping[str, Any]


@dataclass
class Heard(Engine):
    """An engine that records its events, each after a call of `react`."""

    on: tk.Ray
    react: Callable[[str, Facts], None] = lambda event, facts: None
    events: list[tuple[str, Facts]] = field(default_factory=list)

    def open(self, *args: Any) -> Any:
        raise AssertionError("ranks run a plan as a whole")

    def lower(
        self, plan: Plan, shards: Mapping[str, Shard], schema: Schema, emit: Emit = lambda *_: None
    ) -> Run | None:
        return self.on.lower(plan, shards, schema, self._hear)

    def _hear(self, event: str, facts: Facts) -> None:
        self.react(event, facts)
        self.events.append((event, facts))

    def of(self, event: str) -> list[Facts]:
        return [facts for name, facts in self.events if name == event]


def slow(marker: Path, out: Any, y: Any) -> Any:
    """A loss that takes its time until a file is there."""
    if not marker.exists():
        time.sleep(0.02)
    return torch.nn.functional.mse_loss(out, y)


def shares(out: Any, y: Any) -> float:
    """1 where sums go through shared memory."""
    return float(any(type(thing).__name__ == "SharedSum" for thing in gc.get_objects()))


def plain() -> Any:
    module, _ = adamw()
    return module, torch.optim.SGD(module.parameters(), lr=0.05)


def fitted(job: Any, on: Engine, sync: Any = None) -> Any:
    return tk.fit(job, X, Y, nodes=2, on=on, sync=sync, progress=False).model


@pytest.mark.parametrize("sync", SYNCS.values(), ids=SYNCS)
def test_the_answer_is_that_of_local_and_actors_stay_warm(sync: Any) -> None:
    first = fitted(task(adamw), tk.Ray(2), sync)
    warm = actors()
    second = fitted(task(adamw), tk.Ray(2), sync)
    assert actors() == warm
    assert len(warm) == 2
    assert apart(first, second) == 0
    assert apart(first, fitted(task(adamw), tk.Local(2), sync)) < SAME


def test_sums_of_one_machine_go_through_shared_memory() -> None:
    job = task(metrics={"shares": shares})
    found = tk.fit(job, X, Y, nodes=2, on=tk.Ray(2), progress=False)
    assert {outcome.metrics["shares"] for outcome in found.history} == {1.0}


def test_actors_that_are_idle_hold_nothing() -> None:
    fitted(task(), tk.Ray(2))
    (actors,) = ACTORS._idle
    assert sorted(actors.idle) == [0, 1]
    assert all(worker.call is None for worker in actors.idle.values())


@pytest.mark.slow  # Local shows the same
def test_a_finished_job_is_found_finished_by_who_starts_it_again(tmp_path: Path) -> None:
    once = partial(slow, tmp_path / "begun")
    first = fitted(task(adamw, once), tk.Ray(2, checkpoint=tmp_path / "saved"))
    (tmp_path / "begun").touch()
    on = Heard(tk.Ray(2, checkpoint=tmp_path / "saved"))
    assert apart(fitted(task(adamw, once), on), first) == 0
    assert on.of("step") == []


def test_through_a_kill_the_others_go_on_and_grow_again_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker, blockers = ActorSet.worker, []
    killed: list[int] = []
    back: list[Facts] = []

    def crowded(self: ActorSet, number: int) -> Any:
        if killed:  # somebody else is faster
            blockers.append(worker(replace(self, idle={}), number))
        return worker(self, number)

    def react(event: str, facts: Facts) -> None:
        if event == "step" and not killed:
            killed.append(actors()[-1])
            os.kill(killed[0], signal.SIGKILL)
        elif event == "step":
            back.append(facts)
            if len(back) == 5:
                blockers[0].end()
        elif event == "epoch" and facts["epoch"] == 2:
            (tmp_path / "grown").touch()

    on = Heard(tk.Ray(2), react)
    monkeypatch.setattr(ActorSet, "worker", crowded)
    job = task(adamw, partial(slow, tmp_path / "grown"), epochs=150)
    got = fitted(job, on)
    assert [facts["ranks"] for facts in on.of("epoch")] == [2, 1, 2]
    assert {facts["ranks"] for facts in on.of("step")} == {1, 2}
    (lost,) = on.of("worker")
    assert "process" in lost["name"]
    assert "is gone: " in lost["cause"]
    steps = [facts["step"] for facts in on.of("step")]
    assert steps == sorted(set(steps)), "nothing is done twice"
    assert apart(got, fitted(job, tk.Local(2))) < SAME


@pytest.mark.slow  # a new actor imports torch; Local shows the same in tests/faults
def test_through_a_kill_rounds_go_on_and_no_update_is_lost(tmp_path: Path) -> None:
    job, sync = task(plain, partial(slow, tmp_path / "grown"), epochs=100), tk.every(steps=5)
    killed: list[int] = []

    def react(event: str, facts: Facts) -> None:
        if event == "round" and not killed:
            killed.append(actors()[-1])
            os.kill(killed[0], signal.SIGKILL)
        elif event == "epoch" and facts["epoch"] == 2:
            (tmp_path / "grown").touch()

    on = Heard(tk.Ray(2), react)
    got = fitted(job, on, sync)
    assert [facts["ranks"] for facts in on.of("epoch")] == [2, 1, 2]
    assert [facts["round"] for facts in on.of("round")] == [*range(len(on.of("round")))]
    assert apart(got, fitted(job, tk.Local(2), sync)) < SAME


@pytest.mark.slow  # a new actor imports torch; Local shows the same in tests/faults
def test_an_actor_that_is_asked_to_end_finishes_its_step_first(tmp_path: Path) -> None:
    terminated: list[int] = []

    def react(event: str, facts: Facts) -> None:
        if event == "step" and not terminated:
            terminated.append(actors()[-1])
            os.kill(terminated[0], signal.SIGTERM)
        elif event == "worker":
            (tmp_path / "left").touch()

    on = Heard(tk.Ray(2), react)
    job = task(adamw, partial(slow, tmp_path / "left"), epochs=50)
    assert apart(fitted(job, on), fitted(job, tk.Local(2))) < SAME
    (facts,) = on.of("worker")
    assert "got SIGTERM and stopped after step" in facts["cause"]
    assert (
        not psutil.pid_exists(terminated[0]) or psutil.Process(terminated[0]).status() == psutil.STATUS_ZOMBIE
    )


@pytest.mark.slow  # a new actor imports torch; Local shows the same in tests/faults
def test_a_stopped_actor_is_noticed_and_named(tmp_path: Path) -> None:
    stopped: list[int] = []

    def react(event: str, facts: Facts) -> None:
        if event == "step" and not stopped:
            stopped.append(actors()[-1])
            os.kill(stopped[0], signal.SIGSTOP)
        elif event == "worker":
            os.kill(stopped[0], signal.SIGKILL)  # Ray takes 6 s to do so
            (tmp_path / "noticed").touch()

    on = Heard(tk.Ray(2, silence=patient(2.0)), react)
    job = task(adamw, partial(slow, tmp_path / "noticed"), epochs=50)
    assert apart(fitted(job, on), fitted(job, tk.Local(2))) < SAME
    (facts,) = on.of("worker")
    assert f"no sign of life for {patient(2.0):g} s" in facts["cause"]
    assert str(stopped[0]) in facts["name"]


@pytest.mark.slow  # a new actor imports torch; Local shows the same in tests/faults
def test_where_all_are_killed_others_are_waited_for(tmp_path: Path) -> None:
    killed: list[int] = []

    def react(event: str, facts: Facts) -> None:
        if event == "step" and not killed:
            killed.extend(actors())
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
            (tmp_path / "killed").touch()

    on = Heard(tk.Ray(2), react)
    job = task(adamw, partial(slow, tmp_path / "killed"), epochs=20)
    assert apart(fitted(job, on), fitted(job, tk.Inline())) < SAME
    assert len(on.of("worker")) == 2


def test_what_a_rank_raises_stops_all_with_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    fitted(task(), tk.Ray(2))
    capfd.readouterr()
    with pytest.raises(NodeFailed, match="ZeroDivisionError") as caught:
        fitted(task(loss=raises_on_the_second, epochs=50), tk.Ray(2))
    assert caught.value.node == "rank 1"
    assert "raises_on_the_second" in str(caught.value)
    assert capfd.readouterr().err == ""


def raises_on_the_second(out: Any, y: Any) -> Any:
    """A loss that raises on one rank after some steps."""
    COUNTED.append(1)
    time.sleep(0.01)
    if len(COUNTED) > 60 and torch.distributed.get_rank() == 1:
        raise ZeroDivisionError("on purpose")
    return torch.nn.functional.mse_loss(out, y)


COUNTED: list[int] = []


def test_more_than_the_cluster_has_is_refused_at_once_with_a_cure() -> None:
    with pytest.raises(tk.PlanError, match=r"the cluster has \d+ CPUs, and 2 workers of 4000 are required"):
        fitted(task(), tk.Ray(2, cpus=4000))


class Actor:
    """The methods of an actor that RankLauncher calls; it never connects."""

    def __init__(self, number: int, cause: str | None = None) -> None:
        self.number, self.cause, self.token = number, cause, b""
        self.started, self.beats = False, 0

    def load(self, load: Any, segments: Any) -> None:
        """Hold nothing."""

    def place(self, plan: Any, segments: Any) -> None:
        """Do nothing."""

    def start_task(self, task: Any, listener: tuple[str, int], token: bytes) -> None:
        self.token = token

    def task_end(self, patience: float) -> str | None:
        return self.cause

    def poll(self) -> None:
        """Count up, where it has started."""
        self.beats += self.started

    def end(self) -> str:
        return ""

    def clear(self) -> None:
        """Hold nothing."""


@contextmanager
def launcher(*given: Actor) -> Iterator[RankLauncher]:
    """A launcher to which connections can be made."""
    actors = ActorSet(Resources(workers=len(given), cpus=1, gpus=0), "", None)
    listener = socket.create_server(("127.0.0.1", 0))
    got = RankLauncher(actors=actors, load=((), []), plan=((), []), task=(), listener=listener, silence=5.0)
    actors.idle.update(cast(Any, {actor.number: actor for actor in given}))
    try:
        yield got
    finally:
        got.close()


def connect(at: RankLauncher, data: bytes) -> socket.socket:
    sock = socket.create_connection(at.listener.getsockname(), 5.0)
    sock.sendall(data)
    sock.shutdown(socket.SHUT_WR)
    return sock


def test_only_who_has_a_token_is_let_in_and_only_once() -> None:
    actor = Actor(0)
    with launcher(actor) as listener:
        assert listener.start_rank(False) is None
        for data in (b"", b"GET / HTTP/1.1\r\n\r\n", HELLO.pack(bytes(32), 1), HELLO.pack(b"x" * 32, 1) * 9):
            with connect(listener, data) as sock:
                assert listener.start_rank(False) is None
                with suppress(ConnectionError):
                    assert sock.recv(1) == b"", "it is turned away"
        hello = HELLO.pack(actor.token, 4711)
        with connect(listener, hello), connect(listener, hello) as again:
            rank = listener.start_rank(True)
            assert rank is not None
            assert rank.name == "process 4711 on 127.0.0.1"
            assert listener.start_rank(False) is None
            assert again.recv(1) == b""
            rank.release()
        assert cast(Any, listener.actors.idle) == {0: actor}


def test_actors_that_cannot_start_are_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkoot.engines.ray.ranks.RETRY", 0.0)
    monkeypatch.setattr(
        ActorSet, "worker", lambda self, number: Actor(number, "ModuleNotFoundError: No torch")
    )
    with launcher() as listener:
        broken = replace(
            listener, actors=replace(listener.actors, resources=replace(listener.actors.resources, workers=1))
        )
        with pytest.raises(NodeLost, match="no actor could be started: ModuleNotFoundError: No torch"):
            broken.start_rank(True)
        assert broken.start_rank(False) is None, "who does not wait is not troubled"


def test_actors_that_do_not_come_are_not_waited_for_forever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkoot.engines.ray.ranks.START", 0.3)
    with (
        launcher(Actor(0), Actor(1)) as listener,
        pytest.raises(NodeLost, match=r"2 of 2 actors did not connect within 0\.3 s"),
    ):
        listener.start_rank(True)


def test_actors_that_answer_are_waited_for_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkoot.engines.ray.ranks.START", 0.3)
    monkeypatch.setattr("talkoot.engines.ray.ranks.LONGEST", 1.0)
    slow = Actor(1)
    slow.started = True  # it imports torch
    with (
        launcher(Actor(0), slow) as listener,
        pytest.raises(NodeLost, match=r"2 of 2 actors did not connect within 1 s"),
    ):
        listener.start_rank(True)


def test_classical_learners_on_ray_do_without_torch() -> None:
    script = (
        "import sys, talkoot.engines.ray.nodes as n; assert 'torch' not in sys.modules; print(n.__name__)"
    )
    got = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=patient(), check=True
    )
    assert got.stdout.split() == ["talkoot.engines.ray.nodes"]


@pytest.mark.slow  # Local shows the same
def test_warm_actors_learn_by_what_was_reloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "rates_of_ray.py"
    got: list[Any] = []
    for rate in ("0.05", "0.0"):
        file.write_text(f"import tasks\n\ndef build():\n    return tasks.at_rate({rate})\n")
        importlib.invalidate_caches()
        module = importlib.import_module("rates_of_ray") if not got else importlib.reload(got[0])
        fits = [tk.fit(task(module.build), X, Y, on=on) for on in (tk.Inline(), tk.Ray(2))]
        assert apart(*(fit.model for fit in fits)) < SAME
        got.append(module)
    assert "'rates_of_ray'" in fits[1].note
    del sys.modules["rates_of_ray"]
