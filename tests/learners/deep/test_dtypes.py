"""What becomes of the types of samples when a batch comes to the module."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from tasks import SAME, X, Y, apart, momentum, task
from torch import nn
from torch.nn.functional import cross_entropy, mse_loss

import talkoot as tk

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64}


def of(dtype: torch.dtype) -> Any:
    module = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 1)).to(dtype)
    return module, torch.optim.SGD(module.parameters(), lr=0.05)


@pytest.mark.parametrize("name", DTYPES)
def test_floats_become_those_of_the_module(name: str) -> None:
    data: Any = X.astype(np.float64) if name == "float64" else torch.from_numpy(X).to(DTYPES[name])
    plain = X if name == "float64" else data.float().numpy()
    one = tk.fit(task(), data, Y.astype(np.float64), on=tk.Inline()).model
    assert apart(one, tk.fit(task(), plain, Y, on=tk.Inline()).model) < SAME
    fit = tk.fit(task(partial(of, DTYPES[name])), X, Y, on=tk.Inline())
    assert {p.dtype for p in fit.model.parameters()} == {DTYPES[name]}
    assert fit.history[-1].metrics["loss"] < fit.history[0].metrics["loss"]


def kinds(seen: list[Any], out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    seen.append((out.dtype, y.dtype))
    return mse_loss(out, y.to(out.dtype))


def test_a_double_module_gets_all_digits_and_targets_are_labels_or_floats_of_the_module() -> None:
    fine = 1 + np.arange(400.0)[:, None] * 1e-12
    for target, want in ((Y.astype(np.float64), torch.float64), (np.ones((400, 1), "u1"), torch.int64)):
        seen: list[Any] = []
        double = tk.Torch(partial(of, torch.float64), partial(kinds, seen), batch=50)
        tk.fit(double, np.repeat(fine, 5, axis=1), target, on=tk.Inline())
        assert set(seen) == {(torch.float64, want)}
    with pytest.raises(tk.PlanError) as caught:
        tk.fit(tk.Torch(partial(checked, fine), mse_loss, batch=50), fine, np.ones((400, 1)), on=tk.Inline())
    assert "400 values" in str(caught.value)


class Checked(nn.Module):
    """Counts the values that it is given, and stops there."""

    def __init__(self, values: np.ndarray) -> None:
        super().__init__()
        self.layer = nn.Linear(1, 1).double()
        self.known = set(values[:, 0].tolist())

    def forward(self, x: torch.Tensor) -> Any:
        assert set(x[:, 0].tolist()) <= self.known
        raise RuntimeError(f"{len(self.known)} values")


def checked(values: np.ndarray) -> Any:
    module = Checked(values)
    return module, torch.optim.SGD(module.parameters(), lr=0.1)


IDS = 2**24 + np.arange(64)


class Embedded(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(64, 3)
        self.layer = nn.Linear(3, 2)

    def forward(self, ids: torch.Tensor) -> Any:
        return self.layer(self.embed(ids[:, 0] - 2**24))


def embedded() -> Any:
    module = Embedded()
    return module, torch.optim.Adam(module.parameters(), lr=0.1)


@pytest.mark.parametrize("on", [tk.Inline(), tk.Local(2)], ids=str)
def test_ids_of_a_table_come_to_an_embedding_as_they_are(on: Any) -> None:
    table = pa.table({"user": np.tile(IDS, 4), "t": np.tile(np.arange(64) % 2, 4)})
    model = tk.fit(tk.Torch(embedded, cross_entropy, batch=32, epochs=15), table, "t", on=on).model
    with torch.no_grad():
        found = model(torch.from_numpy(IDS[:, None])).argmax(dim=1)
    assert found.tolist() == (np.arange(64) % 2).tolist()


@pytest.mark.parametrize("dtype", [np.int64, np.uint8, np.bool_])
def test_whole_numbers_for_a_module_of_floats_are_refused_with_the_cure(dtype: Any) -> None:
    with pytest.raises(tk.PlanError, match=r"X holds .*as they are.*x\.float\(\) in forward") as caught:
        tk.fit(task(momentum), np.ones((400, 5), dtype), Y, on=tk.Inline())
    assert f"X {np.dtype(dtype)} (" in str(caught.value)
