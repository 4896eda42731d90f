"""A folder of checkpoints knows its training, survives what happens to folders, and never costs a model."""

from __future__ import annotations

import os
import re
import resource
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, final

import numpy as np
import pytest
import torch
from sklearn.model_selection import KFold
from torch.nn.functional import l1_loss, mse_loss

import talkoot as tk
from talkoot.core.context import Ctx
from talkoot.core.errors import DataError, PlanError
from talkoot.core.transform import Stage, Transform
from talkoot.core.update import Update
from talkoot.engines.checkpoint import local
from talkoot.engines.ranks.checkpoint.folder import Folder, from_json, to_json
from talkoot.engines.ranks.checkpoint.identity import differences
from talkoot.formats.describe import describe

_rng = np.random.default_rng(0)
X = _rng.normal(size=(96, 5)).astype(np.float32)
Y = X[:, :1]


def build(lr: float = 0.01, hidden: int = 4, dropout: float = 0.1, gamma: float = 0.9) -> Any:
    module = torch.nn.Sequential(
        torch.nn.Linear(5, hidden), torch.nn.Dropout(dropout), torch.nn.Linear(hidden, 1)
    )
    optimizer = torch.optim.AdamW(module.parameters(), lr=lr)
    return module, optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, gamma)


def fit(on: Any, X: Any = X, y: Any = Y, *, loss: Any = mse_loss, build: Any = build, **given: Any) -> tk.Fit:
    ours = {key: given.pop(key) for key in ("sync", "nodes", "outer", "seed") if key in given}
    return tk.fit(tk.Torch(build, loss, **{"epochs": 2, "batch": 16, **given}), X, y, on=on, **ours)


def weights(done: tk.Fit) -> np.ndarray:
    return torch.cat([p.detach().ravel() for p in done.model.parameters()]).numpy()


