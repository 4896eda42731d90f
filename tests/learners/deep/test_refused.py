"""What is wrong with a task is said before the first step, with the cure, whoever finds it."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from tasks import X, Y, momentum, task
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

import talkoot as tk
from talkoot.core.errors import NodeFailed, NodeLost

ENGINES: dict[str, tk.Inline | tk.Local] = {"Inline": tk.Inline(), "Local": tk.Local(2)}


def sgd(*modules: nn.Module) -> Any:
    parameters = [p for module in modules for p in module.parameters()]
    return modules[0], torch.optim.SGD(parameters, lr=0.05)


class Spare(nn.Module):
    """One of its two layers is never used."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.spare = nn.Linear(5, 1), nn.Linear(3, 1)

    def forward(self, x: torch.Tensor) -> Any:
        return self.used(x)


class Counter(nn.Module):
    """Counts the samples that it has seen."""

    seen: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 1)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> Any:
        self.seen += len(x)
        return self.layer(x)


class Typo(nn.Module):
    """Has a mistake of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 1)

    def forward(self, x: torch.Tensor) -> Any:
        return self.layr(x)  # type: ignore[operator]


def only_a_module() -> Any:
    return nn.Linear(5, 1)


def no_optimizer() -> Any:
    return nn.Linear(5, 1), 0.1


def of_another() -> Any:
    return nn.Linear(5, 1), sgd(nn.Linear(5, 1))[1]


def partly() -> Any:
    module = nn.Linear(5, 1)
    return module, torch.optim.SGD([module.weight], lr=0.1)


def lbfgs() -> Any:
    module = nn.Linear(5, 1)
    return module, torch.optim.LBFGS(module.parameters())


def each(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return (out - y) ** 2


def number(out: torch.Tensor, y: torch.Tensor) -> Any:
    return mse_loss(out, y).item()


def detached(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return mse_loss(out.detach(), y)


def lazy() -> Any:
    return sgd(nn.Sequential(nn.LazyLinear(8), nn.Tanh(), nn.LazyBatchNorm1d(), nn.Linear(8, 1)))


def plateau() -> Any:
    module, optimizer = momentum()
    return module, optimizer, torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer)


def a_number_as_scheduler() -> Any:
    return (*momentum(), 0.9)


LABELS = np.arange(400) % 5
REFUSED: dict[str, tuple[tk.Torch, Any, str]] = {
    "build: module only": (task(only_a_module), (X, Y), r"build\(\) gave \(Linear\). It has to return"),
    "build: no optimizer": (task(no_optimizer), (X, Y), "gave a float as optimizer"),
    "build: another's": (task(of_another), (X, Y), "not the module's. Make it from this module's param"),
    "build: partly": (task(partly), (X, Y), "does not step 'bias'. Give it all"),
    "build: closure": (task(lbfgs), (X, Y), "LBFGS evaluates the loss several times"),
    "build: lazy": (task(lazy), (X, Y), r"'0.weight' has no shape before a LazyLinear .* Write Linear with"),
    "build: plateau": (task(plateau), (X, Y), "ReduceLROnPlateau waits for a metric.* CosineAnnealingLR"),
    "build: scheduler": (task(a_number_as_scheduler), (X, Y), r"build\(\) gave a float as scheduler"),
    "loss: each sample": (task(loss=each), (X, Y), r"shape \(\d+, 1\), not one number. Take the mean"),
    "loss: a float": (task(loss=number), (X, Y), r"the loss gave \d.*, not one number"),
    "loss: detached": (task(loss=detached), (X, Y), "depends on no parameter that is trained"),
    "unused": (task(lambda: sgd(Spare())), (X, Y), r"'spare.weight' \(and 1 more\) takes no part"),
    "X: integers": (task(), (X.astype(int), Y), r"X int64 \(\d+, 5\).*same dtype.*write x.float"),
    "X: shape": (task(), (X[:, :4], Y), r"X float32 \(\d+, 4\).*shapes cannot be multiplied"),
    "y: floats": (task(loss=cross_entropy), (X, Y[:, 0]), r"y float32 \(\d+,\).*(dtype|type)"),
    "y: shape": (task(), (X, Y[:, 0]), "Using a target size .* Try module"),
    "y: none": (task(), X, "y none"),
    "y: range": (task(lambda: sgd(nn.Linear(5, 3)), cross_entropy), (X, LABELS), "out of bounds"),
    "own mistake": (task(lambda: sgd(Typo())), (X, Y), r"'layr' \(.*, line \d+\). Try"),
    "buffer": (task(lambda: sgd(Counter())), (X, Y), r"'seen' holds int64.*buffers=\{'seen': 'keep'\}"),
    "no such device": (task(device="gpu"), (X, Y), """device='gpu' is none of torch's. Take "cpu" or"""),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", REFUSED)
