"""L-BFGS as a state machine: scipy's minima in about as many evaluations, and it knows when it cannot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.optimize as so
from hypothesis import assume, given
from hypothesis import strategies as st

from talkoot.learners.solvers.lbfgs import CURVATURE, DECREASE, Lbfgs, LinePoint, Search, descend
from talkoot.learners.solvers.solver import Evaluation, Solution, Solver, Stop

Objective = Callable[[np.ndarray], tuple[float, np.ndarray]]


def solved(
    objective: Objective, start: np.ndarray, stop: Stop, precondition: Solution | None = None
) -> tuple[Solver, int]:
    """The solver's last state and the number of evaluations."""
    solver: Solver = Lbfgs(point=start, stop=stop)
    for count in range(1, 10_000):
        value, gradient = objective(solver.point)
        solver = solver.advance(Evaluation(value, gradient, precondition=precondition))
        if solver.done:
            return solver, count
    raise AssertionError("it never ends")


def scipys(objective: Objective, start: np.ndarray, tol: float) -> Any:
    """What scipy makes of it."""
    options: Any = {"gtol": tol, "ftol": 0, "maxiter": 1000}
    return so.minimize(objective, start, jac=True, method="L-BFGS-B", options=options)


def rosenbrock(x: np.ndarray) -> tuple[float, np.ndarray]:
    return float(so.rosen(x)), so.rosen_der(x)


def quadratic(size: int, condition: float) -> tuple[Objective, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(size)
    turn, _ = np.linalg.qr(rng.standard_normal((size, size)))
    H = turn * np.geomspace(1, condition, size) @ turn.T
    least = rng.standard_normal(size)
    return lambda x: (float((x - least) @ H @ (x - least) / 2), H @ (x - least)), least, H


@pytest.mark.parametrize("size", [2, 10, 50])
def test_rosenbrock_as_scipy(size: int) -> None:
    start = np.tile([-1.2, 1.0], size // 2)
    solver, count = solved(rosenbrock, start, Stop(tol=1e-7, max_iter=1000, digits=0))
    golden = scipys(rosenbrock, start, 1e-7)
    assert solver.end == "converged"
    np.testing.assert_allclose(solver.point, golden.x, atol=1e-6)
    assert count <= 1.5 * golden.nfev
    assert solver.iterations < count


@pytest.mark.parametrize("condition", [1, 1e2, 1e4])
def test_quadratics_as_scipy(condition: float) -> None:
    objective, least, _ = quadratic(20, condition)
    solver, count = solved(objective, np.zeros(20), Stop(tol=1e-9, max_iter=1000, digits=0))
    golden = scipys(objective, np.zeros(20), 1e-9)
    np.testing.assert_allclose(solver.point, least, atol=1e-8)
    assert count <= 1.5 * golden.nfev + 2


def test_a_known_curvature_needs_no_search() -> None:
    objective, least, H = quadratic(20, 1e6)
    solver, count = solved(
        objective, np.zeros(20), Stop(tol=1e-6, max_iter=50), precondition=lambda g: np.linalg.solve(H, g)
    )
    np.testing.assert_allclose(solver.point, least, atol=1e-6)
    assert count == 2


@given(st.floats(0.05, 20.0), st.floats(0.0, 5.0), st.floats(-3.0, 3.0), st.integers(0, 3))
def test_an_accepted_step_meets_the_strong_wolfe_conditions(
    stiff: float, wave: float, phase: float, power: int
) -> None:
    def line(t: float) -> tuple[float, float]:
        value = stiff * t**2 / 2 - t + wave * np.sin(2 * t + phase)
        return value, stiff * t - 1 + 2 * wave * np.cos(2 * t + phase)

    value, slope = line(0.0)
    assume(slope < -1e-3)
    start = LinePoint(0.0, value, slope)
    search = Search(start=start, low=start, step=10.0 ** (power - 2), digits=0.0)
    while not (search.accepted or search.failed):
        search = search.advance(*line(search.step))
    assert search.accepted
    value_there, slope_there = line(search.step)
    assert value_there <= value + DECREASE * search.step * slope
    assert abs(slope_there) <= -CURVATURE * slope


def test_steps_that_leave_the_domain_are_shortened() -> None:
    def barrier(x: np.ndarray) -> tuple[float, np.ndarray]:
        if x[0] <= 0:
            return np.inf, np.array([np.nan])
        return float(x[0] - np.log(x[0])), 1 - 1 / x

    start = np.array([5.0])
    solver, _ = solved(barrier, start, Stop(tol=1e-8, max_iter=100), precondition=lambda g: 50 * g)
    np.testing.assert_allclose(solver.point, [1.0], atol=1e-7)


def test_what_ends_it_is_told() -> None:
    objective, _, _ = quadratic(20, 1e4)
    assert solved(objective, np.zeros(20), Stop(tol=0.0, max_iter=3))[0].end == "limit"
    assert solved(objective, np.zeros(20), Stop(tol=0.0, max_iter=9999))[0].end == "flat"
    assert solved(lambda x: (np.nan, x), np.ones(2), Stop(tol=1e-9, max_iter=9))[0].end == "stuck"
    wrong, count = solved(lambda x: (float(x @ x), -2 * x), np.ones(2), Stop(tol=1e-9, max_iter=9))
    assert wrong.end == "stuck"  # the gradient points the wrong way
    np.testing.assert_array_equal(wrong.point, np.ones(2))
    assert count < 50


def test_no_iterations_are_a_start_and_a_limit() -> None:
    solver, count = solved(rosenbrock, np.zeros(2), Stop(tol=1e-9, max_iter=0))
    assert (solver.end, count, solver.iterations) == ("limit", 1, 0)


def test_going_on_with_more_digits_keeps_what_was_learned() -> None:
    objective, least, _ = quadratic(20, 1e3)
    coarse, _ = solved(objective, np.zeros(20), Stop(tol=1e-8, max_iter=999, digits=1e-4))
    assert coarse.end == "flat"
    assert isinstance(coarse, Lbfgs)
    assert coarse.pairs
    solver: Solver = coarse.restart(replace(coarse.stop, digits=0.0))
    np.testing.assert_array_equal(solver.point, coarse.point)
    value, gradient = objective(solver.point)
    solver = solver.advance(Evaluation(value, gradient))
    np.testing.assert_array_equal(solver.point, coarse.point - descend(gradient, coarse.pairs, None))
    while not solver.done:
        solver = solver.advance(Evaluation(*objective(solver.point)))
    np.testing.assert_allclose(solver.point, least, atol=1e-7)
