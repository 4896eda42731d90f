"""Modules and functions that can be imported by a name, for tests of files."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch


class Tied(torch.nn.Module):
    """Two layers that share one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.one = torch.nn.Linear(3, 3)
        self.two = torch.nn.Linear(3, 3)
        self.two.weight = self.one.weight
        self.norm = torch.nn.BatchNorm1d(3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(self.norm(self.two(self.one(x)))[:, 0])


def build() -> Any:
    torch.manual_seed(0)
    module = Tied()
    return module, torch.optim.SGD(module.parameters(), lr=0.01)


def log_dose(X: np.ndarray) -> np.ndarray:
    return np.asarray(np.log1p(np.abs(X)))
