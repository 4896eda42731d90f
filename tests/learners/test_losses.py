"""Losses: slopes and curvatures are derivatives, values are scikit-learn's deviances, nothing overflows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import log_loss, mean_tweedie_deviance

from talkoot.learners.solvers.losses import Binomial, Loss, Multinomial, Tweedie, TweedieIdentity, Workspace
from talkoot.learners.solvers.nonsmooth import Huber, SquaredHinge

SMOOTH: list[Loss] = [
    Binomial(),
    Multinomial(3),
    Tweedie(0),
    Tweedie(1),
    Tweedie(1.5),
    Tweedie(2),
    Tweedie(3),
    TweedieIdentity(0, near=2.0),
    TweedieIdentity(1),
    TweedieIdentity(1.3),
    TweedieIdentity(2),
    TweedieIdentity(3),
]
KINKED: list[Loss] = [SquaredHinge(2), SquaredHinge(3), Huber(1.35), Huber(1.35, near=-1.0)]
STEP = 1e-5


def labels(loss: Loss, seed: int, rows: int) -> np.ndarray:
    """Targets that the loss allows."""
    rng = np.random.default_rng(seed)
    if isinstance(loss, Binomial | Multinomial | SquaredHinge):
        return np.asarray(rng.integers(0, getattr(loss, "classes", 2), rows))
    targets: np.ndarray = rng.gamma(2.0, 1.0, rows) + 0.1
    return targets


def predictions(loss: Loss, seed: int, rows: int) -> np.ndarray:
    """Raw predictions: positive, because some losses want positive means."""
    shape = (loss.outputs + loss.extras, rows)
    raw = np.random.default_rng(seed + 1).uniform(0.3, 2.0, shape)
    raw[loss.outputs :] = raw[loss.outputs :, :1]  # an extra is one number for all rows
    return np.asarray(raw)


def values(loss: Loss, raw: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The loss of each row, all outputs together."""
    return np.asarray(np.atleast_2d(loss.evaluate(raw.copy(), y, Workspace())[0]).sum(axis=0))


def shifted(raw: np.ndarray, output: int, by: float) -> np.ndarray:
    moved = raw.copy()
    moved[output] += by
    return moved


@given(st.sampled_from(SMOOTH + KINKED), st.integers(0, 10_000))
def test_the_slope_is_the_derivative_of_the_value(loss: Loss, seed: int) -> None:
    y, raw = labels(loss, seed, 5), predictions(loss, seed, 5)
    _, slope = loss.evaluate(raw.copy(), y, Workspace())
    for output in range(len(raw)):
        ahead, behind = (values(loss, shifted(raw, output, by), y) for by in (STEP, -STEP))
        np.testing.assert_allclose(slope[output], (ahead - behind) / (2 * STEP), rtol=1e-4, atol=1e-4)


@given(st.sampled_from(SMOOTH), st.integers(0, 10_000))
def test_the_curvature_is_the_derivative_of_the_slope_up_to_its_sign(loss: Loss, seed: int) -> None:
    y, raw = labels(loss, seed, 4), predictions(loss, seed, 4)
    for a, b, curve in loss.curvature(raw, y):
        ahead, behind = (
            loss.evaluate(shifted(raw, b, by), y, Workspace())[1][a].copy() for by in (STEP, -STEP)
        )
        np.testing.assert_allclose(np.abs(curve), np.abs(ahead - behind) / (2 * STEP), rtol=1e-3, atol=1e-4)
        assert (curve >= 0).all() if a == b else (curve <= 0).all()


@pytest.mark.parametrize("power", [0, 1, 1.5, 2, 3])
def test_tweedie_differences_are_those_of_half_the_deviance(power: float) -> None:
    y, raw = labels(Tweedie(power), 0, 50), predictions(Tweedie(power), 0, 50)
    for loss, mean in ((Tweedie(power), np.exp), (TweedieIdentity(power), np.asarray)):
        fall = values(loss, raw, y).mean() - values(loss, raw + 0.1, y).mean()
        halves = [mean_tweedie_deviance(y, mean(at[0]), power=power) / 2 for at in (raw, raw + 0.1)]
        assert fall == pytest.approx(halves[0] - halves[1], rel=1e-9)


def test_classification_losses_are_log_losses() -> None:
    raw, y = predictions(Multinomial(3), 0, 40), labels(Multinomial(3), 0, 40)
    p = np.exp(raw) / np.exp(raw).sum(axis=0)
    assert values(Multinomial(3), raw, y).mean() == pytest.approx(log_loss(y, p.T))
    p1 = 1 / (1 + np.exp(-raw[:1]))
    assert values(Binomial(), raw[:1], y > 0).mean() == pytest.approx(log_loss(y > 0, p1[0]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_certain_predictions_do_not_overflow(dtype: type) -> None:
    far: np.ndarray = np.array([[-1e4, 1e4, -1e4, 1e4]], dtype=dtype)
    value, slope = Binomial().evaluate(far.copy(), np.array([0, 1, 1, 0]), Workspace())
    np.testing.assert_allclose(value, [0, 0, 1e4, 1e4])
    np.testing.assert_allclose(slope, [[0, 0, -1, 1]])
    both = np.vstack([far, -far])
    value, slope = Multinomial(2).evaluate(both.copy(), np.array([1, 0, 0, 1]), Workspace())
    np.testing.assert_allclose(value, [0, 0, 2e4, 2e4])
    assert value.dtype == slope.dtype == dtype


def test_a_mean_that_cannot_be_is_infinitely_bad() -> None:
    value, _ = TweedieIdentity(1).evaluate(np.array([[-1.0, 0.0, 1.0]]), np.ones(3), Workspace())
    assert np.isinf(value[:2]).all()
    assert np.isfinite(value[2])


def test_squared_errors_far_from_zero_do_not_cancel() -> None:
    y = 1e8 + np.array([0.0, 1.0])
    value, slope = TweedieIdentity(0, near=1e8).evaluate(np.full((1, 2), 0.25), y, Workspace())
    np.testing.assert_allclose(value, [0.03125, 0.28125])
    np.testing.assert_allclose(slope, [[0.25, -0.75]])


@pytest.mark.parametrize(
    ("power", "allowed", "refused"),
    [(-1, [-1.0], None), (0, [-1.0], None), (1, [0.0], [-1.0]), (1.5, [0.0], [-1.0]), (2, [1.0], [0.0])],
)
def test_targets_out_of_range_are_known(
    power: float, allowed: list[float], refused: list[float] | None
) -> None:
    for loss in (Tweedie(power), TweedieIdentity(power)):
        assert loss.allows(np.array(allowed))
        assert loss.allows(np.empty(0))
        assert refused is None or not loss.allows(np.array(refused))


def test_one_against_the_rest_weighs_only_the_own_class() -> None:
    weight, y = np.array([2.0, 3.0, 5.0]), np.array([0, 2])
    np.testing.assert_array_equal(SquaredHinge(3).weights(weight, y), [[2, 1], [1, 1], [1, 5]])
    np.testing.assert_array_equal(SquaredHinge(2).weights(weight[:2], np.array([0, 1])), [2, 3])
    np.testing.assert_array_equal(Multinomial(3).weights(weight, y), [2, 5])
