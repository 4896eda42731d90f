"""Newton steps, with and without absolute values, and the quadratic that each of them solves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import Lasso

from talkoot.learners.solvers.newton import Newton
from talkoot.learners.solvers.quadratic import l1_step, newton_step, pseudo_inverse
from talkoot.learners.solvers.solver import Evaluation, Solver, Stop


def problem(seed: int, rows: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A point, a gradient in the range of a Hessian, and the Hessian."""
    rng = np.random.default_rng(seed)
    A = rng.standard_normal((rows, size)) * np.geomspace(1, 30, size)
    return rng.standard_normal(size) / 3, A.T @ rng.standard_normal(rows) / rows, A.T @ A / rows


def subgradient(gradient: np.ndarray, x: np.ndarray, l1: np.ndarray) -> np.ndarray:
    return Evaluation(0.0, gradient, l1=l1).subgradient(x)


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 9), st.floats(0.01, 3.0), st.booleans())
def test_the_quadratic_with_absolute_values_is_solved(
    seed: int, size: int, strength: float, free: bool
) -> None:
    x, gradient, H = problem(seed, 12, size)
    l1 = np.full(size, strength)
    l1[-1] = 0.0 if free and size > 1 else 3 * strength
    step = l1_step(x, gradient, H, l1)
    least = subgradient(gradient + H @ step, x + step, l1)
    assert np.abs(least).max() <= 1e-8 * max(1.0, np.abs(gradient).max())


@pytest.mark.parametrize("seed", range(5))
def test_more_columns_than_rows_are_solved_too(seed: int) -> None:
    x, gradient, H = problem(seed, 6, 15)
    l1 = np.full(15, 0.3)
    step = l1_step(x, gradient, H, l1)
    assert np.abs(subgradient(gradient + H @ step, x + step, l1)).max() <= 1e-6


def test_a_penalty_above_all_gradients_leaves_nothing() -> None:
    x, gradient, H = problem(0, 12, 4)
    np.testing.assert_allclose(x + l1_step(x, gradient, H, np.full(4, 1e9)), 0, atol=1e-12)
    np.testing.assert_allclose(l1_step(np.zeros(2), np.ones(2), np.zeros((2, 2)), np.full(2, 9.0)), 0)


def test_a_newton_step_solves_and_is_the_shortest_where_it_is_not_alone() -> None:
    _, gradient, H = problem(1, 12, 5)
    np.testing.assert_allclose(newton_step(gradient, H), np.linalg.solve(H, -gradient), rtol=1e-9)
    singular = np.ones((2, 2))
    np.testing.assert_allclose(newton_step(np.array([1.0, 1.0]), singular), [-0.5, -0.5], rtol=1e-12)
    np.testing.assert_allclose(newton_step(np.array([1.0, 0.0]), np.diag([2.0, 0.0])), [-0.5, 0.0])


def test_a_pseudo_inverse_ignores_rounding() -> None:
    matrix = np.diag([1.0, 1e-14])
    np.testing.assert_allclose(pseudo_inverse(matrix), np.diag([1.0, 0.0]))


def run(solver: Solver, X: np.ndarray, y: np.ndarray, l1: np.ndarray | None) -> tuple[Solver, int]:
    """Logistic loss on rows."""
    for count in range(1, 500):
        raw = X @ solver.point
        p = expit(raw)
        value = float(np.logaddexp(0, raw).mean() - (y * raw).mean())
        hessian = X.T @ (X * (p * (1 - p))[:, None]) / len(y)
        solver = solver.advance(Evaluation(value, X.T @ (p - y) / len(y), hessian, l1=l1))
        if solver.done:
            return solver, count
    raise AssertionError("it never ends")


def rows() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 5))
    return X, (X[:, 0] + rng.logistic(size=200) > 0).astype(float)


def test_logistic_loss_in_few_evaluations() -> None:
    X, y = rows()
    solver, count = run(Newton(point=np.zeros(5), stop=Stop(tol=1e-10, max_iter=20)), X, y, None)
    assert solver.end == "converged"
    assert count == solver.iterations + 1 <= 8


@pytest.mark.parametrize("far", [20.0, -40.0])
def test_a_step_too_long_is_halved(far: float) -> None:
    X, y = rows()
    start = np.array([far, 0, 0, 0, 0])
    solver, count = run(Newton(point=start, stop=Stop(tol=1e-9, max_iter=99)), X, y, np.full(5, 1e-3))
    home, _ = run(Newton(point=np.zeros(5), stop=Stop(tol=1e-9, max_iter=99)), X, y, np.full(5, 1e-3))
    np.testing.assert_allclose(solver.point, home.point, atol=1e-6)
    assert count > solver.iterations + 1


def test_least_squares_with_l1_is_the_lasso() -> None:
    rng = np.random.default_rng(3)
    X, l1 = rng.standard_normal((50, 6)), 0.2
    y = X @ np.array([3.0, -2.0, 0, 0, 0, 1.0]) + rng.standard_normal(50)
    solver: Solver = Newton(point=np.zeros(6), stop=Stop(tol=1e-10, max_iter=9))
    while not solver.done:
        error = X @ solver.point - y
        at = Evaluation(float(error @ error) / 100, X.T @ error / 50, X.T @ X / 50, l1=np.full(6, l1))
        solver = solver.advance(at)
    golden = Lasso(alpha=l1, fit_intercept=False, tol=1e-14, max_iter=10**6).fit(X, y)
    np.testing.assert_allclose(solver.point, golden.coef_, atol=1e-8)
    assert solver.iterations == 1


def test_what_ends_it_is_told() -> None:
    X, y = rows()
    assert run(Newton(point=np.zeros(5), stop=Stop(tol=0, max_iter=2)), X, y, None)[0].end == "limit"
    assert run(Newton(point=np.zeros(5), stop=Stop(tol=0, max_iter=99)), X, y, None)[0].end == "flat"
    nowhere = Newton(point=np.zeros(1), stop=Stop(tol=0, max_iter=9))
    assert nowhere.advance(Evaluation(np.inf, np.zeros(1), np.eye(1))).end == "stuck"


def test_no_descent_gives_up_at_the_best_point() -> None:
    solver: Solver = Newton(point=np.ones(1), stop=Stop(tol=1e-9, max_iter=9))
    solver = solver.advance(Evaluation(0.0, np.ones(1), np.eye(1)))
    while not solver.done:
        solver = solver.advance(Evaluation(1.0, np.ones(1), np.eye(1)))
    assert solver.end == "stuck"
    np.testing.assert_array_equal(solver.point, np.ones(1))
    restart = solver.restart(solver.stop)
    assert not restart.done
    np.testing.assert_array_equal(restart.point, np.ones(1))
