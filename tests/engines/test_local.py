"""Local: the reference's answers on warm worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from probes import SCHEMA, ask, nodes
from threadpoolctl import threadpool_info

from patience import patient
from talkoot.core.errors import DataError, NodeFailed, PlanError
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.data.tables.arrays import ArrayShard
from talkoot.engines.inline import Inline
from talkoot.engines.local import Local
from talkoot.engines.processes import memory
from talkoot.testing.engines import check_engine


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_it_gives_the_answers_of_the_reference(workers: int) -> None:
    check_engine(Local(workers))


def test_it_refuses_numbers_that_make_no_sense() -> None:
    with pytest.raises(PlanError, match="at least one worker"):
        Local(0)
    with pytest.raises(PlanError, match="positive silence="):
        Local(2, silence=0.0)


def test_it_says_so_where_processes_cannot_be_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with pytest.raises(PlanError, match="cannot fork") as caught:
        Local(2)
    assert "Inline" in str(caught.value.cure)


def pids(engine: Local, count: int = 2) -> set[int]:
    said = ask(engine, lambda model, shard, ctx: {"pid": np.array(os.getpid())}, nodes(count))
    return {int(leaves["pid"]) for leaves in said.values()}


def test_workers_are_kept_between_fits_and_shared_by_engines_of_any_size() -> None:
    first = pids(Local(2))
    assert len(first) == 2
    assert os.getpid() not in first
    assert pids(Local(2)) == first
    assert pids(Local(1)) < first
    assert pids(Local(8)) == first, "never more workers than nodes"


def test_nodes_go_to_the_same_workers_every_time() -> None:
    def homes() -> list[int]:
        said = ask(Local(2), lambda m, s, c: {"pid": np.array(os.getpid())}, nodes(7))
        order = sorted({int(leaves["pid"]) for leaves in said.values()})
        return [order.index(int(leaves["pid"])) for leaves in said.values()]

    first = homes()
    assert {first.count(0), first.count(1)} == {3, 4}
    assert homes() in (first, [1 - home for home in first])


def test_each_worker_uses_one_core() -> None:
    def threads(model: Any, shard: Any, ctx: Any) -> dict[str, Any]:
        import sklearn.cluster  # noqa: F401 - brings OpenMP

        found = {info["user_api"]: np.array(info["num_threads"]) for info in threadpool_info()}
        return found | {
            "arrow": np.array(pa.cpu_count()),
            "new": np.array(int(os.environ["OMP_NUM_THREADS"])),
        }

    for leaves in ask(Local(2), threads).values():
        assert leaves == dict.fromkeys(("blas", "openmp", "arrow", "new"), 1)


def test_rows_lie_in_shared_memory_and_cannot_be_written_to() -> None:
    def write(model: Any, shard: Any, ctx: Any) -> dict[str, Any]:
        for block in shard.blocks():
            block.X[:] = 0
        return {}

    with pytest.raises(NodeFailed, match="read-only"):
        ask(Local(2), write, nodes(2, 20_000))


def total(model: Any, shard: Any, ctx: Any) -> dict[str, Any]:
    return {"sum": np.array(sum(block.X.sum() for block in shard.blocks()))}


def test_fits_of_the_same_rows_copy_them_once(monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[int] = []
    make = memory.Segment

    def counting(pieces: Sequence[Any]) -> memory.Segment:
        copied.append(sum(memoryview(piece).nbytes for piece in pieces))
        return make(pieces)

    monkeypatch.setattr(memory, "Segment", counting)
    shards = nodes(3, 20_000)
    first = ask(Local(2), total, shards)
    assert copied == [3 * 20_000 * 2 * 8]
    assert ask(Local(2), total, shards) == ask(Local(3), total, shards) == first
    assert len(copied) == 1


def test_rows_that_were_changed_between_fits_are_seen_as_they_are() -> None:
    X = np.ones((30_000, 2))
    shards = {"a": ArrayShard(name="a", X=X)}
    assert ask(Local(1), total, shards)["a"]["sum"] == 60_000
    X[12_345, 1] = 0
    assert ask(Local(1), total, shards)["a"]["sum"] == 59_999


def test_large_models_and_updates_pass() -> None:
    big = np.arange(1_000_000.0)

    def double(model: Any, shard: Any, ctx: Any) -> dict[str, Any]:
        return {"big": model.ballast * 2}

    for leaves in ask(Local(2), double, ballast=big).values():
        np.testing.assert_array_equal(leaves["big"], big * 2)
        leaves["big"][0] = 1.0  # memory of its own, as with Inline


def test_workers_follow_the_folder_and_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def here(model: Any, shard: Any, ctx: Any) -> dict[str, Any]:
        return {"folder": np.array(os.getcwd()), "key": np.array(os.environ.get("TALKOOT_KEY", "none"))}

    assert ask(Local(2), here)["a"]["key"] == "none"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TALKOOT_KEY", "secret")
    said = ask(Local(2), here)["a"]
    assert (said["folder"], said["key"]) == (str(tmp_path), "secret")
    monkeypatch.delenv("TALKOOT_KEY")
    assert ask(Local(2), here)["a"]["key"] == "none"


def test_forked_workers_do_not_draw_the_same_numbers() -> None:
    said = ask(Local(2), lambda m, s, c: {"x": np.array(np.random.random())})
    assert said["a"]["x"] != said["b"]["x"]


def test_a_plan_that_cannot_be_sent_is_refused_before_anything_runs() -> None:
    lock = threading.Lock()
    with pytest.raises(PlanError, match="cannot go to worker processes") as caught:
        ask(Local(2), lambda m, s, c: {"x": np.array(lock.locked())})
    assert "Inline()" in str(caught.value.cure)


def test_rows_that_cannot_be_sent_are_named() -> None:
    shards: dict[str, Any] = nodes(2)
    shards["b"] = ArrayShard(name="b", X=threading.Lock())
    with pytest.raises(DataError, match="cannot go to a worker process") as caught:
        ask(Local(2), total, shards)
    assert caught.value.node == "b"


def test_an_answer_that_cannot_be_sent_is_named() -> None:
    with pytest.raises(NodeFailed, match="its answer cannot be sent: TypeError") as caught:
        ask(Local(1), lambda m, s, c: {"x": threading.Lock()} if c.node == "b" else {})
    assert caught.value.node == "b"


def test_code_that_workers_cannot_import_is_an_error_that_names_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = types.ModuleType("only_here")
    exec("def question(model, shard, ctx): return {}", module.__dict__)
    monkeypatch.setitem(sys.modules, "only_here", module)
    with pytest.raises(NodeFailed, match="ModuleNotFoundError: No module named 'only_here'"):
        ask(Local(2), module.question)
    assert ask(Local(2), lambda m, s, c: {"x": np.ones(1)}), "workers that could not load are not lost"


def test_a_run_without_nodes_needs_no_workers() -> None:
    plan = Plan(probe_of_nothing())
    done = run(plan, {}, Local(2), schema=SCHEMA)
    assert done.history[0].arrived == ()


def probe_of_nothing() -> Any:
    from probes import Probe

    return Probe(total)


def test_engines_may_be_nested() -> None:
    def nested(model: Any, shard: Any, ctx: Any) -> dict[str, Any]:
        return {"sum": ask(Local(1), total, {"x": ArrayShard(name="x", X=np.ones((3, 2)))})["x"]["sum"]}

    assert ask(Local(1), nested, nodes(1))["a"]["sum"] == 6


SCRIPT = """
import dataclasses, helper_beside_it, numpy as np, talkoot as tk
from talkoot.core.learner import Learner
from talkoot.core.outer import Solve
from talkoot.engines.local import Local

