"""Inline: threads, their share of the cores, and nodes that nobody waits for any more."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, final

import numpy as np
import pytest
from probes import SCHEMA, Probe, ask, nodes
from threadpoolctl import threadpool_info

from patience import patient
from talkoot.core.context import Ctx
from talkoot.core.errors import NodeFailed, NodeSilent, PlanError
from talkoot.core.plan import Plan
from talkoot.core.query import Answer, Query
from talkoot.core.round import Meeting, Round
from talkoot.core.run import run
from talkoot.core.shard import Block, Shard
from talkoot.core.sync import rounds
from talkoot.core.update import Update
from talkoot.data.tables.arrays import ArrayShard
from talkoot.engines.counted import Counted
from talkoot.engines.inline import Inline
from talkoot.testing.engines import check_engine


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_it_is_the_reference_on_any_number_of_threads(threads: int) -> None:
    check_engine(Inline(threads), rtol=0.0)


def test_it_refuses_no_threads() -> None:
    with pytest.raises(PlanError, match="at least one thread"):
        Inline(0)


def pools() -> dict[str, set[int]]:
    import sklearn.cluster  # noqa: F401 - brings OpenMP

    found: dict[str, set[int]] = {"blas": set(), "openmp": set()}
    for info in threadpool_info():
        found[info["user_api"]].add(info["num_threads"])
    return found


@pytest.mark.parametrize(("threads", "count"), [(1, 1), (1, 3), (4, 1), (4, 2), (2, 7)])
def test_each_node_uses_one_core(threads: int, count: int) -> None:
    before = pools()
    seen: list[dict[str, set[int]]] = []

    def look(model: Any, shard: Any, ctx: Any) -> dict[str, Any]:
        seen.append(pools())
        return {}

    ask(Inline(threads), look, nodes(count))
    assert seen == [{"blas": {1}, "openmp": {1}}] * count
    assert pools() == before, "the process has its own again"


def test_nodes_work_at_the_same_time() -> None:
    meet = threading.Barrier(3, timeout=patient())

    def wait(model: Any, shard: Any, ctx: Any) -> dict[str, Any]:
        meet.wait()
        return {}

    ask(Inline(3), wait, nodes(3))


@final
@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Drip(Shard):
    """Blocks one after the other until it is stopped; then `over` is set."""

    name: str
    over: threading.Event = field(default_factory=threading.Event)

    def blocks(self) -> Iterator[Block]:
        """A block of two rows every hundredth of a second, without end."""
        try:
            while True:
                time.sleep(0.01)
                yield Block(X=np.ones((2, 2)))
        finally:
            self.over.set()


def read(model: Any, shard: Any, ctx: Any) -> dict[str, Any]:
    if ctx.node == "bad":
        raise KeyError("bad")
    for _ in shard.blocks():
        pass
    return {}


def test_a_failure_stops_the_other_nodes_between_two_blocks() -> None:
    drip = Drip(name="drip")
    with pytest.raises(NodeFailed, match="bad"):
        ask(Inline(2), read, {"drip": drip, "bad": ArrayShard(name="bad", X=np.ones((1, 2)))})
    assert drip.over.wait(patient())


@pytest.mark.parametrize("threads", [1, 2])
def test_a_deadline_stops_nodes_between_two_blocks(threads: int) -> None:
    drip = Drip(name="drip")
    plan = Plan(Probe(read), sync=rounds(1, deadline=0.1))
    with pytest.raises(NodeSilent, match=r"no answer before the deadline of 0\.1 s"):
        run(plan, {"drip": drip}, Inline(threads), schema=SCHEMA)
    assert drip.over.wait(patient())


@pytest.mark.parametrize("threads", [1, 2])
def test_rows_are_told_while_they_are_read(threads: int) -> None:
    told: list[Mapping[str, Any]] = []

    def emit(event: str, facts: Mapping[str, Any]) -> None:
        if event == "rows":
            told.append(facts)
            if len(told) == 3:
                raise KeyboardInterrupt

    shards = {name: Drip(name=name) for name in "xy"}
    with pytest.raises(KeyboardInterrupt):
        run(Plan(Probe(read)), shards, Inline(threads), schema=SCHEMA, emit=emit)
    own = [facts["rows"] for facts in told if facts["node"] == "x"]
    assert own == sorted(own)
    assert own[0] >= 2


SCRIPT = """
import sys, time
sys.path.insert(0, {here!r})
from probes import *
from talkoot.core.sync import rounds
from talkoot.core.update import Update
from talkoot.engines.inline import Inline

