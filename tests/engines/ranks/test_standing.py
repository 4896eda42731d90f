"""Runs of rounds go on from a checkpoint as if they had not stopped."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from talkoot.api.job import samples_schema
from talkoot.core.engine import Engine, Run
from talkoot.core.outer import Adam, Add, Nesterov, Outer
from talkoot.core.plan import Plan
from talkoot.core.run import run
from talkoot.core.sync import every
from talkoot.data.samples.samples import samples
from talkoot.data.shards import Shards
from talkoot.engines.checkpoint import Checkpoint
from talkoot.engines.inline import Inline
from talkoot.engines.local import Local
from talkoot.engines.ranks.checkpoint.rounds_state import arrays, tensors
from talkoot.guards.weigh import weigh
from talkoot.learners.deep.task import Torch

_rng = np.random.default_rng(0)
X = _rng.normal(size=(512, 8)).astype(np.float32)
Y = X[:, :3].argmax(axis=1)


def build() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """Its optimizer keeps nothing, so nodes lose nothing when a run goes on elsewhere."""
    module = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3))
    return module, torch.optim.SGD(module.parameters(), lr=0.2)


class Stop(Exception):
    """As if the machine went down."""


def train(engine: Engine, outer: Outer, stop: int | None = None) -> Run:
    def emit(event: str, facts: Mapping[str, Any]) -> None:
        if event == "round" and facts["round"] == stop:
            raise Stop

    shards = Shards(samples((X, Y))).deal(2)  # type: ignore[arg-type]
    task = Torch(build, torch.nn.functional.cross_entropy, batch=32, epochs=3)
    plan = Plan(task, chain=[weigh("rows")], outer=outer, sync=every(steps=4))
    return run(plan, shards, engine, schema=samples_schema(shards), emit=emit)


@pytest.mark.parametrize("outer", [Add(), Nesterov(), Adam(0.01)], ids=repr)
def test_a_run_of_rounds_goes_on_from_its_checkpoint(outer: Outer, tmp_path: Path) -> None:
    expected = train(Inline(), outer)
    checkpoint = Checkpoint(tmp_path, every=0)
    with pytest.raises(Stop):
        train(Inline(checkpoint=checkpoint), outer, stop=5)
    got = train(Inline(checkpoint=checkpoint), outer)
    assert len(got.history) == len(expected.history) == 12
    for name, value in expected.model.items():
        assert_allclose(got.model[name], value, atol=1e-6)
    losses = [outcome.metrics["loss"] for outcome in got.history]
    assert_allclose(losses, [outcome.metrics["loss"] for outcome in expected.history], atol=1e-6)


def test_on_other_engines_too_and_what_is_finished_stays_so(tmp_path: Path) -> None:
    expected = train(Inline(), Nesterov())
    checkpoint = Checkpoint(tmp_path, every=0)
    with pytest.raises(Stop):
        train(Inline(checkpoint=checkpoint), Nesterov(), stop=5)
    for stop in (None, 0):  # the second would stop at its first round, and holds none
        got = train(Local(2, checkpoint=checkpoint), Nesterov(), stop)
        for name, value in expected.model.items():
            assert_allclose(got.model[name], value, atol=1e-6)


def test_outer_states_become_tensors_and_come_back() -> None:
    model = {"w": np.arange(3.0), "buffer:n": np.zeros(1)}
    state = Adam().init(model)
    again = arrays(tensors(state), state)
    assert type(again) is type(state)
    assert again.steps == state.steps
    assert_allclose(again.first["w"], state.first["w"])
