"""Nodes that are late go on, and count in the round in which they arrive; in real processes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import pytest
from faulty import Hurried
from pacing import SCHEMA, Paced, Step, sites, step, write

from patience import patient
from talkoot.core.engine import Emit, Engine, Run, ignore
from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.core.round import Outcome, Round
from talkoot.core.run import run
from talkoot.core.sync import Rounds, Sync, every
from talkoot.engines.inline import Inline
from talkoot.engines.local import Local
from talkoot.engines.processes.pool import DEEP
from talkoot.guards.weigh import weigh

psutil = pytest.importorskip("psutil")
START = np.zeros(1)
MORE = patient(0.4)  # seconds that others leave a node to come first; the grace triples them


def go(learner: Paced, engine: Engine, emit: Emit = ignore, nodes: str = "abc", **sync: Any) -> Run:
    plan = Plan(learner, chain=[weigh("rows")], sync=Rounds(**{"quorum": 2, "grace": 3.0, **sync}))
    return run(plan, sites(nodes), engine, schema=SCHEMA, emit=emit)


def after(index: int, act: Callable[[], None]) -> Emit:
    """Act when a round is over."""

    def emit(event: str, facts: Mapping[str, Any]) -> None:
        if event == "round" and facts["round"] == index:
            act()

    return emit


def behind(node: str, rounds: tuple[int, ...], others: str = "ab") -> dict[Step, tuple[str, float]]:
    """The others wait in these rounds until a node has done its work, and a little longer."""
    return {(other, index): (f"{node}{index}", MORE) for other in others for index in rounds}


def arrived(done: Run) -> list[str]:
    return ["".join(outcome.arrived) for outcome in done.history]


def late(done: Run) -> list[str]:
    return ["".join(outcome.late) for outcome in done.history]


@final
@dataclass(frozen=True, slots=True)
class Until(Sync):
    """Short rounds without those that are late, until a node has arrived."""

    node: str
    ends: ClassVar[bool] = True

    def next(self, last: Outcome | None) -> Round | None:
        """The next one."""
        came = last is not None and self.node in last.arrived
        return None if came else Rounds(quorum=2, grace=0.2).next(last)


def pid(folder: Path, node: str) -> int:
    return int((folder / f"{node}.pid").read_text())


def test_a_round_takes_the_time_of_its_quorum_and_the_grace(tmp_path: Path) -> None:
    slow = Paced(str(tmp_path), {("c", 0): ("never", 0.0)}, pace=0.4)
    done = go(slow, Local(3), limit=2, grace=1.0)
    assert arrived(done) == ["ab", "ab"]
    assert late(done) == ["c", "c"]
    for outcome in done.history:
        assert outcome.committed
        assert not outcome.failed
        assert outcome.seconds >= 0.8
    assert not psutil.pid_exists(pid(tmp_path, "c")), "who is late when the run is over is ended"


@pytest.mark.parametrize("engine", [Local(3), Inline(3)], ids=repr)
def test_who_is_late_goes_on_and_counts_in_the_round_in_which_it_arrives(
    engine: Engine, tmp_path: Path
) -> None:
    waits = {("c", 0): ("go", 0.0), ("a", 2): ("c0", MORE), ("b", 2): ("c0", MORE), **behind("c", (3,))}
    done = go(Paced(str(tmp_path), waits), engine, after(1, lambda: write(str(tmp_path), "go")), limit=4)
    assert arrived(done) == ["ab", "ab", "abc", "abc"]
    assert late(done) == ["c", "c", "", ""]
    one = step(START, a=START, b=START)
    two = step(one, a=one, b=one)
    three = step(two, a=two, b=two, c=START)
    np.testing.assert_allclose(done.model["at"], step(three, a=three, b=three, c=three), rtol=1e-12)
    assert done.update.values["count"] == pytest.approx((10 * 4 + 20 * 4 + 30 * 2) / 60), "its state is kept"


@pytest.mark.parametrize("engine", [Local(3), Inline(3)], ids=repr)
def test_what_comes_late_to_a_round_that_does_not_count_waits_for_the_next(
    engine: Engine, tmp_path: Path
) -> None:
    waits = {("c", 0): ("go", 0.0), **{(node, index): ("c0", MORE) for node in "ab" for index in (1, 2)}}
    learner = Paced(str(tmp_path), waits, raises=(("a", 1), ("b", 1)))
    done = go(learner, engine, after(0, lambda: write(str(tmp_path), "go")), limit=3)
    assert [outcome.committed for outcome in done.history] == [True, False, True]
    assert arrived(done)[1:] == ["c", "abc"]
    one = step(START, a=START, b=START)
    np.testing.assert_allclose(done.model["at"], step(one, a=one, b=one, c=START), rtol=1e-12)


def test_a_late_node_that_is_killed_is_asked_anew(tmp_path: Path) -> None:
    learner = Paced(str(tmp_path), {("c", 0): ("never", 0.0), **behind("c", (1,))})
    lost: list[Mapping[str, Any]] = []

    def kill(event: str, facts: Mapping[str, Any]) -> None:
        after(0, lambda: os.kill(pid(tmp_path, "c"), signal.SIGKILL))(event, facts)
        if event == "worker":
            lost.append(facts)

    done = go(learner, Local(3), kill, limit=2)
    assert arrived(done) == ["ab", "abc"]
    assert [facts["nodes"] for facts in lost] == [["c"]]
    assert "SIGKILL" in lost[0]["cause"]
    one = step(START, a=START, b=START)
    np.testing.assert_allclose(done.model["at"], step(one, a=one, b=one, c=one), rtol=1e-12)


def test_a_late_node_that_is_stopped_is_given_up_by_name_also_in_short_rounds(tmp_path: Path) -> None:
    learner = Paced(str(tmp_path), {("c", 0): ("never", 0.0)}, pace=0.03)
    stop, silence = after(0, lambda: os.kill(pid(tmp_path, "c"), signal.SIGSTOP)), patient(1.5)
    plan = Plan(learner, chain=[weigh("rows")], sync=Until("c"))
    done = run(plan, sites("abc"), Local(3, silence=silence), schema=SCHEMA, emit=stop)
    given_up = [outcome for outcome in done.history if outcome.failed]
    assert [list(outcome.failed) for outcome in given_up] == [["c"]]
    assert f"no sign of life from its worker for {silence:g} s" in given_up[0].failed["c"]
    assert done.history[-1].round.index > given_up[0].round.index, "its next worker takes part again"


def test_nodes_of_a_worker_that_is_late_wait_for_it(tmp_path: Path) -> None:
    learner = Paced(str(tmp_path), {("c", 0): ("never", 0.0)}, pace=patient(0.2))
    equal = dict.fromkeys("abcd", 10)
    plan = Plan(learner, chain=[weigh("rows")], sync=Rounds(limit=2, quorum=2, grace=4.0))
    done = run(plan, sites("abcd", equal), Local(2), schema=SCHEMA)
    assert arrived(done) == ["abd", "bd"]
    assert late(done) == ["c", "ac"]


def test_without_grace_all_are_waited_for(tmp_path: Path) -> None:
    learner = Paced(str(tmp_path), {("c", 0): ("", 1.0)})
    done = go(learner, Local(3), limit=1, grace=None)
    assert arrived(done) == ["abc"]


def test_the_deadline_ends_also_who_is_late(tmp_path: Path) -> None:
    learner = Paced(str(tmp_path), {("c", 0): ("never", 0.0), ("b", 1): ("never", 0.0)})
    sync = Hurried(hurried=1, deadline=patient(1.5), limit=2, quorum=2, grace=3.0)
    plan = Plan(learner, chain=[weigh("rows")], sync=sync)
    done = run(plan, sites("abc"), Local(3), schema=SCHEMA)
    assert late(done) == ["c", ""]
    assert set(done.history[1].failed) == {"b", "c"}
    assert not done.history[1].committed


def test_fragments_leave_no_room_for_late_ones() -> None:
    with pytest.raises(PlanError, match="another fragment") as caught:
        every(steps=10, fragments=2, quorum=2, grace=0.5)
    assert "grace=" in str(caught.value.cure)


def test_who_is_late_is_who_was_asked_and_did_neither_arrive_nor_fail() -> None:
    rnd = Round(index=0, cohort=("a", "b", "c"))
    given: Any = {"committed": True, "metrics": {}, "seconds": 0.0}
    assert Outcome(round=rnd, arrived=("a",), failed={"b": "why"}, **given).late == ("c",)


@pytest.fixture
def deep() -> Iterator[None]:
    """No worker with torch is left for tests that count processes."""
    yield
    DEEP.stop()


@pytest.mark.usefixtures("deep")
def test_modules_of_torch_are_trained_with_a_quorum_and_a_new_worker_starts_from_the_model(
    tmp_path: Path,
) -> None:
    torch = pytest.importorskip("torch")
    import talkoot as tk

    def build() -> Any:
        module = torch.nn.Linear(6, 1)
        return module, torch.optim.AdamW(module.parameters(), lr=0.05)

    def dies(output: Any, target: Any, calls: list[None] = []) -> Any:  # noqa: B006 - counts in its process
        calls.append(None)
        if len(calls) == 12 and not (tmp_path / "died").exists():
            write(str(tmp_path), "died")
            os.kill(os.getpid(), signal.SIGKILL)
        return torch.nn.functional.mse_loss(output, target)

    rng = np.random.default_rng(3)
    X = rng.normal(size=(240, 6)).astype(np.float32)
    y = X @ rng.normal(size=(6, 1)).astype(np.float32)

    def fit(loss: Any, on: Any) -> np.ndarray:
        task = tk.Torch(build, loss, batch=24, epochs=6)
        done = tk.fit(task, X, y, nodes=2, on=on, sync=tk.every(steps=5, quorum=2, grace=50.0))
        assert [len(outcome.arrived) for outcome in done.history] == [2] * 12
        weight: np.ndarray = done.model.weight.detach().numpy()
        return weight

    plain = fit(torch.nn.functional.mse_loss, tk.Inline())
    np.testing.assert_allclose(fit(torch.nn.functional.mse_loss, tk.Local(2)), plain, rtol=1e-5, atol=1e-6)
    anew = fit(dies, tk.Local(2))
    assert (tmp_path / "died").exists()
    assert 0 < np.abs(anew - plain).max() < 0.2, "its optimizer starts afresh, the model does not"