def hang(model, shard, ctx):
    if ctx.node == "a":
        print("at work", flush=True)
    time.sleep(3600)

try:
    run(Plan(Probe(hang), sync=rounds(1, deadline={deadline})), nodes(2), Inline(2), schema=SCHEMA)
except {error} as error:
    print("caught", type(error).__name__, flush=True)
"""


def script(deadline: float, error: str) -> subprocess.Popen[str]:
    source = SCRIPT.format(here=str(Path(__file__).parent), deadline=deadline, error=error)
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, "-c", source], stdout=pipe, stderr=pipe, text=True)


def test_a_node_that_hangs_does_not_keep_the_interpreter_from_ending() -> None:
    with script(0.2, "Exception") as process:
        out, errors = process.communicate(timeout=patient())
    assert out.splitlines()[-1] == "caught NodeSilent"
    assert (process.returncode, errors) == (0, "")


def test_ctrl_c_does_not_wait_for_threads() -> None:
    with script(50, "KeyboardInterrupt") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "at work\n"
        os.kill(process.pid, signal.SIGINT)
        out, errors = process.communicate(timeout=patient())
    assert out.splitlines()[-1] == "caught KeyboardInterrupt"
    assert (process.returncode, errors) == (0, "")


def test_a_counted_shard_is_the_shard_in_all_else() -> None:
    shard = ArrayShard(name="a", X=np.ones((5, 2)))
    counts: list[int] = []
    counted: Any = Counted(shard, counts.append)
    assert [isinstance(counted, kind) for kind in (ArrayShard, Shard, Drip)] == [True, True, False]
    assert (counted.name, counted.rows, counted.layout()) == ("a", 5, shard.layout())
    assert [len(block) for block in counted.blocks()] == counts == [5]
    with pytest.raises(AttributeError, match="nothing"):
        _ = counted.nothing


@final
@dataclass(frozen=True, eq=False)
class _Held(Query):
    """Counts its rounds in its own state; node "slow" is held in its first one."""

    go: threading.Event = field(default_factory=threading.Event)
    gone: threading.Event = field(default_factory=threading.Event)

    def answer(self, shard: Shard) -> Answer:
        raise AssertionError(f"{shard.name} has a state, see work")

    def work(self, question: None, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """The rounds that the node remembers."""
        if ctx.node == "slow" and ctx.round == 0:
            self.go.wait(patient())
            threading.Timer(0.2, self.gone.set).start()
        return Update(values={"rounds": np.array([local or 0])}, weight=1.0), (local or 0) + 1


def test_what_is_given_up_leaves_no_state_behind() -> None:
    """A thread that ends late must not change the node's state under its next round."""
    shards = {name: ArrayShard(name=name, X=np.ones((2, 2))) for name in ("quick", "slow")}
    learner = _Held()
    with Inline(2).open(shards) as nodes:
        nodes.place(Plan(learner))
        meeting = Meeting(quorum=1, deadline=0.3)
        first = nodes.round(Round(index=0, cohort=("quick", "slow"), meeting=meeting), None)
        assert list(first.failed) == ["slow"]
        learner.go.set()
        assert learner.gone.wait(patient())
        second = nodes.round(Round(index=1, cohort=("quick", "slow"), meeting=Meeting(quorum=2)), None)
    assert second.each is not None
    assert {n: int(u.values["rounds"][0]) for n, u in second.each.items()} == {"quick": 1, "slow": 0}
