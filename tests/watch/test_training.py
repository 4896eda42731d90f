"""Real trainings, as those who started them hear of them."""

from __future__ import annotations

import os
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

import talkoot as tk
from talkoot.api.job import Job, run_events
from talkoot.core.engine import Emit, Engine, Run, ignore
from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.core.shard import Schema, Shard
from talkoot.data.samples.samples import samples
from talkoot.data.shards import Shards
from talkoot.watch.events import read
from talkoot.watch.rank_changes import rank_changes
from talkoot.watch.state import replay

pytestmark = pytest.mark.wide

X = np.random.default_rng(0).normal(size=(401, 5)).astype(np.float32)
Y = X[:, :1] * 2


def build() -> Any:
    module = nn.Linear(5, 1)
    return module, torch.optim.SGD(module.parameters(), lr=0.01)


def deadly(mark: Path, output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """A loss that kills the second rank once, in the midst of the training."""
    rank = torch.distributed.get_rank() if torch.distributed.is_initialized() else 0
    with open(f"{mark} {os.getpid()}", "a") as file:
        file.write(".")
        steps = file.tell()
    if rank == 1 and steps == 100 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return mse_loss(output, target)


def task(loss: Any = mse_loss, **given: Any) -> tk.Torch:
    return tk.Torch(build=build, loss=loss, **{"batch": 40, "epochs": 5, **given})


def start(sync: Any = None, nodes: int | None = None, learner: Any = None) -> Mapping[str, Any]:
    """What is told of a job before it starts."""
    received: list[Mapping[str, Any]] = []
    given = Shards(cast(Any, samples(X, Y)))
    given = given if nodes is None else given.deal(nodes)
    job = Job.place(Plan(learner or task(), chain=[tk.weigh("rows")], sync=sync), given, tk.Inline())
    with run_events(job, lambda event, facts: received.append(facts)):
        pass
    return received[0]


def test_nodes_that_share_a_source_tell_their_own_rows() -> None:
    rows = start(nodes=3)["rows"]
    assert sorted(rows.values()) == [133, 134, 134]
    assert start()["rows"] == {"node0": 401}


def test_the_number_of_meetings_is_told_where_it_is_known() -> None:
    assert start()["rounds"] == 51  # 5 * 401 / 40, at every step
    assert start(tk.every(steps=20))["rounds"] == 3
    assert start(tk.every(steps=20, rounds=2))["rounds"] == 2
    assert start(tk.every(seconds=1.0, rounds=7))["rounds"] == 7
    with pytest.raises(PlanError, match="by the clock"):
        start(tk.every(seconds=1.0))


def test_a_solver_may_be_done_before_its_last_round() -> None:
    from sklearn.linear_model import LogisticRegression

    fit = tk.fit(LogisticRegression(), X, (Y[:, 0] > 0).astype(int), on=tk.Inline(), sync=tk.rounds(100))
    said = fit.events[0]
    assert (said["event"], said["rounds"], said["samples"]) == ("start", None, False)


def test_steps_are_what_is_counted_where_nodes_meet_at_each(tmp_path: Path) -> None:
    fit = tk.fit(task(), X, Y, on=tk.Inline(), log=tmp_path / "events.jsonl")
    assert repr(fit).startswith("<Fit: Linear, 1 nodes, 401 rows, 51 steps, ")
    state = replay(read(tmp_path))
    assert state.counted == (51, "step")
    assert (state.rows, state.steps.total) == (401, 51)
    assert "51 steps of 51" in fit.report(tmp_path / "report.html").read_text()
    assert fit.note == ""


def test_steps_are_counted_also_where_they_are_rounds() -> None:
    fit = tk.fit(task(epochs=1), X, Y, on=tk.Inline(), chain=[tk.weigh("rows"), tk.quantize()], nodes=2)
    assert "11 steps" in repr(fit)


def test_rounds_are_what_is_counted_where_nodes_meet_now_and_then() -> None:
    fit = tk.fit(task(), X, Y, on=tk.Inline(), sync=tk.every(steps=20), nodes=2)
    assert "3 rounds" in repr(fit)


@dataclass(frozen=True)
class Advised(Engine):
    """As Inline, which advises."""

    def open(self, shards: Mapping[str, Shard], emit: Emit = ignore) -> Any:
        return tk.Inline().open(shards, emit)

    def lower(
        self, plan: Plan, shards: Mapping[str, Shard], schema: Schema, emit: Emit = ignore
    ) -> Run | None:
        emit("advice", {"text": "take one process", "alone": 2.0, "together": 1.0})
        return tk.Inline().lower(plan, shards, schema, emit)


def test_advice_is_noted_and_reported(tmp_path: Path) -> None:
    fit = tk.fit(task(), X, Y, on=Advised())
    assert fit.note == "take one process"
    assert "Take one process." in fit.report(tmp_path / "report.html").read_text()


def test_a_rank_that_is_killed_is_named_with_its_cause(tmp_path: Path) -> None:
    loss = partial(deadly, tmp_path / "killed")
    fit = tk.fit(task(loss, epochs=60), X, Y, on=tk.Local(2), log=tmp_path / "events.jsonl")
    state = replay(read(tmp_path))
    assert (tmp_path / "killed").exists()
    assert state.counted == (602, "step")
    assert "602 steps" in repr(fit)
    (change,) = rank_changes(state)
    assert change.bad
    assert "rank 1 (process " in change.text
    assert "was killed (SIGKILL)" in change.text
    assert change.text.endswith("on with 2 ranks")
    assert 0 < change.step < 602
    page = fit.report(tmp_path / "report.html").read_text()
    assert "was killed (SIGKILL)" in page
    assert page.count("<polyline") == 2
