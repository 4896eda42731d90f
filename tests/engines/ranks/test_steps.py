"""Training at every step on workers: sharded, saved, stopped, gone on with on other numbers of workers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

import talkoot as tk
from patience import patient, soon

rng = np.random.default_rng(0)
X = rng.normal(size=(400, 5)).astype(np.float32)
Y = (X[:, :1] ** 2 + X[:, 1:2]).astype(np.float32)
TOKENS = rng.integers(0, 11, size=(96, 7))
SAME = 1e-5


def momentum() -> Any:
    module = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1))
    return module, torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)


def adamw() -> Any:
    module, _ = momentum()
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.01)
    return module, optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)


class Language(nn.Module):
    """Layers in a list, and a head that is tied to the embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(6, 6), nn.Tanh()) for _ in range(3))
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: torch.Tensor) -> Any:
        x = self.embed(tokens[:, :-1])
        for layer in self.layers:
            x = x + layer(x)
        return self.head(x)


def language() -> Any:
    module = Language()
    return module, torch.optim.AdamW(module.parameters(), lr=0.01)


def next_token(out: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
    return cross_entropy(out.flatten(0, 1), tokens[:, 1:].flatten())


def task(build: Any = adamw, loss: Any = mse_loss, **given: Any) -> tk.Torch:
    return tk.Torch(build=build, loss=loss, **{"batch": 50, "epochs": 2, **given})


def apart(one: Any, other: Any) -> float:
    mine, theirs = (fit.model.state_dict() for fit in (one, other))
    assert mine.keys() == theirs.keys()
    return max(float((mine[name].double() - theirs[name].double()).abs().max()) for name in mine)


@pytest.mark.parametrize("given", [{}, {"accumulate": 3, "clip": 0.2}], ids=str)
@pytest.mark.parametrize("build", [momentum, adamw])
def test_ranks_that_keep_a_part_each_give_the_same(build: Any, given: dict[str, Any]) -> None:
    job, sharded = task(build, **given), tk.every_step(sharded=True)
    one = tk.fit(job, X, Y, on=tk.Inline(), sync=sharded)
    assert apart(one, tk.fit(job, X, Y, on=tk.Inline())) == 0
    assert apart(tk.fit(job, X, Y, on=tk.Local(2), sync=sharded), one) < SAME


def test_layers_in_lists_and_tied_ones_are_sharded_too() -> None:
    job = task(language, next_token, batch=16)
    one = tk.fit(job, TOKENS, on=tk.Inline())
    assert one.model.head.weight is one.model.embed.weight
    for sync in (tk.every_step(sharded=True), tk.every_step()):
        assert apart(tk.fit(job, TOKENS, on=tk.Local(2), sync=sync), one) < SAME


# Checkpoints


@pytest.fixture(scope="module")
def whole() -> Any:
    """What the saved job gives when nothing stops it."""
    return tk.fit(long(), X, Y, on=tk.Inline())


PAUSE = 0.0


def slow(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A loss that takes its time: long enough for a report, and a checkpoint, behind every step.

    Once there is a checkpoint in the folder TALKOOT_TEST_SAVED, it waits for a file "stop" beside that.
    """
    time.sleep(PAUSE)
    if saved := os.environ.get("TALKOOT_TEST_SAVED"):
        time.sleep(0.3)
        while any(Path(saved).glob("step-*")) and not Path(saved).with_name("stop").exists():
            time.sleep(0.01)
    return mse_loss(out, y)


def long() -> tk.Torch:
    return task(adamw, slow, epochs=5)  # 40 steps


SCRIPT = """
import sys
sys.path[:0] = {path!r}
import talkoot as tk
from test_steps import X, Y, long

if __name__ == "__main__":
    where = tk.Checkpoint({folder!r}, every=0)
    tk.fit(long(), X, Y, on={on}, sync=tk.every_step(sharded={sharded}))
"""


def stopped(folder: Path, on: str, sharded: bool = False, how: int = signal.SIGTERM) -> None:
    """Start a job, end it when it has saved something, and see how it ended."""
    script = SCRIPT.format(path=sys.path, folder=str(folder), on=on, sharded=sharded)
    env = {**os.environ, "TALKOOT_TEST_SAVED": str(folder)}
    with subprocess.Popen([sys.executable, "-c", script], env=env, stderr=subprocess.PIPE) as job:
        came = soon(lambda: [*folder.glob("step-*")] or job.poll() is not None)
        job.send_signal(how if came else signal.SIGKILL)
        folder.with_name("stop").touch()
        _, text = job.communicate(timeout=patient())
    assert job.returncode == (143 if how == signal.SIGTERM else -how), text
    assert 0 < newest(folder) < 40


def newest(folder: Path) -> int:
    return max(int(step.name.split("-")[1]) for step in folder.glob("step-*"))


ENGINES: dict[str, Any] = {
    "Local(1)": partial(tk.Local, 1),
    "Local(2)": partial(tk.Local, 2),
    "Local(3)": partial(tk.Local, 3),
    "Inline": tk.Inline,
}


@pytest.mark.parametrize(
    ("before", "sharded", "after"),
    [
        pytest.param(
            "tk.Local(2, checkpoint=where)",
            False,
            ["Local(1)", "Local(3)", "Inline"],
            marks=pytest.mark.slow,
        ),
        ("tk.Local(2, checkpoint=where)", True, ["Local(1)", "Local(3)", "Local(2)", "Inline"]),
        pytest.param("tk.Inline(checkpoint=where)", False, ["Local(2)", "Inline"], marks=pytest.mark.slow),
    ],
)
def test_who_was_stopped_goes_on_on_any_number_of_ranks(
    tmp_path: Path, whole: Any, before: str, sharded: bool, after: list[str]
) -> None:
    stopped(tmp_path / "saved", before, sharded)
    for name in after:
        shutil.copytree(tmp_path / "saved", tmp_path / name)
        on, sync = ENGINES[name](checkpoint=tmp_path / name), tk.every_step(sharded=sharded)
        fit = tk.fit(long(), X, Y, on=on, sync=sync)
        assert fit.history[-1].round.index == 40
        assert apart(fit, whole) < SAME
        again = tk.fit(long(), X, Y, on=on, sync=sync)  # a finished job stays finished
        assert again.history == ()
        assert apart(again, fit) == 0


@pytest.mark.slow
def test_who_was_killed_goes_on(tmp_path: Path, whole: Any) -> None:
    saved = tmp_path / "saved"
    stopped(saved, "tk.Local(2, checkpoint=where)", how=signal.SIGKILL)
    assert apart(tk.fit(long(), X, Y, on=tk.Local(2, checkpoint=saved)), whole) < SAME


@pytest.mark.parametrize("on", ["Inline", "Local(2)"])
def test_a_folder_that_cannot_be_used_is_refused_in_one_error(tmp_path: Path, on: str) -> None:
    place = ENGINES[on](checkpoint=tmp_path)
    tk.fit(task(), X, Y, on=place)
    with pytest.raises(tk.PlanError, match="another training .batch: 50 in the folder, 40 now"):
        tk.fit(task(batch=40), X, Y, on=place)
    (shard,) = tmp_path.glob("step-*/__0_*")
    shard.unlink()
    with pytest.raises(tk.DataError, match="no checkpoint in .* can be read: step .*Start again"):
        tk.fit(task(), X, Y, on=place)


def test_the_user_says_how_often_and_how_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "PAUSE", 0.03)  # several reports in 40 steps
    tk.fit(long(), X, Y, on=tk.Inline(checkpoint=tk.Checkpoint(tmp_path / "often", every=0, keep=3)))
    tk.fit(long(), X, Y, on=tk.Inline(checkpoint=tk.Checkpoint(tmp_path / "last", every="10m")))
    assert len([*(tmp_path / "often").glob("step-*")]) == 3
    assert len([*(tmp_path / "last").glob("step-*")]) == 1
    for wrong in ({"every": -1}, {"every": float("nan")}, {"keep": 0}):
        with pytest.raises(tk.PlanError, match="make no sense"):
            tk.Checkpoint(tmp_path, **wrong)
    with pytest.raises(tk.PlanError, match="'soon' is not a time"):
        tk.Checkpoint(tmp_path, every="soon")
