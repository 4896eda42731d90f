"""What of a module is exchanged, what each node keeps, and what comes back."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tasks import SAME, X, Y, apart, momentum, normed, task
from torch import nn

import talkoot as tk
from patience import patient
from talkoot.learners.deep.tensors import arrays, everything, fixed, named, put

ENGINES = [tk.Inline(), tk.Local(2)]
SYNCS = [tk.every_step(), tk.every(steps=4)]


class Partly(nn.Module):
    """A frozen random layer under a trained one, and a counter of its own."""

    seen: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.frozen, self.layer = nn.Linear(5, 8).requires_grad_(False), nn.Linear(8, 1)
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, x: torch.Tensor) -> Any:
        if self.training:
            self.seen += len(x)
        return self.layer(torch.tanh(self.frozen(x)))


def partly() -> Any:
    module = Partly()
    return module, torch.optim.SGD(module.layer.parameters(), lr=0.1)


@pytest.mark.parametrize("sync", SYNCS, ids=["every_step", "every"])
@pytest.mark.parametrize("on", ENGINES, ids=str)
def test_frozen_parameters_come_back_as_they_were_trained_with(on: Any, sync: Any) -> None:
    fit = tk.fit(task(partly, epochs=20, buffers={"seen": "keep"}), X, Y, on=on, sync=sync)
    with torch.no_grad():
        loss = float(nn.functional.mse_loss(fit.model(torch.from_numpy(X)), torch.from_numpy(Y)))
    assert loss == pytest.approx(fit.history[-1].metrics["loss"], rel=0.5)
    assert not fit.model.frozen.weight.requires_grad


def test_a_buffer_of_ones_own_stays_at_its_rank() -> None:
    job = task(partly, buffers={"seen": "keep"}, epochs=2)
    assert int(tk.fit(job, X, Y, on=tk.Inline()).model.seen) == 800  # and none of the rehearsal
    assert int(tk.fit(job, X, Y, on=tk.Local(2)).model.seen) == 400
    job = task(partly, buffers={"seen": "mean"}, epochs=2)
    assert int(tk.fit(job, X, Y, on=tk.Local(2)).model.seen) == 400


def test_statistics_of_batch_norms_are_the_mean_of_the_ranks() -> None:
    def norms(fit: Any) -> Any:
        return fit.model[1]

    one = norms(tk.fit(task(normed, epochs=5), X, Y, on=tk.Inline()))
    two = norms(tk.fit(task(normed, epochs=5), X, Y, on=tk.Local(2)))
    assert int(one.num_batches_tracked) == int(two.num_batches_tracked) == 40
    assert torch.allclose(one.running_mean, two.running_mean, atol=0.05)
    kept = tk.fit(task(normed, epochs=5, buffers={"*": "keep"}), X, Y, on=tk.Local(2))
    assert not torch.allclose(norms(kept).running_mean, two.running_mean, atol=1e-6)
    again = tk.fit(task(normed, epochs=5), X, Y, on=tk.Local(2)).model
    assert apart(again, tk.fit(task(normed, epochs=5), X, Y, on=tk.Local(2)).model) < SAME


def test_arrays_go_there_and_back() -> None:
    torch.manual_seed(1)
    source, target = partly()[0], partly()[0]
    source.seen += 2**40 + 1
    rules = {"seen": "keep"}
    assert set(arrays(source, rules)) == {"layer.weight", "layer.bias"}
    assert set(dict(fixed(source, rules))) == {"frozen.weight", "frozen.bias", "seen"}
    put(target, everything(source, rules), rules)
    assert int(target.seen) == 0
    put(target, everything(source, rules), rules, own=True)
    assert apart(source, target) == 0
    assert everything(source, rules)["layer.weight"].dtype == np.float32


def test_tied_parameters_are_exchanged_once() -> None:
    module = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False))
    module[1].weight = module[0].weight
    assert list(dict(named(module, {}))) == ["0.weight"]
    assert dict(fixed(module, {})) == {}


def test_half_precision_travels_as_float32_and_keeps_its_bits() -> None:
    source, target = (momentum()[0].to(torch.bfloat16) for _ in range(2))
    assert {value.dtype for value in arrays(source, {}).values()} == {np.dtype(np.float32)}
    put(target, arrays(source, {}), {})
    assert apart(source, target) == 0


FORKED = """
import sys
sys.path[:0] = {path!r}
from tasks import X, Y, task
import torch
import talkoot as tk

if __name__ == "__main__":
    torch.set_num_threads(2)
    (torch.ones(500, 500) @ torch.ones(500, 500)).exp().sum()
    fit = tk.fit(task(epochs=20), X, Y, on=tk.Local(2))  # in its trials a rank uses the cores of all
    print(len(fit.history) > 0, [m for m in ("sklearn", "scipy", "pandas", "ray") if m in sys.modules])
"""


def test_workers_use_several_threads_behind_a_process_that_did_and_load_no_more_than_they_need() -> None:
    script = FORKED.format(path=sys.path)
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=patient(), check=False
    )
    assert said.stdout == "True []\n", said.stderr


MAIN = """
import numpy as np, torch, talkoot as tk

rate = 0.1
X = np.ones((40, 2), np.float32)

def build():
    module = torch.nn.Linear(2, 1)
    return module, torch.optim.SGD(module.parameters(), lr=rate)

task = tk.Torch(build=build, loss=lambda out, y: ((out - y) ** 2).mean(), batch=10)
fit = tk.fit(task, X, X[:, :1], on=tk.Local(2))
print(fit.history[-1].round.index)
"""


def test_a_script_needs_no_guard_and_its_functions_travel(tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(MAIN)
    call = [sys.executable, str(tmp_path / "train.py")]
    said = subprocess.run(call, capture_output=True, text=True, timeout=patient(), check=False)
    assert said.stdout == "4\n", said.stderr
