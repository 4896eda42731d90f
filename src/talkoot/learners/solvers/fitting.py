"""The state of an iterative fit, and its preconditioner from a sample of curvature."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, final

import numpy as np
import scipy.linalg as sla

from talkoot.core.shard import Schema
from talkoot.core.update import Update
from talkoot.learners.solvers.losses import Loss
from talkoot.learners.solvers.objective import Layout, Penalty
from talkoot.learners.solvers.passes import Frame, Point
from talkoot.learners.solvers.solver import Solution, Solver, Stop

SINGLE: np.dtype[Any] = np.dtype(np.float32)
DOUBLE: np.dtype[Any] = np.dtype(np.float64)
NEAR = {SINGLE: 30.0, DOUBLE: 1e4}  # standard deviations from 0 within which products are precise
SAMPLE = 20_000  # rows over all nodes whose curvature preconditions the solver
JITTER = 1e-8  # added to a sampled curvature of unit diagonal, so that it can be inverted

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]  # coefficients, intercepts, further parameters


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """What is minimised: mean loss plus penalty, and how."""

    loss: Loss  # the loss of a row
    layout: Layout  # the parameters
    start: np.ndarray  # (n,) initial parameters; intercepts are those of centred rows
    stop: Stop  # when to stop
    # the penalty for a total weight of the rows and the center that is taken off them
    penalty: Callable[[float, np.ndarray | None], Penalty]
    newton: bool = False  # by Newton steps, else by L-BFGS
    class_weight: np.ndarray | None = None  # (classes,) weight of each class; None for 1
    # what a first round sums: "classes" their weights, "target" its mean and spread
    target_stats: Literal["classes", "target"] | None = None

    def frame(self, schema: Schema) -> Frame:
        """How nodes read rows: centred, exactly in their dtype, unless they are sparse or penalised apart."""
        penalty = self.penalty(1.0, None)
        apart = bool(penalty.l1) and penalty.anchor is not None
        plain = schema.sparse or apart or not self.layout.intercept
        center = None if plain else schema.center.astype(schema.dtype).astype(np.float64)
        stride = max(1, schema.rows // SAMPLE)
        return Frame(loss=self.loss, layout=self.layout, center=center, stride=stride)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Fitting:
    """The state of a fit: what nodes evaluate next, and the solver.

    Args:
        schema: what the nodes agreed on.
        frame: how nodes read rows.
        point: what nodes evaluate.
        solver: the solver.
        curve: the sampled curvature of one output, mean over rows; None if unknown.
        extras: the same for further parameters.
        seen: the last objective and the greatest absolute entry of its gradient.
    """

    schema: Schema
    frame: Frame
    point: Point
    solver: Solver
    curve: np.ndarray | None = None
    extras: np.ndarray | None = None
    seen: tuple[float, float] = (np.nan, np.nan)

    @property
    def done(self) -> bool:
        """Whether the solver has ended."""
        return self.solver.done

    def parts(self) -> Parts:
        """The parameters at the solver's point, with intercepts for rows that are not centred."""
        coef, intercepts, extras = self.frame.layout.split(self.solver.point)
        if self.frame.center is not None:
            intercepts = intercepts - coef @ self.frame.center
        return coef, intercepts, extras


def with_curvature(model: Fitting, update: Update) -> Fitting:
    """The state with the curvature sampled in the first pass."""
    sampled = float(update.values["sampled"].sum())
    if not sampled > 0:
        return model
    curve, extras = update.values["curve"] / sampled, update.values["extras"] / sampled
    point = replace(model.point, subtract=not near(curve, model.frame.center, model.point.dtype))
    return replace(model, point=point, curve=curve, extras=extras)


def near(curve: np.ndarray, center: np.ndarray | None, dtype: np.dtype[Any]) -> bool:
    """Whether subtracting the center from products instead of rows is precise enough."""
    if center is None:
        return True
    squares = np.diag(curve) if curve.ndim == 2 else curve
    deviations = np.sqrt(squares[:-1] / squares[-1]) if squares[-1] > 0 else 0 * center
    return bool((np.abs(center) <= NEAR[dtype] * deviations).all())


def precondition(model: Fitting, penalty: Penalty) -> Solution | None:
    """Multiplication by the inverse of sampled curvature plus penalty; None without a sample."""
    layout, curve = model.frame.layout, model.curve
    if curve is None or model.extras is None:
        return None
    extras = np.where(model.extras > 0, model.extras, 1.0)
    matrix = penalty.curvature(layout) if curve.ndim == 2 else penalty.diagonal(layout)
    solve = _inverse(curve + matrix)

    def apply(vector: np.ndarray) -> np.ndarray:
        tail = vector[layout.outputs * layout.width :] / extras
        return np.concatenate([solve(layout.rows(vector)).reshape(-1), tail])

    return apply


def _inverse(curve: np.ndarray) -> Solution:
    """The map rows -> rows C^-1 for a positive semidefinite matrix or diagonal C."""
    squares = np.diag(curve) if curve.ndim == 2 else curve
    seen = squares > 0
    scale = 1 / np.sqrt(np.where(seen, squares, squares.max(initial=0.0) or 1.0))
    if curve.ndim == 1:
        return lambda rows: rows * scale**2
    unit = curve * scale * scale[:, None]
    unit[np.diag_indices_from(unit)] = 1 + JITTER
    factor = sla.cho_factor(unit, check_finite=False)
    return lambda rows: scale * sla.cho_solve(factor, (rows * scale).T, check_finite=False).T


def with_shared_curvature(hessian: np.ndarray, layout: Layout, free: np.ndarray) -> np.ndarray:
    """An (n, n) Hessian with curvature added along shifts common to all outputs, where the objective is flat.

    `free`, (width,), tells which parameters of an output are not penalised.
    """
    outputs = layout.outputs
    curve = np.diag(hessian).reshape(outputs, layout.width).mean(axis=0) * free
    return hessian + np.kron(np.full((outputs, outputs), 1 / outputs), np.diag(curve))
