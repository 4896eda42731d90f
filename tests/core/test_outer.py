"""Golden numbers: torch 2.13, SGD(lr=.7, momentum=.9, nesterov=True) and Adam(lr=.1), on these gradients."""

from __future__ import annotations

import numpy as np
import pytest

from talkoot import Accumulate, Adam, Add, Nesterov, Update
from talkoot.core.outer import Outer

GRADIENTS = [np.array([1.0, -2.0]), np.array([0.5, 0.0]), np.array([-1.0, 3.0])]


def walk(outer: Outer) -> np.ndarray:
    model = {"w": np.array([1.0, 1.0])}
    state = outer.init(model)
    for gradient in GRADIENTS:
        model, state = outer.apply(model, Update(values={"w": -gradient}), state)
    return np.asarray(model["w"])


@pytest.mark.parametrize(
    ("outer", "expected"),
    [
        (Nesterov(0.7, 0.9), [-1.0258, 1.8246]),
        (Adam(0.1), [0.795703731, 1.142548150]),
        (Add(1.0), [0.5, 0.0]),
        (Add(0.5), [0.75, 0.5]),
    ],
)
def test_three_steps_equal_torch(outer: Outer, expected: list[float]) -> None:
    np.testing.assert_allclose(walk(outer), expected, atol=1e-9)


def test_a_leaf_that_nobody_sent_stays_and_momentum_goes_on() -> None:
    outer = Nesterov(1.0, 0.5)
    model, state = outer.apply(
        {"w": np.array([0.0])}, Update(values={"w": np.array([2.0])}), {"w": np.zeros(1)}
    )
    assert model["w"].tolist() == [3.0]
    model, _ = outer.apply(model, Update(), state)
    assert model["w"].tolist() == [3.5]
    model, _ = Add().apply(model, Update(), None)
    assert model["w"].tolist() == [3.5]


def test_accumulate_forgets_and_takes_new_leaves() -> None:
    model, _ = Accumulate(0.5).apply(
        {"n": np.array([4.0]), "m": np.array([2.0])},
        Update(values={"n": np.array([1.0]), "new": np.array([7.0])}),
        None,
    )
    assert {k: v.tolist() for k, v in model.items()} == {"n": [3.0], "m": [1.0], "new": [7.0]}
