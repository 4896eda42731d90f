"""Losses that are a mean over something else than samples: tokens, pixels, targets that are not ignored."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tasks import apart, by_hand
from test_same_answer import Reference
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss, normalize

import talkoot as tk

rng = np.random.default_rng(1)
X = rng.normal(size=(120, 5)).astype(np.float32)
TOKENS = rng.integers(0, 3, size=(120, 6))
TOKENS[rng.random((120, 6)) < rng.random((120, 1))] = -100  # some samples have many, some few
TOKENS[::5] = -100  # and some none
CLOSE = 1e-6


def tagger() -> Any:
    module = nn.Sequential(nn.Linear(5, 18), nn.Unflatten(1, (6, 3)), nn.LogSoftmax(2))
    return module, torch.optim.SGD(module.parameters(), lr=0.5, momentum=0.9, weight_decay=0.01)


def token_loss(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return cross_entropy(out.flatten(0, 1), y.flatten())


def targets(out: torch.Tensor, y: torch.Tensor) -> Any:
    return (y != -100).sum()


def right(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (out.argmax(2) == y)[y != -100].float().mean()


def job(loss: Any = token_loss, build: Any = tagger, **given: Any) -> tk.Torch:
    return tk.Torch(build, loss, **{"batch": 20, "epochs": 2, **given})


def fitted(task: tk.Torch, on: Any, y: np.ndarray = TOKENS, **given: Any) -> nn.Module:
    model: nn.Module = tk.fit(task, X, y, on=on, progress=False, **given).model
    return model


@pytest.mark.parametrize(
    ("on", "given"),
    [
        (tk.Inline(), {}),
        (tk.Inline(), {"accumulate": 8}),
        (tk.Inline(), {"accumulate": 20}),
        (tk.Local(2), {}),
        (tk.Local(3), {"accumulate": 4}),
    ],
    ids=str,
)
def test_parts_count_their_targets_and_give_what_one_process_gives(on: Any, given: Any) -> None:
    counted = job(count=targets, **given)
    assert apart(fitted(counted, on), by_hand(job(), X, TOKENS)) < CLOSE


def test_round_by_round_too() -> None:
    for nodes in (1, 3):
        assert apart(fitted(job(count=targets), Reference(), nodes=nodes), by_hand(job(), X, TOKENS)) < CLOSE


def test_sharded_too() -> None:
    counted = job(count=targets, accumulate=2)
    got = fitted(counted, tk.Local(2), sync=tk.every_step(sharded=True))
    assert apart(got, by_hand(job(), X, TOKENS)) < CLOSE


def plain() -> Any:
    module = nn.Sequential(nn.Linear(5, 18), nn.Unflatten(1, (6, 3)), nn.LogSoftmax(2))
    return module, torch.optim.SGD(module.parameters(), lr=0.5)


def test_nodes_that_meet_in_rounds_weigh_what_they_count() -> None:
    """One step of plain descent and the mean difference are one step of the mean gradient."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # every(steps=1) is not every_step(), with momentum
        sync = tk.every(steps=1)
    counted = job(build=plain, count=targets)
    for on in (tk.Inline(), tk.Local(2)):
        assert apart(fitted(counted, on, sync=sync, nodes=2), by_hand(job(build=plain), X, TOKENS)) < CLOSE


@pytest.mark.parametrize("on", [tk.Inline(), tk.Local(2)], ids=str)
def test_losses_and_metrics_are_means_over_what_counts(on: Any) -> None:
    """In a single step all are of the module as it was built, over all targets."""
    whole = job(batch=120, epochs=1)
    got = tk.fit(job(batch=120, epochs=1, count=targets, metrics={"right": right}), X, TOKENS, on=on)
    start = by_hand(job(batch=120, epochs=1, build=still), X, TOKENS).eval().requires_grad_(False)
    out, y = start(torch.from_numpy(X)), torch.from_numpy(TOKENS)
    assert got.history[-1].metrics["loss"] == pytest.approx(float(whole.loss(out, y)), rel=1e-5)
    assert got.history[-1].metrics["right"] == pytest.approx(float(right(out, y)), rel=1e-5)


def still() -> Any:
    module, _ = tagger()
    return module, torch.optim.SGD(module.parameters(), lr=0.0)


def test_a_step_without_any_target_leaves_the_parameters_alone() -> None:
    nothing = np.full_like(TOKENS, -100)
    for on in (tk.Inline(), tk.Local(2)):
        got = tk.fit(job(count=targets), X, nothing, on=on)
        assert apart(got.model, by_hand(job(build=still), X, TOKENS)) == 0
        assert "loss" not in got.history[-1].metrics