@pytest.fixture(scope="module", name="folder")
def _folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a training that has finished."""
    folder = tmp_path_factory.mktemp("run")
    assert fit(tk.Inline(checkpoint=folder)).note == ""
    return folder


# Whose it is


def test_folds_with_one_folder_are_no_copies_of_the_first(tmp_path: Path) -> None:
    rows = list(KFold(3).split(X))
    fit(tk.Inline(checkpoint=tmp_path), X[rows[0][0]], Y[rows[0][0]])
    for train, _ in rows[1:]:
        with pytest.raises(PlanError, match=r"data: X content: not the same as in the folder.*folder of its"):
            fit(tk.Inline(checkpoint=tmp_path), X[train], Y[train])


def one_label() -> np.ndarray:
    changed = Y.copy()
    changed[50] += 1
    return changed


OTHER: dict[str, tuple[dict[str, Any], str]] = {
    "rate": ({"build": partial(build, lr=0.02)}, r"learning rate \(lr\): 0.01 in the folder, 0.02 now"),
    "width": ({"build": partial(build, hidden=5)}, "module 0: out_features: 4 in the folder, 5 now"),
    "dropout": ({"build": partial(build, dropout=0.2)}, "module 1: p: 0.1 in the folder, 0.2 now"),
    "schedule": ({"build": partial(build, gamma=0.8)}, "scheduler: gamma: 0.9 in the folder, 0.8 now"),
    "loss": ({"loss": l1_loss}, "loss: mse_loss in the folder, l1_loss now"),
    "batch": ({"batch": 8}, "batch: 16 in the folder, 8 now"),
    "seed": ({"seed": 1}, "seed: 0 in the folder, 1 now"),
    "clip": ({"clip": 1.0}, "clip: None in the folder, 1.0 now"),
    "sync": ({"sync": tk.every(steps=3), "nodes": 2}, "sync: EveryStep in the folder, Rounds now"),
    "one label": ({"y": one_label()}, r"\(data: y content: not the same as in the folder\)"),
    "rows": ({"X": X[:64], "y": Y[:64]}, "data: rows: 96 in the folder, 64 now"),
    "shape": (
        {"X": X[:, :, None]},
        r"data: X: float32 of shape \(5,\) in the folder, .* \(5, 1\) now",
    ),
    "dict": ({"X": {"a": (X, Y)}, "y": None}, "sources of samples: node0 in the folder, a now"),
}


@pytest.mark.parametrize("other", OTHER)
def test_what_differs_is_named(folder: Path, other: str) -> None:
    given, text = OTHER[other]
    if other == "shape":
        given = {**given, "build": _folded}
    with pytest.raises(PlanError, match=text):
        fit(tk.Inline(checkpoint=folder), **given)


def _folded() -> Any:
    module, *rest = build()
    return torch.nn.Sequential(torch.nn.Flatten(), *module), *rest


@pytest.mark.parametrize("on", [tk.Inline(threads=2), tk.Local(2), tk.Ranks()], ids=repr)
def test_it_is_the_same_training_on_any_engine_and_number_of_ranks(folder: Path, on: Any) -> None:
    there = type(on)(*([2] if isinstance(on, tk.Local) else []), checkpoint=folder)
    again = fit(there)
    assert again.history == ()
    assert f"it was at step 12 in {folder}, the training was finished there" in again.note


def test_more_epochs_go_on_and_fewer_are_refused(tmp_path: Path) -> None:
    fit(tk.Inline(checkpoint=tmp_path))
    more = fit(tk.Local(2, checkpoint=tmp_path), epochs=4, accumulate=2)
    assert "epochs: 2 in the folder, 4 now" in more.note
    assert "accumulate: 1 in the folder, 2 now" in more.note
    assert "it was at step 12" in more.note
    assert more.history[-1].round.index == 24
    assert fit(tk.Inline(checkpoint=tmp_path), epochs=4, accumulate=2).history == ()
    with pytest.raises(PlanError, match="holds a training at step 24, and this one ends at step 12"):
        fit(tk.Inline(checkpoint=tmp_path))


def test_rounds_too(tmp_path: Path) -> None:
    given: dict[str, Any] = {"sync": tk.every(steps=3), "nodes": 2}
    fit(tk.Inline(checkpoint=tmp_path), **given)
    assert "it was at round 4" in fit(tk.Inline(checkpoint=tmp_path), **given).note
    with pytest.raises(PlanError, match="learning rate"):
        fit(tk.Local(2, checkpoint=tmp_path), build=partial(build, lr=0.02), **given)
    with pytest.raises(PlanError, match="nodes: node0, node1 in the folder, node0, node1, node2 now"):
        fit(tk.Inline(checkpoint=tmp_path), **{**given, "nodes": 3})
    more = fit(tk.Inline(checkpoint=tmp_path), epochs=4, **given)
    assert "epochs: 2 in the folder, 4 now" in more.note
    assert "without their own state there" in more.note, "optimizers of nodes are not in checkpoints"
    with pytest.raises(PlanError, match="at step 8, and this one ends at step 4"):
        fit(tk.Inline(checkpoint=tmp_path), **given)


@final
@dataclass(frozen=True, eq=False)
class Bend(Transform):
    """A codec of somebody's own, whose text does not tell two of them apart."""

    rule: Any
    stage: ClassVar[Stage] = Stage.CODEC

    def encode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        del ctx
        return update, state

    def decode(self, update: Update, state: Any, ctx: Ctx) -> tuple[Update, Any]:
        del ctx
        return update, state


RULES: dict[str, tuple[Any, Any]] = {
    "functions": (lambda value: value, lambda value: -value),
    "arrays": (np.zeros(2000), np.eye(1, 2000, 1000)[0]),
}


def bent(folder: Path, rule: Any) -> tk.Fit:
    task = tk.Torch(build, mse_loss, batch=16, epochs=2)
    chain = [tk.weigh("rows"), Bend(rule)]
    return tk.fit(task, X, Y, nodes=2, chain=chain, sync=tk.every(steps=3), on=tk.Inline(checkpoint=folder))


@pytest.mark.parametrize("rules", RULES)
def test_parts_of_the_plan_are_compared_by_what_they_do(rules: str, tmp_path: Path) -> None:
    one, other = RULES[rules]
    bent(tmp_path, one)
    assert "it was at round 4" in bent(tmp_path, one).note
    with pytest.raises(PlanError, match=r"another training \(chain: not the same as in the folder\)"):
        bent(tmp_path, other)


