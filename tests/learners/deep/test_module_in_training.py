"""What is measured, which parts of a module stay in evaluation mode, and numbers that are not finite."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from tasks import SAME, X, Y, apart, by_hand, momentum, normed, task
from test_same_answer import Reference
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

import talkoot as tk
from talkoot.data.loading.shuffle import Shuffle

ENGINES: dict[str, Any] = {"Inline": tk.Inline(), "Local": tk.Local(2)}
rng = np.random.default_rng(3)


def fitted(job: tk.Torch, on: Any, **given: Any) -> nn.Module:
    model: nn.Module = tk.fit(job, X, Y, on=on, progress=False, **given).model
    return model


# Metrics


def accuracy(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (out.argmax(1) == y).float().mean()


def greedy() -> Any:
    """Learns every batch by heart in one step."""
    module = nn.Sequential(nn.Linear(60, 2, bias=False))
    nn.init.zeros_(module[0].weight)  # type: ignore[arg-type]
    return module, torch.optim.SGD(module.parameters(), lr=100.0)


@pytest.mark.parametrize(
    "sync", [tk.every_step(), tk.every(steps=2), tk.every(steps=3)], ids=["step", "two", "three"]
)
@pytest.mark.parametrize("on", [*ENGINES.values(), Reference()], ids=[*ENGINES, "Reference"])
def test_metrics_are_of_samples_that_are_new_to_the_module(on: Any, sync: Any) -> None:
    """Labels are random, and samples have nothing in common: whoever knows more has seen them."""
    ids, labels = np.eye(60, dtype=np.float32), rng.integers(0, 2, 60)
    job = tk.Torch(greedy, cross_entropy, batch=10, epochs=1, metrics={"accuracy": accuracy})
    history = tk.fit(job, ids, labels, on=on, sync=sync, nodes=1).history
    order = Shuffle(rows=60, seed=0, key="node0").at(0, 60)
    steps = [entry.round.index for entry in history]  # rounds count from 0, and steps are told when done
    if sync.gradient:
        steps = [step - (not isinstance(on, Reference)) for step in steps]
    else:
        steps = [(step + 1) * sync.steps - 1 for step in steps]
    for entry, step in zip(history, steps, strict=True):
        if step < 6:  # of one epoch; a module that knows nothing says 0
            expected = float((labels[order[step * 10 : step * 10 + 10]] == 0).mean())
            assert entry.metrics["accuracy"] == pytest.approx(expected)


def test_metrics_are_means_over_samples_however_ranks_share_them() -> None:
    job = task(batch=50, epochs=1, metrics={"first": lambda out, y: y[:, 0].mean()})
    last = Shuffle(rows=400, seed=0, key="node0").at(350, 400)
    for on in (tk.Inline(), tk.Local(3)):  # 50 samples are 16, 17 and 17
        got = tk.fit(job, X, Y, on=on).history[-1].metrics["first"]
        assert got == pytest.approx(float(Y[last].mean()), rel=1e-5)


# Evaluation mode of parts


def frozen() -> Any:
    """The usual way to keep a batch norm as it is."""
    module, _ = normed()
    module[1].running_mean += 0.5
    module[1].eval()
    return module, torch.optim.SGD(module.parameters(), lr=0.05)


class Stubborn(nn.Module):
    """The other usual way."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = normed()[0]

    def train(self, mode: bool = True) -> Stubborn:
        super().train(mode)
        self.layers[1].eval()
        return self

    def forward(self, x: torch.Tensor) -> Any:
        return self.layers(x)


def stubborn() -> Any:
    module = Stubborn().train()
    return module, torch.optim.SGD(module.parameters(), lr=0.05)


@pytest.mark.parametrize("build", [frozen, stubborn])
@pytest.mark.parametrize("sync", [tk.every_step(), tk.every(steps=4)], ids=["every step", "rounds"])
def test_parts_in_evaluation_mode_stay_so(build: Any, sync: Any) -> None:
    job = task(build, epochs=1, metrics={"loss again": mse_loss})
    one = by_hand(job)
    for on in (tk.Inline(), Reference()):
        assert apart(fitted(job, on, sync=sync, nodes=1), one) < SAME
    if sync.gradient:
        assert apart(fitted(job, tk.Local(2), sync=sync), one) < SAME


