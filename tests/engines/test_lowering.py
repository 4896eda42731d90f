"""Which plans engines run as a whole: the conditions, side by side."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import talkoot as tk
from talkoot.core.errors import PlanError
from talkoot.core.plan import Plan
from talkoot.data.samples.samples import samples
from talkoot.engines.lowering import by_one_rank, by_ranks, in_steps
from talkoot.learners.deep.task import Torch
from talkoot.testing.toys import Walk

X = np.zeros((8, 2), np.float32)
SAMPLES: Any = samples((X, X))
ROWS = tk.shards({"a": X})


def build() -> Any:
    module = torch.nn.Linear(2, 2)
    return module, torch.optim.SGD(module.parameters(), lr=0.1)


def plan(sync: Any, *more: Any, **given: Any) -> Plan:
    task = Torch(build, torch.nn.functional.mse_loss)
    return Plan(task, chain=[tk.weigh("rows"), *more], sync=sync, **given)


STEPS = plan(tk.every_step())
ROUNDS = plan(tk.every(steps=2))
PLANS: dict[str, tuple[Plan, tuple[bool, bool, bool, bool]]] = {
    # by ranks, by one rank, and with checkpoints, in steps
    "every step": (STEPS, (True, True, True, True)),
    "sharded": (plan(tk.every_step(sharded=True)), (True, True, True, True)),
    "packed": (plan(tk.every_step(), tk.quantize()), (True, True, True, False)),
    "each": (plan(tk.every_step(), merge=tk.Median()), (True, True, True, False)),
    "outer": (plan(tk.every_step(), outer=tk.Nesterov()), (True, True, True, False)),
    "rounds": (ROUNDS, (True, False, True, False)),
    "quorum": (plan(tk.every(steps=2, quorum=1)), (False, False, True, False)),
    "toy": (Plan(Walk(), sync=tk.rounds(2)), (True, False, True, False)),
}


@pytest.mark.parametrize("name", PLANS)
def test_what_is_run_as_a_whole(name: str) -> None:
    it, expected = PLANS[name]
    alone = [by_one_rank(it, SAMPLES, checkpoint=checkpoint) for checkpoint in (False, True)]
    assert (by_ranks(it, SAMPLES, checkpoint=False), *alone, in_steps(it)) == expected


@pytest.mark.parametrize("it", [STEPS, ROUNDS], ids=["steps", "rounds"])
def test_rows_are_learned_from_round_by_round(it: Plan) -> None:
    assert not by_ranks(it, ROWS, checkpoint=True)
    assert not by_one_rank(it, ROWS, checkpoint=True)


@pytest.mark.parametrize("engine", [tk.Local(2, checkpoint="never"), tk.Ray(2, checkpoint="never")], ids=repr)
def test_checkpoints_that_nobody_would_write_are_refused(engine: Any) -> None:
    with pytest.raises(PlanError, match="a quorum of 1"):
        tk.fit(PLANS["quorum"][0].learner, (X, X), nodes=2, on=engine, sync=tk.every(steps=2, quorum=1))