def test_bf16_counts_too() -> None:
    """Rounded outputs differ a little; parts that counted their samples would differ by a tenth."""
    rough = fitted(job(count=targets, precision="bf16", accumulate=4), tk.Local(2))
    assert apart(rough, fitted(job(precision="bf16", accumulate=1), tk.Inline())) < 5e-3


# Where count= is missing, or does not help


def pairs(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Each sample is told from all others of its part."""
    flat = normalize(out.flatten(1), dim=1)
    return cross_entropy(flat @ flat.T * 5, torch.arange(len(flat)))


def total(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (out**2).sum()


def weighted(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return cross_entropy(out.flatten(0, 1), y.flatten(), weight=torch.tensor([1.0, 2.0, 5.0]))


def class_weights(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.tensor([1.0, 2.0, 5.0, 0.0])[y.clamp(min=-1)].sum()


@pytest.mark.parametrize(
    ("on", "given"), [(tk.Local(2), {}), (tk.Inline(), {"accumulate": 2})], ids=["Local(2)", "accumulate"]
)
@pytest.mark.parametrize(
    ("loss", "match"),
    [
        (token_loss, r"no mean over samples.*count=lambda output, target: \(target != -100\).sum\(\)"),
        (
            pairs,
            "compares samples with each other .in-batch negatives., count= cannot mend that: take on=tk.In",
        ),
        (weighted, "no mean over samples"),
        (total, 'the loss is a sum over the samples.*reduction="mean"'),
    ],
    ids=["tokens", "pairs", "weighted", "sum"],
)
def test_a_loss_that_cannot_be_divided_is_refused_with_the_cure(
    loss: Any, match: str, on: Any, given: Any
) -> None:
    some = np.where((TOKENS == -100).all(1, keepdims=True), 0, TOKENS)  # no sample without a target
    with pytest.raises(tk.PlanError, match=f"(?s){match}"):
        fitted(job(loss, **given), on, some)


def test_class_weights_can_be_counted() -> None:
    got = fitted(job(weighted, count=class_weights, accumulate=4), tk.Inline())
    assert apart(got, by_hand(job(weighted), X, TOKENS)) < CLOSE


def test_who_counts_samples_of_pairs_is_told_what_that_means() -> None:
    fit = tk.fit(job(pairs, count=lambda out, y: len(y)), X, TOKENS, on=tk.Local(2))
    notes = [event["text"] for event in fit.events if event["event"] == "note"]
    assert any("compares samples with each other" in note for note in notes), notes


def noisy(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return mse_loss(out + torch.randn_like(out), torch.zeros_like(out))


class Own(nn.Module):
    """Gives its own loss, with a name."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": (self.layer(x) ** 2).mean()}


def own() -> Any:
    module = Own()
    return module, torch.optim.SGD(module.parameters(), lr=0.1)


def of_output(out: Any, y: torch.Tensor) -> Any:
    return out["loss"]


def penalised(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    slope: torch.Tensor = torch.autograd.grad(out.sum(), out, create_graph=True)[0]
    return (out**2).mean() + (slope**2).mean()


@pytest.mark.parametrize(("loss", "build"), [(noisy, tagger), (of_output, own), (penalised, tagger)])
def test_losses_of_which_nothing_can_be_told_are_not_refused(loss: Callable[..., Any], build: Any) -> None:
    fitted(job(loss, build, accumulate=2), tk.Inline())


@pytest.mark.parametrize(
    ("count", "match"),
    [
        (lambda out, y: (y != -100).sum(1), r"count= gave a tensor of shape \(\d+,\), not one number"),
        (lambda out, y: -1, "count= gave -1, not one number of 0 or more"),
        (lambda out, y: float("nan"), "count= gave nan"),
        (lambda out, y: None, "count= gave None"),
    ],
    ids=["each", "negative", "nan", "none"],
)
def test_a_count_is_one_number(count: Any, match: str) -> None:
    with pytest.raises(tk.PlanError, match=match):
        fitted(job(count=count), tk.Inline())
    with pytest.raises(tk.PlanError, match="count= is a int, not a function"):
        job(count=3)


def test_a_loss_that_is_not_a_number_says_that_parts_may_be_empty() -> None:
    with pytest.raises(tk.NodeError, match="the loss is nan.*write count=, so that the part counts 0"):
        fitted(job(batch=2), tk.Inline())