def test_a_task_that_cannot_work_is_refused_with_the_cure(case: str, engine: str) -> None:
    wrong, data, match = REFUSED[case]
    with pytest.raises(tk.PlanError, match=f"(?s){match}") as caught:
        tk.fit(wrong, data, on=ENGINES[engine])
    assert caught.value.cure
    if engine == "Local":
        assert caught.value.node in ("rank 0", "rank 1")
        assert caught.value.step == "before the first step"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is one")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_gpu_that_is_not_there_is_missed(engine: str) -> None:
    with pytest.raises(tk.PlanError, match="device='cuda' is set, and torch .* sees no GPU here"):
        tk.fit(task(device="cuda"), X, Y, on=ENGINES[engine])


@pytest.mark.parametrize(
    ("given", "match"),
    [
        ({"batch": 0}, "batch=0 is no positive whole number"),
        ({"batch": 2.5}, "batch=2.5 is no positive whole number"),
        ({"batch": "16"}, "batch='16' is no positive"),
        ({"epochs": 0}, "epochs=0 is no positive number"),
        ({"epochs": float("nan")}, "epochs=nan is no positive"),
        ({"accumulate": -1}, "accumulate=-1 is no"),
        ({"clip": 0.0}, "clip=0.0 is no"),
        ({"precision": "fp8"}, """precision='fp8' is unknown. Take "float32" or "bf16"."""),
        ({"buffers": {"*": "sum"}}, "'mean' or 'keep', not 'sum'"),
        ({"metrics": ["accuracy"]}, "metrics= is no dict"),
        ({"build": nn.Linear(2, 1)}, "build= is a Linear, not a function. Write build=lambda"),
        ({"loss": None}, "loss= is a NoneType"),
    ],
    ids=str,
)
def test_values_that_make_no_sense_are_refused_at_once(given: dict[str, Any], match: str) -> None:
    with pytest.raises(tk.PlanError, match=match):
        task(**given)


def test_plans_that_cannot_work_are_refused() -> None:
    with pytest.raises(tk.PlanError, match="by the clock does not say when to stop. Write .*rounds="):
        tk.fit(task(), X, Y, sync=tk.every(seconds=1), on=tk.Inline())
    with pytest.raises(tk.PlanError, match="added, not averaged"):
        tk.fit(task(), X, Y, chain=[tk.quantize()], on=tk.Inline())
    with pytest.raises(tk.PlanError, match="does not learn by gradients"):
        tk.fit(LogisticRegression(), X, Y[:, 0] > 1, sync=tk.every_step())
    with pytest.raises(tk.PlanError, match="batch=1 leaves some of 2 ranks without samples. Take a larger"):
        tk.fit(task(batch=1), X, Y, on=tk.Local(2))
    with pytest.raises(tk.NotDistributable, match="Linear cannot be distributed. A module of torch is train"):
        tk.fit(nn.Linear(5, 1), X, Y)
    with pytest.raises(tk.DataError, match="weight= has no meaning"):
        tk.fit(task(), X, Y, weight=np.ones(400), on=tk.Inline())
    with pytest.raises(tk.DataError, match="the target holds text .*Encode the labels"):
        tk.fit(task(), X, np.array(["yes"] * 400), on=tk.Inline())


def test_what_is_asked_of_scikit_learn_alone_is_refused_for_modules() -> None:
    for ask in (tk.verify, tk.compare):
        with pytest.raises(tk.PlanError, match=rf"tk.{ask.__name__} takes an estimator of scikit-learn, not"):
            ask(task(), X, Y)
    with pytest.raises(tk.PlanError, match="tk.Distributed takes an estimator of scikit-learn, not Torch"):
        tk.Distributed(task()).fit(X, Y[:, 0])


