"""Rows and models that tests of online models share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

import talkoot as tk
from talkoot.learners.online.features import Encoder, Features, Layout
from talkoot.learners.online.model import OnlineModel
from talkoot.learners.online.state import State

on = tk.online
MODELS: list[OnlineModel] = [
    on.Logistic(on.AdaGrad(0.1), bits=6),
    on.Logistic(on.DecayedAdaGrad(0.1, 0.99), l2=1e-3, bits=6),
    on.Logistic(on.FTRL(0.1, l1=0.1), bits=6),
    on.Logistic(on.SGD(0.05), intercept=0.01, scale=False, bits=6),
    on.Linear(bits=6),
    on.Softmax(bits=6),
    on.FactorisationMachine(bits=6, factors=3),
    on.FactorisationMachine(on.DecayedAdaGrad(), bits=6, factors=2, predicts="number"),
    on.NaiveBayes(bits=6),
    on.KMeans(3),
    on.Best([on.Logistic(bits=6), on.NaiveBayes(bits=6)], fade=0.9),
    on.Best([on.Linear(bits=6), on.Linear(on.SGD(), bits=6)]),
    on.Lagged(on.Logistic(bits=6), labels=2),
    on.Lagged(on.Softmax(bits=6)),
    on.BoostedTrees(steps=4, rate=0.3, grace=10, megabytes=0.05),
]


def known(batch: pa.RecordBatch, classes: int) -> tuple[Layout, Features, NDArray[np.float64]]:
    """The layout, features and labels of a generated batch."""
    layout = Layout.of(batch.schema, without=["label"], classes=classes)
    label = np.asarray(batch.column("label").to_numpy(), np.float64)
    return layout, Encoder(layout).encode(batch), label


def log_loss(p: NDArray[Any], y: NDArray[Any]) -> float:
    """The mean log-loss of probabilities of class 1."""
    p = np.clip(p, 1e-15, 1 - 1e-15)
    return float(-np.mean(np.where(y == 1, np.log(p), np.log(1 - p))))


def mixed(rows: int, seed: int) -> tuple[Layout, Features, NDArray[np.float64], NDArray[np.float64]]:
    """Rows with missing and infinite numbers, missing categories, rows without a label or of weight 0."""
    rng = np.random.default_rng(seed)
    numbers = rng.normal(size=(rows, 3)) * [1, 100, 1e-3] + [0, 50, 7]
    numbers[rng.random((rows, 3)) < 0.1] = np.nan
    numbers[rng.random((rows, 3)) < 0.01] = np.inf
    categories = rng.integers(0, 9, (rows, 2)).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    y = (rng.random(rows) < 0.4).astype(float)
    y[rng.random(rows) < 0.05] = np.nan
    return (
        Layout(("a", "b", "c"), ("d", "e"), 2),
        Features(numbers, categories),
        y,
        rng.integers(0, 3, rows) / 2.0,
    )


def learn(model: OnlineModel, layout: Layout, rows: Features, y: NDArray[Any]) -> tuple[State, NDArray[Any]]:
    """A state that has learned all rows at once, and what was predicted."""
    state = model.start(layout, seed=1)
    return state, model.learn(state, rows, y)
