"""One seed, one answer: by hand, in one process, on workers, round by round."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tasks import (
    SAME,
    X,
    Y,
    adamw,
    apart,
    by_hand,
    counted,
    forgetful,
    momentum,
    normed,
    scheduled,
    seen,
    task,
)
from torch import nn
from torch.nn.functional import mse_loss

import talkoot as tk
from talkoot.core.engine import Emit, Engine, Nodes, ignore
from talkoot.core.shard import Shard
from talkoot.engines.processes.pool import DEEP


class Reference(Engine):
    """Round by round in one process: the meaning of every plan."""

    @contextmanager
    def open(self, shards: Mapping[str, Shard], emit: Emit = ignore) -> Iterator[Nodes]:
        with tk.Inline().open(shards, emit) as nodes:
            yield nodes


def fitted(task: tk.Torch, on: Engine, data: Any = (X, Y), **given: Any) -> nn.Module:
    model: nn.Module = tk.fit(task, data, on=on, progress=False, **given).model
    return model


@pytest.mark.parametrize("build", [momentum, adamw])
def test_any_number_of_processes_gives_what_a_loop_by_hand_gives(build: Any) -> None:
    job = task(build, epochs=25)
    assert job.steps(len(X)) == 200
    one = fitted(job, tk.Inline())
    assert apart(one, by_hand(job)) < SAME
    for workers in (2, 3):  # 50 samples a step are 16, 17 and 17
        assert apart(fitted(job, tk.Local(workers)), one) < SAME


def test_every_step_sees_the_same_samples_in_the_same_order_at_the_same_rate(tmp_path: Path) -> None:
    rows = np.repeat(np.arange(400, dtype=np.float32)[:, None], 5, axis=1)
    target = np.zeros((400, 1), np.float32)
    found = {}
    for name, on in {"one": tk.Inline(), "two": tk.Local(2), "three": tk.Local(3)}.items():
        tk.fit(task(counted(tmp_path / name), tiny, epochs=2), rows, target, on=on)
        found[name] = seen(tmp_path / name)
    steps = found["one"]
    assert len(steps) == 16
    assert [rate for rate, _ in steps] == pytest.approx([0.05 * 0.9**i for i in range(16)], rel=1e-6)
    assert sorted(x for _, rows in steps[:8] for x in rows) == list(range(400))
    assert found["two"] == steps
    assert found["three"] == steps


def tiny(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A loss that keeps the parameters where they are."""
    return mse_loss(out, y) * 1e-12


def test_nodes_with_samples_of_their_own_give_a_part_of_every_step() -> None:
    data = {"a": (X[:250], Y[:250]), "b": (X[250:350], Y[250:350]), "c": (X[350:], Y[350:])}
    one = fitted(task(), tk.Inline(), data)
    assert apart(fitted(task(), tk.Local(2), data), one) < SAME
    assert apart(fitted(task(), Reference(), data), one) < SAME


def test_parts_of_a_batch_add_up_to_the_batch() -> None:
    for given in ({}, {"clip": 0.1}):
        whole = fitted(task(adamw, **given), tk.Inline())
        for parts in (4, 7):
            assert apart(fitted(task(adamw, accumulate=parts, **given), tk.Inline()), whole) < SAME
        assert apart(fitted(task(adamw, accumulate=4, **given), tk.Local(2)), whole) < SAME
    assert apart(whole, fitted(task(adamw), tk.Inline())) > 1e-3  # clipped is another answer


@pytest.mark.parametrize("build", [momentum, adamw, scheduled, normed])
def test_lowered_is_what_round_by_round_means(build: Any) -> None:
    job = task(build, epochs=2, clip=1.0)
    assert apart(fitted(job, Reference(), nodes=1), fitted(job, tk.Inline())) < SAME
    if build is not normed:  # whose statistics are of each node's own part of the batch
        assert apart(fitted(job, Reference(), nodes=3), fitted(job, tk.Inline())) < SAME


@pytest.mark.parametrize(
    "sync",
    [
        tk.every(steps=4),
        tk.every(steps=4, delay=2),
        tk.every(steps=8, fragments=2),
        tk.every(steps=8, delay=1, fragments=4),
    ],
    ids=str,
)
def test_engines_agree_about_rounds_of_steps(sync: Any) -> None:
    job = task(adamw, epochs=4)
    one = fitted(job, tk.Inline(), sync=sync, nodes=2)
    assert apart(fitted(job, Reference(), sync=sync, nodes=2), one) == 0
    assert apart(fitted(job, tk.Local(2), sync=sync, nodes=2), one) < SAME


def test_dropout_is_a_function_of_seed_step_and_rank() -> None:
    for on in (tk.Inline(), tk.Local(2)):
        assert apart(fitted(task(forgetful), on), fitted(task(forgetful), on)) == 0
    assert apart(fitted(task(forgetful), on), fitted(task(forgetful), on, seed=1)) > 1e-3


def test_bf16_learns() -> None:
    exact = tk.fit(task(epochs=20), X, Y, on=tk.Inline())
    rough = tk.fit(task(epochs=20, precision="bf16"), X, Y, on=tk.Local(2))
    first, last = rough.history[0].metrics["loss"], rough.history[-1].metrics["loss"]
    assert last < first / 4
    assert 1e-4 < apart(rough.model, exact.model) < 0.5
    assert all(p.dtype == torch.float32 for p in rough.model.parameters())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch about itself
@pytest.mark.parametrize("sync", [tk.every_step(), tk.every_step(sharded=True), tk.every(steps=4)], ids=str)
def test_a_compiled_module_learns_the_same(sync: Any) -> None:
    DEEP.stop()  # workers take for errors what the process took for errors that started their server
    for on in (tk.Inline(), tk.Local(2)):
        compiled, plain = (fitted(task(compile=how), on, sync=sync, nodes=2) for how in (True, False))
        assert apart(compiled, plain) < SAME


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_module_is_compiled_once() -> None:
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    fitted(task(compile=True), tk.Inline())
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
