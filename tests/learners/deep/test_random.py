"""Random numbers follow from the seed: of samples, of modules, on every engine, beside other fits."""

from __future__ import annotations

import random
import threading
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tasks import SAME, X, Y, apart, counting, forgetful, seen, task
from torch import nn
from torch.nn.functional import mse_loss

import talkoot as tk
from patience import patient

ENGINES = {"Inline": tk.Inline(), "Inline(threads=2)": tk.Inline(threads=2), "Local": tk.Local(2)}
SYNCS = {"every step": tk.every_step(), "every 4 steps": tk.every(steps=4)}


class Augmented:
    """Samples with random numbers of torch, numpy and Python in them."""

    def __init__(self, rows: int = 100, scale: float = 1.0) -> None:
        self.rows, self.scale = rows, scale

    def __len__(self) -> int:
        return self.rows

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        noise = [random.randrange(1000), np.random.randint(1000), int(torch.randint(1000, (1,)))]
        x = torch.tensor([float(1000 * index + sum(noise)), *noise, 0.0])
        return x * self.scale, torch.zeros(1)


def drawn() -> list[float]:
    return [random.random(), np.random.normal(), torch.rand(1).item()]


def still(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A loss that keeps the parameters where they are."""
    return mse_loss(out, y) * 1e-12


def test_a_sample_is_the_same_on_every_engine_and_in_every_run(tmp_path: Path) -> None:
    found = []
    for number, on in enumerate((tk.Inline(), tk.Inline(threads=2), tk.Local(2), tk.Local(3), tk.Inline())):
        folder = tmp_path / str(number)
        folder.mkdir()
        random.seed(number)
        tk.fit(task(partial(counting, folder), still, batch=20, epochs=2), Augmented(), on=on)
        found.append(seen(folder))
    assert all(each == found[0] for each in found)
    rows = [x for _, step in found[0] for x in step]
    assert len(set(rows)) == 200, "an epoch is not the one before"
    folder = tmp_path / "other"
    folder.mkdir()
    tk.fit(task(partial(counting, folder), still, batch=20, epochs=2), Augmented(), on=tk.Inline(), seed=1)
    assert set(rows).isdisjoint(x for _, step in seen(folder) for x in step) or seen(folder) != found[0]


def mixed(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A loss that draws from numpy and Python, as mixup does."""
    return mse_loss(out, y) * (np.random.beta(1.0, 1.0) + random.random())


@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("on", ENGINES)
def test_losses_that_draw_are_functions_of_the_seed(on: str, sync: str) -> None:
    job = task(forgetful, mixed, epochs=1)
    fits = [tk.fit(job, X, Y, on=ENGINES[on], sync=SYNCS[sync], nodes=2).model for _ in range(2)]
    assert apart(*fits) == 0
    other = tk.fit(job, X, Y, on=ENGINES[on], sync=SYNCS[sync], nodes=2, seed=1).model
    assert apart(fits[0], other) > 1e-3


def broken(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    raise KeyError("my own mistake")


@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("on", ["Inline", "Local"])
def test_the_callers_generators_go_on_as_if_nothing_had_been(on: str, sync: str) -> None:
    assert callable(tk.fit)  # loaded: rich draws a number when it is imported
    for loss in (mse_loss, broken):
        random.seed(3)
        np.random.seed(3)
        torch.manual_seed(3)
        first = drawn()
        want = drawn()
        random.seed(3)
        np.random.seed(3)
        torch.manual_seed(3)
        assert drawn() == first
        try:
            tk.fit(
                task(forgetful, loss, epochs=1),
                Augmented(60, 1e-5),
                on=ENGINES[on],
                sync=SYNCS[sync],
                nodes=2,
            )
        except ValueError:
            assert loss is broken
        assert drawn() == want


def test_fits_on_threads_at_the_same_time_are_functions_of_their_seeds() -> None:
    jobs: list[tuple[int, Any]] = [(0, tk.every_step()), (1, tk.every_step()), (2, tk.every(steps=2))]

    def fit(seed: int, sync: Any) -> nn.Module:
        job = task(forgetful, batch=20, epochs=4)
        module: nn.Module = tk.fit(
            job, Augmented(100, 1e-5), on=tk.Inline(), sync=sync, seed=seed, nodes=2
        ).model
        return module

    alone = [fit(*job) for job in jobs]
    beside: dict[int, nn.Module] = {}

    def note(seed: int, sync: Any) -> None:
        beside[seed] = fit(seed, sync)

    random.seed(1)
    want = random.random()
    random.seed(1)
    threads = [threading.Thread(target=note, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(patient())
    assert [apart(beside[seed], one) for seed, one in enumerate(alone)] == [0, 0, 0]
    assert random.random() == want


class Projected(nn.Module):
    """Features at random, in an attribute that is neither a parameter nor a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.at = torch.randn(5, 40)
        self.shift = np.random.uniform(0, 6, size=40).astype(np.float32)
        self.layer = nn.Linear(40, 1)

    def forward(self, x: torch.Tensor) -> Any:
        return self.layer(torch.cos(x @ self.at + torch.from_numpy(self.shift)))


def projected() -> Any:
    module = Projected()
    return module, torch.optim.Adam(module.parameters(), lr=0.02)


@pytest.mark.parametrize("sync", SYNCS)
@pytest.mark.parametrize("on", ["Inline", "Local"])
def test_what_build_draws_is_the_same_wherever_the_module_is_built(on: str, sync: str) -> None:
    fit = tk.fit(task(projected, epochs=15), X, Y, on=ENGINES[on], sync=SYNCS[sync], nodes=2)
    with torch.no_grad():
        loss = float(mse_loss(fit.model(torch.from_numpy(X)), torch.from_numpy(Y)))
    assert loss == pytest.approx(fit.history[-1].metrics["loss"], rel=0.5)
    one = tk.fit(task(projected, epochs=15), X, Y, on=tk.Inline(), sync=SYNCS[sync], nodes=2)
    assert apart(one.model, fit.model) < 10 * SAME
    assert torch.equal(one.model.at, fit.model.at)