def test_a_fit_of_a_module_reports_but_neither_forgets_nor_values(tmp_path: Path) -> None:
    fit = tk.fit(task(), {"a": (X, Y), "b": (X, Y)}, on=tk.Local(2))
    page = fit.report(tmp_path / "report.html").read_text()
    assert "loss" in page
    with pytest.raises(tk.NotInvertible, match="node 'a'.*cannot forget.*Fit without the node"):
        fit.forget("a")
    with pytest.raises(tk.PlanError, match="Sequential is a module of torch, and has no score"):
        fit.value()


class Ends:
    """A dataset that ends the program at some item."""

    def __len__(self) -> int:
        return 100

    def __getitem__(self, index: int) -> Any:
        if index == 7:
            sys.exit("no such file")
        return torch.zeros(5), torch.zeros(1)


class Misses(Ends):
    """One that lacks an item."""

    def __getitem__(self, index: int) -> Any:
        return torch.zeros(5), {3: torch.zeros(1)}[index] if index == 3 or index == 7 else torch.zeros(1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("data", "match"),
    [
        (Ends(), r"Ends ended the program at item 7: sys.exit\('no such file'\) \(.*test_refused.py, line"),
        (Misses(), r"item 7 of Misses cannot be read: KeyError: 7 \(.*test_refused.py.*Try dataset\[7\]"),
    ],
)
def test_a_dataset_that_fails_is_named_with_the_item_and_the_line(data: Any, match: str, engine: str) -> None:
    with pytest.raises(tk.DataError, match=match):
        tk.fit(task(batch=20, epochs=1), data, on=ENGINES[engine])


def ends(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    sys.exit(3)


def ends_hard(out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    os._exit(4)


def test_a_task_that_ends_its_process_is_not_taken_for_one_that_lacks_memory() -> None:
    with pytest.raises(NodeFailed, match=r"(?s)in ends\n.*SystemExit: 3"):
        tk.fit(task(loss=ends), X, Y, on=tk.Local(2))
    with pytest.raises(NodeLost, match=r"exited with status 4.*ends its process, such as os._exit"):
        tk.fit(task(loss=ends_hard), X, Y, on=tk.Local(2))


def test_ranks_that_build_other_modules_are_named() -> None:
    def build() -> Any:
        width = 3 if torch.distributed.is_initialized() and torch.distributed.get_rank() else 4
        module = nn.Sequential(nn.Linear(5, width), nn.Tanh(), nn.Linear(width, 1))
        return sgd(module)

    with pytest.raises(tk.PlanError) as caught:
        tk.fit(task(build), X, Y, on=tk.Local(2))
    assert "rank 0 '0.weight' as float32 (4, 5), and rank 1 '0.weight' as float32 (3, 5)" in str(caught.value)
    assert caught.value.step == "comparing parameters"


def spoilt(at: int, how: str, out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """A loss that goes wrong at one rank, at the sample that is marked."""
    if (y == at).any():
        if how == "raise":
            raise RuntimeError("my own mistake")
        return mse_loss(out, y) * float(how)
    return mse_loss(out, y)


@pytest.mark.parametrize("how", ["nan", "inf", "raise"])
@pytest.mark.parametrize("engine", ENGINES)
def test_what_goes_wrong_at_one_rank_stops_all_at_once_and_names_it(engine: str, how: str) -> None:
    target = Y.copy()
    target[int(_reader(step=3, batch=50)[30])] = 77.0  # is read in step 3, of two ranks by the second
    spoils = task(momentum, partial(spoilt, 77, how))
    if engine == "Inline" and how == "raise":
        with pytest.raises(RuntimeError, match="my own mistake"):
            tk.fit(spoils, X, target, on=ENGINES[engine])
        return
    with pytest.raises(tk.NodeError) as caught:
        tk.fit(spoils, X, target, on=ENGINES[engine])
    assert caught.value.step == "step 3"
    assert caught.value.node == (None if engine == "Inline" else "rank 1")
    assert ("my own mistake" if how == "raise" else f"the loss is {how}") in str(caught.value)
    assert ("in spoilt" in str(caught.value)) == (how == "raise")  # its traceback


def _reader(step: int, batch: int) -> np.ndarray:
    """The samples that a step reads."""
    from talkoot.data.loading.shuffle import Shuffle

    return Shuffle(rows=len(X), seed=0, key="node0").at(step * batch, (step + 1) * batch)
