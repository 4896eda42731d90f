"""Eight nodes that merge learn as one that sees everything; rare merges do not diverge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from online_models import known, log_loss

import talkoot as tk
from talkoot.learners.online.features import Features, Layout
from talkoot.learners.online.linear import Logistic
from talkoot.learners.online.merging import guarded
from talkoot.learners.online.state import State, copied
from talkoot.testing.streams import drifting, hyperplane

pytestmark = pytest.mark.wide
on = tk.online
NODES = 8


def alone(model: Logistic, layout: Layout, rows: Features, y: NDArray[Any]) -> NDArray[Any]:
    return model.learn(model.start(layout, 0), rows, y)


def together(
    model: Logistic, layout: Layout, rows: Features, y: NDArray[Any], every: int, guard: bool = True
) -> NDArray[Any]:
    """Predictions where row i belongs to node i % 8, and all merge after `every` rows each."""
    state = model.start(layout, 0)
    out = np.empty(len(y))
    candidates = [state]
    for start in range(0, len(y), every * NODES):
        block = np.arange(start, min(start + every * NODES, len(y)))
        owned = [block[node::NODES] for node in range(NODES)]
        if len(candidates) == 2:
            losses = [[log_loss(model.predict(c, rows[own]), y[own]) for own in owned] for c in candidates]
            state = candidates[0] if not guard or guarded(losses[0], losses[1]) else candidates[1]
        change: State = {}
        for own in owned:
            node = copied(state)
            out[own] = model.learn(node, rows[own], y[own])
            for name, array in model.change(node, state).items():
                change[name] = change.get(name, 0.0) + array
        candidates = [model.apply(state, change, NODES), model.apply(state, change, NODES, careful=True)]
    return out


def rows_of(batch: Any) -> tuple[Layout, Features, NDArray[Any]]:
    return known(batch, 2)


RATES = (0.03, 0.1, 0.3)


def test_merging_every_100_rows_is_as_good_as_one_node_that_sees_everything() -> None:
    layout, rows, y = rows_of(hyperplane(400_000, seed=5, noise=0.1))
    one = min(log_loss(alone(Logistic(on.AdaGrad(rate)), layout, rows, y), y) for rate in RATES)
    eight = min(log_loss(together(Logistic(on.AdaGrad(rate)), layout, rows, y, 100), y) for rate in RATES)
    assert abs(eight - one) < 0.001


@pytest.mark.parametrize("optimiser", [on.AdaGrad(0.3), on.DecayedAdaGrad(0.3), on.FTRL(0.3), on.SGD(0.03)])
@pytest.mark.parametrize("every", [2000, 20_000])
def test_rare_merges_do_not_diverge(optimiser: Any, every: int) -> None:
    layout, rows, y = rows_of(hyperplane(400_000, seed=5, noise=0.1))
    predicted = together(Logistic(optimiser), layout, rows, y, every)
    assert log_loss(predicted[200_000:], y[200_000:]) < log_loss(np.full(10, y.mean()), y[:10]) * 0.75
    last = alone(Logistic(optimiser), layout, rows, y)
    assert log_loss(predicted[200_000:], y[200_000:]) < log_loss(last[200_000:], y[200_000:]) + 0.02


def test_a_drift_is_survived() -> None:
    layout, rows, y = rows_of(drifting(hyperplane, 200_000, seed=5, concepts=(0, 1), noise=0.1))
    model = Logistic(on.DecayedAdaGrad(0.1, 0.999))
    predicted = together(model, layout, rows, y, 100)
    before, after = (
        log_loss(predicted[50_000:100_000], y[50_000:100_000]),
        log_loss(predicted[150_000:], y[150_000:]),
    )
    assert after < before + 0.02


def test_merging_without_changes_changes_nothing() -> None:
    layout, rows, y = rows_of(hyperplane(2000, seed=5))
    for optimiser in (on.AdaGrad(), on.FTRL(l1=0.5)):
        model = Logistic(optimiser)
        state = model.start(layout, 0)
        model.learn(state, rows, y)
        merged = model.apply(state, model.change(state, state), NODES)
        assert merged.keys() == state.keys()
        np.testing.assert_allclose(model.predict(merged, rows), model.predict(state, rows), atol=1e-12)
