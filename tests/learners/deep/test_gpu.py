"""What is trained on a GPU is what is trained on the processor, and goes wrong as clearly."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tasks import X, Y, adamw, apart, by_hand, momentum, scheduled, task
from torch import nn

import talkoot as tk
from talkoot.core.errors import NodeFailed, PlanError
from talkoot.watch import events

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

CLOSE = 1e-4  # the two add in another order
MARK = 1e3
ENGINES = {"Inline": tk.Inline(), "Local(1)": tk.Local(1), "Local(2)": tk.Local(2)}  # two ranks share a GPU
each_engine = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture(autouse=True)
def _full_float32() -> None:
    torch.set_float32_matmul_precision("highest")


def on_gpu(**given: Any) -> tk.Torch:
    return task(device="cuda", **given)


def fitted(job: tk.Torch, engine: str = "Inline", **given: Any) -> nn.Module:
    module: nn.Module = tk.fit(job, X, Y, on=ENGINES[engine], progress=False, **given).model
    return module


@each_engine
@pytest.mark.parametrize("build", [momentum, adamw, scheduled])
def test_every_step_gives_what_a_loop_on_the_processor_gives(build: Any, engine: str) -> None:
    expected = fitted(task(build, device="cpu")) if build is scheduled else by_hand(task(build))
    found = fitted(on_gpu(build=build), engine, sync=tk.every_step())
    assert {p.device.type for p in found.parameters()} == {"cpu"}, "what comes back runs anywhere"
    assert apart(found, expected) < CLOSE


@each_engine
def test_rounds_of_steps_give_what_they_give_on_the_processor(engine: str) -> None:
    given: dict[str, Any] = {"chain": [tk.weigh("rows")], "sync": tk.every(steps=4)}
    expected = tk.fit(task(device="cpu"), X, Y, nodes=2, on=tk.Inline(), **given).model
    found = tk.fit(on_gpu(), X, Y, nodes=2, on=ENGINES[engine], **given).model
    assert apart(found, expected) < CLOSE


@each_engine
def test_a_device_is_found_by_itself(engine: str) -> None:
    assert apart(fitted(task(), engine), fitted(task(device="cpu"))) < CLOSE


def test_sharded_parameters_give_the_same() -> None:
    on = tk.Local(torch.cuda.device_count())
    module = tk.fit(on_gpu(), X, Y, on=on, sync=tk.every_step(sharded=True)).model
    assert apart(module, by_hand(task())) < CLOSE


def test_ranks_that_share_a_gpu_are_refused_as_shards() -> None:
    on = tk.Local(torch.cuda.device_count() + 1)
    with pytest.raises(PlanError, match="share a GPU"):
        tk.fit(on_gpu(), X, Y, on=on, sync=tk.every_step(sharded=True))


def test_accumulation_and_clipping_give_what_they_give_on_the_processor() -> None:
    given = {"accumulate": 2, "clip": 0.1}
    assert apart(fitted(on_gpu(**given)), fitted(task(device="cpu", **given))) < CLOSE


def poisoned(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.where((y > MARK / 2).any(), torch.nan, nn.functional.mse_loss(out, y))


@each_engine
def test_a_loss_that_is_not_finite_ends_training_by_name(engine: str) -> None:
    marked = Y.copy()
    marked[300] = MARK
    with pytest.raises(NodeFailed, match="the loss is nan"):
        tk.fit(on_gpu(loss=poisoned), X, marked, on=ENGINES[engine], progress=False)


def test_a_checkpoint_of_a_gpu_is_read_by_any_engine(tmp_path: Path) -> None:
    whole = by_hand(task(adamw))
    for on in (tk.Local(2, checkpoint=tmp_path), tk.Inline(checkpoint=tmp_path)):
        assert apart(tk.fit(on_gpu(build=adamw), X, Y, on=on, progress=False).model, whole) < CLOSE
    assert any(tmp_path.iterdir())


def test_bf16_and_compile_learn(tmp_path: Path) -> None:
    log = tmp_path / "events.jsonl"
    fitted(on_gpu(precision="bf16", compile=True, epochs=20), log=log)
    losses = [e["metrics"]["loss"] for e in events.read(log) if e["event"] == "step"]
    assert losses[-1] < losses[0] / 4


def test_images_of_bytes_reach_the_gpu_as_floats() -> None:
    images = np.random.default_rng(0).integers(0, 256, (64, 1, 8, 8), dtype=np.uint8)
    labels = images.reshape(64, -1).mean(axis=1).round().astype(np.int64) % 3

    def build() -> Any:
        module = nn.Sequential(Scaled(), nn.Flatten(), nn.Linear(64, 3))
        return module, torch.optim.SGD(module.parameters(), lr=0.1)

    job = partial(tk.Torch, build, nn.functional.cross_entropy, batch=16, epochs=2)
    one, other = (tk.fit(job(device=d), images, labels, on=tk.Inline()).model for d in ("cuda", "cpu"))
    assert apart(one, other) < CLOSE


class Scaled(nn.Module):
    """From bytes to the unit interval."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float() / 255