def test_a_module_in_evaluation_mode_as_a_whole_is_trained() -> None:
    """As libraries of pretrained modules give them."""

    def whole() -> Any:
        module, optimizer = normed()
        return module.eval(), optimizer

    assert apart(fitted(task(whole, epochs=1), tk.Inline()), by_hand(task(normed, epochs=1))) < SAME


# Parts of a batch


def test_a_batch_norm_learns_in_parts_of_many_samples() -> None:
    """Eight parts of 256 samples have 32; what is tried before must not have one."""
    x, y = np.repeat(X, 2, axis=0), np.repeat(Y, 2, axis=0)
    for on in (tk.Inline(), tk.Local(2)):
        job = task(normed, batch=256, accumulate=8, epochs=1)
        model = tk.fit(job, x, y, on=on).model
        assert int(model[1].num_batches_tracked) == 8 * job.steps(len(x))


def test_parts_are_as_even_as_can_be() -> None:
    """Of 17 samples in 4 parts none has one alone; 7 parts of 8 would be 2, 2, 2, 2."""
    job = task(normed, batch=17, accumulate=4, epochs=0.1)
    assert int(fitted(job, tk.Inline())[1].num_batches_tracked) == 4 * job.steps(400)  # type: ignore[index]
    with pytest.raises(tk.PlanError, match="Expected more than 1 value per channel"):
        fitted(task(normed, batch=7, accumulate=7), tk.Inline())


# Numbers that are not finite


def rooted(at: int, out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Finite, with a gradient that is not: the root of 0, at the sample that is marked."""
    zero = (out * 0).sum().sqrt() if (y == at).any() else 0.0
    return mse_loss(out, y.clamp(max=10)) + zero


def marked(step: int) -> np.ndarray:
    y = Y.copy()
    y[int(Shuffle(rows=400, seed=0, key="node0").at(step * 50, step * 50 + 50)[30])] = 77.0
    return y


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("step", [3, 7])
@pytest.mark.parametrize("on", ENGINES)
def test_a_gradient_that_is_not_finite_stops_all_before_the_step(on: str, step: int, accumulate: int) -> None:
    """Also in the last step, behind which no loss would show it."""
    job = task(momentum, partial(rooted, 77), epochs=1, accumulate=accumulate)
    with pytest.raises(tk.NodeError, match="the loss is finite, and the gradient of '0.weight' is not") as e:
        tk.fit(job, X, marked(step), on=ENGINES[on])
    assert e.value.step == f"step {step}"
    assert e.value.node == (None if on == "Inline" else "rank 1")


@pytest.mark.parametrize("on", ENGINES)
def test_between_meetings_too(on: str) -> None:
    job = task(momentum, partial(rooted, 77), epochs=1)
    with pytest.raises(tk.NodeError, match="the gradient of '0.weight' is not") as caught:
        tk.fit(job, {"a": (X, Y), "b": (X, marked(3))}, on=ENGINES[on], sync=tk.every(steps=4))
    assert caught.value.node == "b"


class Hasty(torch.optim.SGD):
    """Divides by zero in its eighth step."""

    steps = 0

    def step(self, closure: Any = None) -> Any:
        super().step(closure)
        self.steps += 1
        if self.steps == 8:
            with torch.no_grad():
                self.param_groups[0]["params"][0].div_(0.0)


def hasty() -> Any:
    module = nn.Linear(5, 1)
    return module, Hasty(module.parameters(), lr=0.01)


@pytest.mark.parametrize("sync", [tk.every_step(), tk.every(steps=4)], ids=["every step", "rounds"])
@pytest.mark.parametrize("on", ENGINES)
def test_an_optimizer_that_spoils_the_last_step_is_found_out(on: str, sync: Any) -> None:
    with pytest.raises(
        tk.NodeError, match="the optimizer has made parameter 'weight' infinite or not a number"
    ):
        tk.fit(task(hasty, epochs=1), X, Y, on=ENGINES[on], sync=sync)


def test_large_gradients_are_finite() -> None:
    """Their sum is not, in 32 bits."""

    def large() -> Any:
        module = nn.Linear(5, 1)
        return module, torch.optim.SGD(module.parameters(), lr=0.0)

    def loss(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (out - out.detach()).mean() * 3e37

    tk.fit(task(large, loss, epochs=1), np.full_like(X, 9), Y, on=tk.Inline())
