"""Recipes: plans that print, train, and give the same model in one process and on ranks."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

import talkoot as tk
from talkoot import recipes
from talkoot.core.engine import Engine
from talkoot.core.plan import Plan
from talkoot.formats.plans import plan_digest

RECIPES: dict[str, Callable[[Any], Plan]] = {
    "fedavg": lambda task: recipes.fedavg(task, steps=8),
    "fedavg of passes": lambda task: recipes.fedavg(replace(task, epochs=1), rounds=8),
    "fedadam": lambda task: recipes.fedadam(task, steps=4),
    "diloco": lambda task: recipes.diloco(task, steps=8),
    "diloco in 8 bits": lambda task: recipes.diloco(task, steps=8, bits=8),
    "diloco in 4 bits": lambda task: recipes.diloco(task, steps=8, bits=4),
    "streaming": lambda task: recipes.streaming_diloco(task, steps=16, fragments=2, delay=3),
    "decoupled": lambda task: recipes.decoupled_diloco(task, steps=8, quorum=2),
}
FUNCTIONS = [
    f for _, f in inspect.getmembers(recipes, inspect.isfunction) if f.__module__ == recipes.__name__
]
PUBLIC = [function for function in FUNCTIONS if not function.__name__.startswith("_")]

rng = np.random.default_rng(0)
X = rng.normal(size=(512, 20)).astype(np.float32)
Y = np.tanh(X @ rng.normal(size=(20, 3))).astype(np.float32)


def build() -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    module = torch.nn.Sequential(torch.nn.Linear(20, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3))
    return module, torch.optim.AdamW(module.parameters(), lr=5e-3)


def task(epochs: float = 8) -> tk.Torch:
    return tk.Torch(build, torch.nn.functional.mse_loss, batch=32, epochs=epochs)


def trained(plan: Plan, on: Engine) -> Any:
    half = {"here": (X[:200], Y[:200]), "there": (X[200:], Y[200:])}
    return tk.run(plan, half, on=on).model


def loss(module: Any) -> float:
    with torch.no_grad():
        return float(torch.nn.functional.mse_loss(module(torch.from_numpy(X)), torch.from_numpy(Y)))


@pytest.fixture(scope="module")
def at_every_step() -> float:
    return loss(trained(Plan(task(), chain=[tk.weigh("rows")], sync=tk.every_step()), tk.Inline()))


@pytest.mark.parametrize("name", RECIPES)
def test_it_trains_about_as_well_as_meetings_at_every_step(name: str, at_every_step: float) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = loss(build()[0])
    end = loss(trained(RECIPES[name](task()), tk.Inline()))
    assert at_every_step < 0.3 * start
    assert end < at_every_step + 0.1 * start


@pytest.mark.parametrize("name", RECIPES)
def test_it_prints_and_is_a_value(name: str) -> None:
    one = task()
    plan = RECIPES[name](one)
    assert str(plan).startswith("learner  Torch(build, mse_loss")
    assert plan_digest(plan) == plan_digest(RECIPES[name](one))


@pytest.mark.parametrize("name", ["diloco in 8 bits", "streaming"])
def test_workers_that_talk_to_each_other_give_the_model_of_one_process(name: str) -> None:
    plan = RECIPES[name](task(2))
    here, there = trained(plan, tk.Inline()).state_dict(), trained(plan, tk.Local(2)).state_dict()
    for key, value in here.items():
        torch.testing.assert_close(there[key], value, rtol=1e-5, atol=1e-5)


def test_a_pass_of_federated_averaging_is_over_all_rows_of_a_node() -> None:
    sizes: list[int] = []

    def counted(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        sizes.append(len(y))
        return torch.nn.functional.mse_loss(out, y)

    counting = tk.Torch(build, counted, batch=32)
    trained(recipes.fedavg(counting, rounds=1), tk.Inline())
    rehearsed = 12 + 20  # one batch of each node, before it starts
    assert 512 <= sum(sizes) - rehearsed < 512 + 32


def test_numbers_that_make_no_sense_are_refused() -> None:
    with pytest.raises(tk.PlanError, match="delay=30 does not fit between meetings 25 steps apart"):
        recipes.streaming_diloco(task(), steps=100, delay=30)
    with pytest.raises(tk.PlanError, match="8 fragments cannot take turns within 4 steps"):
        recipes.streaming_diloco(task(), steps=4, fragments=8)
    with pytest.raises(tk.PlanError, match="does not say when to stop"):
        trained(recipes.fedavg(task()), tk.Inline())


@pytest.mark.parametrize("recipe", PUBLIC, ids=lambda f: f.__name__)
def test_every_recipe_is_documented_with_its_source_and_an_example(recipe: Callable[..., Plan]) -> None:
    text = inspect.getdoc(recipe) or ""
    assert ">>>" in text
    assert "arXiv:" in text
    assert "Use it where" in text
    for argument in inspect.signature(recipe).parameters:
        assert f"{argument}:" in text, argument