print("the script runs")

@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Model:
    sums: object = None
    done: bool = False

class Sums(Learner):
    kind = "exact"
    def init(self, schema, rng):
        return Model()
    def work(self, model, local, shard, ctx):
        assert isinstance(model, Model)
        return tk.Update(values={"s": helper_beside_it.add(b.X for b in shard.blocks())}), local
    def outer(self):
        return Solve(self.step)
    def step(self, model, update):
        return Model(update.values["s"], True)
    def finish(self, model):
        return model.sums

from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.data.schema import agree
shards = tk.shards(np.arange(8.0).reshape(4, 2), nodes=2)
schema, bound = agree(shards, Local(2))
for _ in range(2):
    print(run(Plan(Sums()), bound, Local(2), schema=schema).model.sums.tolist())
"""


def test_a_script_without_a_main_guard_may_bring_its_own_learner(tmp_path: Path) -> None:
    (tmp_path / "helper_beside_it.py").write_text(
        "def add(parts): return sum(p.sum(axis=0) for p in parts)\n"
    )
    (tmp_path / "job.py").write_text(textwrap.dedent(SCRIPT))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    got = subprocess.run(
        [sys.executable, "../job.py"],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        timeout=patient(),
        check=False,
    )
    assert got.stdout == "the script runs\n[12.0, 16.0]\n[12.0, 16.0]\n", got.stderr
    assert got.stderr == ""


def test_inline_and_local_agree_to_the_bit_where_each_node_has_its_own_worker() -> None:
    shards = nodes(3, 1000)
    assert ask(Local(3), total, shards) == ask(Inline(), total, shards)
