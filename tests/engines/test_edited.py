"""Warm workers learn by the code that this process has, whatever they imported before."""

from __future__ import annotations

import importlib
import itertools
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

import talkoot as tk

torch = pytest.importorskip("torch", reason="torch is not installed")

NUMBERS = itertools.count()
X = np.linspace(-1, 1, 64, dtype=np.float32).reshape(32, 2)
Y = X.sum(axis=1, keepdims=True)
HELPER = "RATE = {rate}\ndef rate():\n    return RATE\n"
BUILDERS = """
import torch
from {helper} import rate

def build():
    module = torch.nn.Linear(2, 1)
    return module, torch.optim.SGD(module.parameters(), lr=rate())

def build_late():
    import {helper}
    module = torch.nn.Linear(2, 1)
    return module, torch.optim.SGD(module.parameters(), lr={helper}.rate())

def scale(X):
    return X * rate()
"""
CELL = """
import torch

def build():
    module = torch.nn.Linear(2, 1)
    return module, torch.optim.SGD(module.parameters(), lr={rate})
"""


class Sources:
    """A module of the user's, and a helper that it imports, in files."""

    def __init__(self, folder: Path, number: int) -> None:
        self.folder, self.names = folder, (f"helper_{number}", f"builders_{number}")
        self.edit(1.0)
        text = BUILDERS.format(helper=self.names[0])
        (folder / f"{self.names[1]}.py").write_text(text)
        importlib.invalidate_caches()
        self.helper, self.builders = map(importlib.import_module, self.names)

    def edit(self, rate: float) -> None:
        file = self.folder / f"{self.names[0]}.py"
        now = file.stat().st_mtime_ns if file.exists() else time.time_ns()
        file.write_text(HELPER.format(rate=f"{rate:<8}"))
        os.utime(file, ns=(now + 10**9, now + 10**9))  # as if some time had passed

    def reload(self) -> None:
        importlib.reload(self.helper)
        importlib.reload(self.builders)


@pytest.fixture(name="sources")
def _sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sources]:
    monkeypatch.syspath_prepend(str(tmp_path))
    made = Sources(tmp_path, next(NUMBERS))
    yield made
    for name in made.names:
        del sys.modules[name]


def moved(build: Callable[[], Any], on: Any) -> tuple[float, str]:
    """Where one step goes, and the note."""
    task = tk.Torch(build, torch.nn.functional.mse_loss, batch=32)
    fit = tk.fit(task, X, Y, on=on, seed=1)
    return fit.model.weight[0, 0].item(), fit.note


def answers(sources: Sources, name: str = "build") -> tuple[float, str]:
    """From warm workers, where the note is from; the same as in this process."""
    build = getattr(sources.builders, name)
    here, _ = moved(build, tk.Inline())
    got, note = moved(build, tk.Local(2))
    assert got == pytest.approx(here, abs=1e-6)
    return got, note


def test_what_was_edited_and_reloaded_is_learned_by(sources: Sources) -> None:
    first, note = answers(sources)
    assert note == ""
    sources.edit(0.0)
    sources.reload()
    second, note = answers(sources)
    assert second != first
    assert all(name in note for name in sources.names)
    assert "edited or reloaded" in note


def test_a_helper_alone_and_one_that_is_imported_late(sources: Sources) -> None:
    first, _ = answers(sources, "build_late")
    sources.edit(0.0)
    importlib.reload(sources.helper)
    assert answers(sources, "build_late")[0] != first
    answers(sources)  # by a module that was not touched, but has a function of the helper


def test_an_edit_that_was_not_reloaded_is_in_no_process(sources: Sources) -> None:
    first, _ = answers(sources)
    sources.edit(0.0)
    assert answers(sources)[0] == first


def test_what_was_edited_before_workers_first_saw_it(sources: Sources) -> None:
    sources.edit(0.0)
    (sources.folder / f"{sources.names[0]}.py").write_text("def rate():\n    return 0.0\n")
    answers(sources)


def test_other_estimators_and_what_scripts_define(sources: Sources) -> None:
    def fitted(on: Any) -> Any:
        pipe = make_pipeline(FunctionTransformer(sources.builders.scale), StandardScaler())
        return tk.fit(pipe, X.astype(float), on=on, nodes=2).model[-1].mean_

    np.testing.assert_allclose(fitted(tk.Local(2)), fitted(tk.Inline()))
    sources.edit(4.0)
    sources.reload()
    np.testing.assert_allclose(fitted(tk.Local(2)), fitted(tk.Inline()))
    script = ModuleType("__main__")  # a notebook's cell, run twice
    results = []
    for rate in (1.0, 0.0):
        exec(CELL.format(rate=rate), script.__dict__)
        results.append(moved(script.__dict__["build"], tk.Local(2))[0])
        assert results[-1] == pytest.approx(moved(script.__dict__["build"], tk.Inline())[0], abs=1e-6)
    assert results[0] != results[1]
