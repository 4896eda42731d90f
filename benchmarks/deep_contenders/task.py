"""What every contender trains: the models, the data and the optimizer, the same for all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

WORKERS = 2
BATCH = {"mlp": 256, "cnn": 64, "small": 32}  # samples a worker and step
ROWS, HELD_OUT = 16384, 4096
loss_of = nn.functional.cross_entropy


def build(name: str) -> nn.Module:
    """A perceptron of 4.7 M parameters, a CNN of 81 k, or a perceptron of 27 k; 28 x 28 in, 10 out."""
    torch.manual_seed(0)
    if name == "cnn":
        return nn.Sequential(
            *(nn.Unflatten(1, (1, 28, 28)), nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
            *(nn.Linear(32 * 7 * 7, 48), nn.ReLU(), nn.Linear(48, 10)),
        )
    width = {"mlp": 1800, "small": 32}[name]
    return nn.Sequential(
        *(nn.Linear(784, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 10)),
    )


def optimizer_of(parameters: Iterable[nn.Parameter]) -> torch.optim.Optimizer:
    return torch.optim.SGD(parameters, lr=0.02, momentum=0.9)


def make(folder: Path) -> None:
    """Ten coarse pictures under noise, which a model can learn to tell apart without a mistake."""
    rng = np.random.default_rng(0)
    rows = ROWS + HELD_OUT
    coarse = rng.standard_normal((10, 7, 7), dtype=np.float32)
    pictures = np.kron(coarse, np.ones((4, 4), dtype=np.float32)).reshape(10, 784)
    y = rng.integers(0, 10, rows)
    X = pictures[y] * 0.3 + rng.standard_normal((rows, 784), dtype=np.float32)
    for name, part in (("train", slice(ROWS)), ("held_out", slice(ROWS, None))):
        np.save(folder / f"X_{name}.npy", X[part])
        np.save(folder / f"y_{name}.npy", y[part])


def arrays(folder: Path, name: str = "train") -> tuple[np.ndarray, np.ndarray]:
    return np.load(folder / f"X_{name}.npy"), np.load(folder / f"y_{name}.npy")


class InMemory(Dataset[Any]):
    """Samples in memory, handed out a batch at a time: nobody pays for collating rows in Python."""

    def __init__(self, folder: Path) -> None:
        X, y = arrays(folder)
        self.X, self.y = torch.from_numpy(X), torch.from_numpy(y)

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.X[index], self.y[index]

    def __getitems__(self, indices: list[int]) -> tuple[Tensor, Tensor]:
        return self.X[indices], self.y[indices]


def as_it_is(batch: Any) -> Any:
    """The batch is collated already."""
    return batch


def stream(loader: Iterable[Any], steps: int, set_epoch: Callable[[int], Any]) -> Iterator[Any]:
    """The batches of as many epochs as `steps` take."""

    def endless() -> Iterator[Any]:
        for epoch in count():
            set_epoch(epoch)
            yield from loader

    return islice(endless(), steps)