def test_a_folder_without_digests_is_compared_by_text(tmp_path: Path) -> None:
    given: dict[str, Any] = {"sync": tk.every(steps=3), "nodes": 2}
    fit(tk.Inline(checkpoint=tmp_path), **given)
    file = tmp_path / "plan.json"
    content = from_json(file.read_text())
    digests = [name for name in content["settings"] if name.endswith(" digest")]
    assert digests == ["chain digest", "merge digest", "outer digest"]
    for name in digests:
        del content["settings"][name]
    file.write_text(to_json(content))
    assert "it was at round 4" in fit(tk.Inline(checkpoint=tmp_path), **given).note
    with pytest.raises(PlanError, match=r"outer: Add\(lr=1.0\) in the folder, Nesterov\(.*\) now"):
        fit(tk.Inline(checkpoint=tmp_path), outer=tk.Nesterov(), **given)
    assert "epochs: 2 in the folder" in fit(tk.Inline(checkpoint=tmp_path), epochs=4, **given).note
    assert from_json(file.read_text())["settings"].keys() >= set(digests), "from then on by digests"


class Jittered:
    """A dataset that draws."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        return torch.from_numpy(X[index]) + torch.rand(5), Y[index]


def test_samples_that_are_drawn_anew_are_compared_by_what_stays(tmp_path: Path) -> None:
    task = tk.Torch(build, mse_loss, batch=16, epochs=2)
    tk.fit(task, Jittered(), on=tk.Inline(checkpoint=tmp_path))
    again = tk.fit(task, Jittered(), on=tk.Inline(checkpoint=tmp_path))
    assert "nothing was left to do" in again.note


def test_functions_by_code_and_by_the_values_they_use() -> None:
    def weighted(gamma: float, note: list[int], power: int = 2) -> Any:
        def loss(out: Any, y: Any) -> Any:
            note.append(1)
            return gamma * abs(out - y) ** power

        return loss

    def texts(function: Any) -> dict[str, str]:
        return dict(describe("loss", function))

    assert differences(texts(weighted(1.0, [])), texts(weighted(1.0, [5]))) == ([], [])
    assert differences(texts(weighted(1.0, [])), texts(weighted(2.0, [])))[0] == [
        "loss: gamma: 1.0 in the folder, 2.0 now"
    ]
    one, other = texts(lambda out, y: (out - y) ** 2), texts(lambda out, y: (out - y) ** 4)
    (code,) = differences(one, other)[0]
    assert code.endswith("code: not the same as in the folder")
    del other[code.partition(": not")[0]]  # written by another version of Python
    assert differences(one, other) == ([], [])
    smooth = [texts(torch.nn.CrossEntropyLoss(label_smoothing=each)) for each in (0.0, 0.1)]
    assert differences(*smooth)[0] == ["loss: label_smoothing: 0.0 in the folder, 0.1 now"]
    weight = [texts(torch.nn.CrossEntropyLoss(torch.arange(20.0) + each)) for each in (0, 1)]
    assert differences(*weight)[0] == ["loss: weight content: not the same as in the folder"]


# What happens to folders


@contextmanager
def other_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as patch:
        patch.setenv("HOME", str(folder))
        yield


def test_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with other_home(tmp_path, monkeypatch):
        fit(tk.Inline(checkpoint="~/run"))
    assert (tmp_path / "run" / "plan.json").is_file()
    assert local(tmp_path.as_uri()) == str(tmp_path)
    for place in ("s3://bucket/run", Path("gs://bucket/run"), "memory://run"):
        with pytest.raises(PlanError, match="checkpoints cannot go to .*renaming.*mount that storage"):
            fit(tk.Inline(checkpoint=place))
    for nothing in ("", 5, True):
        with pytest.raises(PlanError, match=r"is no folder. Write checkpoint="):
            fit(tk.Inline(checkpoint=nothing))  # type: ignore[arg-type]


@pytest.mark.parametrize("on", [tk.Inline, partial(tk.Local, 2)], ids=["Inline", "Local"])
def test_a_place_that_cannot_be_written_shows_before_the_first_step(tmp_path: Path, on: Any) -> None:
    (tmp_path / "file").write_text("")
    steps = []

    def seen(out: Any, y: Any) -> Any:
        steps.append(1)
        return mse_loss(out, y)

    with pytest.raises(DataError, match=r"before the first step: .*cannot be written to .*Make it a folder"):
        fit(on(checkpoint=tmp_path / "file" / "run"), loss=seen)
    assert len(steps) <= 1, "but for the try-out"


def test_a_disk_that_fills_up_does_not_cost_the_model(tmp_path: Path) -> None:
    expected = fit(tk.Inline())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    calls = []

    def filled(out: Any, y: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:  # behind the try-out and a step
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        return mse_loss(out, y)

    filled.__qualname__ = "mse_loss"
    try:
        with pytest.warns(UserWarning, match=r"no checkpoint was written: checkpoint of .*too large"):
            got = fit(tk.Inline(checkpoint=tk.Checkpoint(tmp_path / "run", every=0)), loss=filled)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    np.testing.assert_array_equal(weights(got), weights(expected))
    assert "Make room, or take another folder." in got.note


def damage(folder: Path, step: int) -> Path:
    shard = folder / f"step-{step:08d}" / "__0_0.distcp"
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    return shard


def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(tmp_path: Path) -> None:
    given: dict[str, Any] = {"epochs": 4, "build": partial(build, dropout=0.0)}
    expected = fit(tk.Inline(), **given)
    for epochs in (1, 2):
        fit(tk.Inline(checkpoint=tmp_path), **{**given, "epochs": epochs})
    shard = damage(tmp_path, 12)
    got = fit(tk.Local(2, checkpoint=tmp_path), **given)
    assert f"the checkpoint of step 12 is damaged and was left out: {shard} has changed" in got.note
    assert "it was at step 6" in got.note
    np.testing.assert_allclose(weights(got), weights(expected), atol=1e-5)
    assert (tmp_path / "damaged-step-00000012").is_dir()
    damage(tmp_path, 24)  # finished, and then damaged
    again = fit(tk.Inline(checkpoint=tmp_path), **given)
    np.testing.assert_allclose(weights(again), weights(expected), atol=1e-5)
    assert Folder(tmp_path, None).steps()[-1] == 24


def test_where_none_can_be_read_the_advice_can_be_followed(tmp_path: Path) -> None:
    expected = fit(tk.Inline(checkpoint=tmp_path / "a run"))
    damage(tmp_path / "a run", 12)
    with pytest.raises(DataError, match=r"no checkpoint in .* can be read: step 12. Start again: they were"):
        fit(tk.Inline(checkpoint=tmp_path / "a run"))
    again = fit(tk.Inline(checkpoint=tmp_path / "a run"))
    np.testing.assert_array_equal(weights(again), weights(expected))
    (tmp_path / "a run" / "plan.json").write_text("{}")
    with pytest.raises(DataError, match=r"plan.json cannot be read") as caught:
        fit(tk.Inline(checkpoint=tmp_path / "a run"))
    found = re.search("`(rm .*)`", str(caught.value))
    assert found is not None
    subprocess.run(found[1], shell=True, check=True)
    again = fit(tk.Inline(checkpoint=tmp_path / "a run"))
    assert "has no settings of a training, so nothing was compared" in again.note
    assert "it was at step 12" in again.note


def test_a_folder_may_be_moved_between_two_runs(tmp_path: Path) -> None:
    fit(tk.Inline(checkpoint=tmp_path / "here"))
    shutil.move(tmp_path / "here", tmp_path / "there")
    assert "nothing was left to do" in fit(tk.Inline(checkpoint=tmp_path / "there")).note


def test_two_runs_at_once_in_one_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("talkoot.engines.ranks.checkpoint.folder.LOCK_PATIENCE", 0.1)
    with (
        Folder(tmp_path, None).locked(),
        pytest.raises(PlanError, match=rf"another run is writing to .*process {os.getpid()} on .*Wait until"),
    ):
        fit(tk.Inline(checkpoint=tmp_path))
    fit(tk.Inline(checkpoint=tmp_path))
    done: list[tk.Fit] = []
    threads = [
        threading.Thread(target=lambda n=n: done.append(fit(tk.Inline(checkpoint=tmp_path / str(n)))))
        for n in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == 2
