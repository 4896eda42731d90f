"""Golden numbers: torch 2.13, SGD(lr=.7, momentum=.9, nesterov=True) and Adam(lr=.1), on these gradients."""

from __future__ import annotations

import numpy as np
import pytest

from talkoot import Accumulate, Adam, Add, Nesterov, Update
from talkoot.core.outer import Outer, Params

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


@pytest.mark.parametrize("outer", [Nesterov(1.0, 0.5), Adam(0.1), Add()])
def test_a_leaf_that_nobody_sent_stays_and_so_does_what_is_remembered_of_it(outer: Outer) -> None:
    start: Params = {"w": np.array([0.0]), "v": np.array([5.0])}
    both = Update(values={"w": np.array([2.0]), "v": np.array([2.0])})
    first, state = outer.apply(start, both, outer.init(start))
    expected, _ = outer.apply(first, both, state)
    between, state = outer.apply(first, Update(values={"w": np.array([2.0])}), state)
    assert between["v"].tolist() == first["v"].tolist()
    assert outer.apply(between, both, state)[0]["v"].tolist() == expected["v"].tolist()


@pytest.mark.parametrize("outer", [Nesterov(1.0, 0.5), Adam(0.1), Add(0.5)])
def test_statistics_move_by_their_mean_difference_whatever_the_step(outer: Outer) -> None:
    model: Params = {"w": np.array([0.0]), "buffer:mean": np.array([1.0])}
    state = outer.init(model)
    for _ in range(2):
        said = Update(values={"w": np.array([2.0]), "buffer:mean": np.array([0.25])})
        model, state = outer.apply(model, said, state)
    assert model["buffer:mean"].tolist() == [1.5]


def test_accumulate_forgets_and_takes_new_leaves() -> None:
    model, _ = Accumulate(0.5).apply(
        {"n": np.array([4.0]), "m": np.array([2.0])},
        Update(values={"n": np.array([1.0]), "new": np.array([7.0])}),
        None,
    )
    assert {k: v.tolist() for k, v in model.items()} == {"n": [3.0], "m": [1.0], "new": [7.0]}
