"""Linear models fitted in several passes: each round sums loss and gradient at the solver's next point."""

from __future__ import annotations

import warnings
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.learner import Kind, SolvingLearner
from talkoot.core.shard import Block, Mapped, Schema, Shard
from talkoot.core.update import Update, total
from talkoot.learners.common.columnwise import require_numbers
from talkoot.learners.common.estimator import require_finite
from talkoot.learners.common.rows import require_weights
from talkoot.learners.solvers.fitting import (
    DOUBLE,
    SINGLE,
    Fitting,
    Parts,
    Problem,
    precondition,
    with_curvature,
    with_shared_curvature,
)
from talkoot.learners.solvers.lbfgs import Lbfgs
from talkoot.learners.solvers.newton import Newton
from talkoot.learners.solvers.passes import Point, evaluate
from talkoot.learners.solvers.solver import Evaluation, Solver, greatest
from talkoot.learners.solvers.target_stats import counts, spread, with_target_stats

LOOSE = 1e-5  # tolerance from which float32 rows are multiplied in float32
SINGLE_DIGITS = 1e-7  # relative accuracy of an objective summed from float32 rows
WIDE = 4096  # parameters whose Hessian is still summed


@dataclass(frozen=True, slots=True)
class Iterative(SolvingLearner):
    """A linear model fitted by a solver at the server and one pass over the rows a round.

    Rows are summed about `schema.center`. Rows of float32 are multiplied in float32 where the tolerance is
    at least `LOOSE`, and in float64 once that is not precise enough. The curvature of a sample of rows in the
    first pass preconditions the solver; it does not change the answer.
    """

    estimator: Any  # an unfitted scikit-learn estimator
    kind: ClassVar[Kind] = "exact"  # the optimum does not depend on how rows are split
    question_types: ClassVar[tuple[type, ...]] = (Point,)

    @abstractmethod
    def pose(self, schema: Schema) -> Problem:
        """The problem for these columns and classes."""

    @abstractmethod
    def answer(self, model: Fitting, coef: np.ndarray, intercepts: np.ndarray, extras: np.ndarray) -> Any:
        """The fitted estimator.

        Args:
            model: the final state.
            coef: (outputs, features).
            intercepts: (outputs,), for rows that are not centred.
            extras: further parameters.
        """

    def init(self, schema: Schema, rng: np.random.Generator) -> Fitting:
        """The first point."""
        return self._begin(schema, None)

    def warm(self, model: Fitting, schema: Schema) -> Fitting | None:
        """A new fit that starts at the solution of `model`; None if columns or classes changed."""
        old = model.schema
        same = old.names == schema.names and old.features == schema.features
        labels = [() if classes is None else tuple(classes) for classes in (old.classes, schema.classes)]
        return self._begin(schema, self._parts(model)) if same and labels[0] == labels[1] else None

    def _begin(self, schema: Schema, parts: Parts | None) -> Fitting:
        require_numbers(schema, self.estimator)
        problem = self.pose(schema)
        layout, frame, start = problem.layout, problem.frame(schema), problem.start
        if problem.newton and layout.size > WIDE:
            cure = "Take a solver without a Hessian and l1_ratio=0, or fewer columns."
            raise DataError(
                f"a Hessian of {layout.size} x {layout.size} numbers is too large to sum", cure=cure
            )
        if parts is not None:
            coef, intercepts, extras = parts
            shift = (0.0 if frame.center is None else coef @ frame.center) - problem.loss.origin
            start = layout.join(coef, intercepts + shift, extras)
        single = schema.dtype == SINGLE and frame.center is not None and problem.stop.tol >= LOOSE
        single = single and problem.loss.single
        known = problem.target_stats is None or (problem.target_stats == "target" and parts is not None)
        point = Point(
            vector=start,
            dtype=SINGLE if single else DOUBLE,
            stage="start" if known else "target_stats",
            curve="full" if problem.newton else "sample",
            class_weight=problem.class_weight,
        )
        stop = replace(problem.stop, digits=SINGLE_DIGITS) if single else problem.stop
        solver: Solver = (Newton if problem.newton else Lbfgs)(point=start, stop=stop)
        return Fitting(schema=schema, frame=frame, point=point, solver=solver)

    def question(self, model: Fitting) -> Point:
        """The point to evaluate."""
        return model.point

    def work(self, point: Point, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Sums at the point. The first pass also checks targets, weights and missing numbers."""
        schema, problem = ctx.schema, self.pose(ctx.schema)
        if point.stage == "solve":
            return evaluate(shard, problem.frame(schema), point), None
        checked = Mapped(shard, lambda block: self._check(block, problem, schema))
        if point.stage == "target_stats":
            sums = counts if problem.target_stats == "classes" else spread
            return total(sums(block, schema) for block in checked.blocks() if len(block)), None
        update = evaluate(checked, problem.frame(schema), point)
        if not all(np.isfinite(value).all() for value in update.values.values()):
            for block in shard.blocks():
                require_finite(block.X, schema, self.estimator)
        return update, None

    def _check(self, block: Block, problem: Problem, schema: Schema) -> Block:
        require_weights(block.w, self.estimator)
        if block.y is None or not len(block):
            return block
        if not np.isfinite(block.y).all():
            cure = "Leave out the rows without a target."
            raise DataError("some targets are missing (NaN) or infinite", column=schema.target, cure=cure)
        if not problem.loss.allows(block.y):
            cause = f"some targets are out of the range of {type(self.estimator).__name__}"
            cure = "Look at the smallest targets, or take an estimator for such targets."
            raise DataError(cause, column=schema.target, cure=cure)
        return block

    def step(self, model: Fitting, update: Update) -> Fitting:
        """Advance the solver by the sums at its point.

        Raises:
            DataError: no node has rows, or all their weights are 0; the loss is infinite at the start.
        """
        weight = float(update.values["weight"].sum()) if update.values else 0.0
        if not weight > 0:
            cure = "Look at the shards: all are empty, or all weights are 0."
            raise DataError(f"no node has rows to fit {type(self.estimator).__name__}", cure=cure)
        problem = self.pose(model.schema)
        if model.point.stage == "target_stats":
            return with_target_stats(model, problem, update)
        if model.point.stage == "start" and not problem.newton:
            model = with_curvature(model, update)
        at = self._evaluation(model, problem, update, weight)
        if model.point.stage == "start" and not np.isfinite(at.value):
            cure = "Scale the columns, or fit an intercept."
            raise DataError("the loss is infinite at the starting point", cure=cure)
        return _advance(model, problem, at)

    def _evaluation(self, model: Fitting, problem: Problem, update: Update, weight: float) -> Evaluation:
        values, layout, x = update.values, problem.layout, model.point.vector
        penalty = problem.penalty(weight, model.frame.center)
        hessian = None
        if problem.newton:
            hessian = values["hessian"] / weight + np.kron(np.eye(layout.outputs), penalty.curvature(layout))
            if problem.loss.shared:
                hessian = with_shared_curvature(hessian, layout, penalty.free(layout))
        return Evaluation(
            value=float(values["loss"].sum()) / weight + penalty.value(layout, x),
            gradient=values["gradient"] / weight + penalty.gradient(layout, x),
            hessian=hessian,
            precondition=precondition(model, penalty),
            l1=penalty.absolute(layout),
        )

    def measures(self, model: Fitting) -> Mapping[str, float]:
        """The objective (without terms of the target alone) and the greatest entry of its gradient."""
        value, gradient = model.seen
        return {"loss": value, "gradient": gradient} if np.isfinite(value) else {}

    def finish(self, model: Fitting) -> Any:
        """The fitted estimator. Warns where the solver ended without reaching the tolerance."""
        name, solver = type(self.estimator).__name__, model.solver
        spent = f"{solver.iterations} iterations (gradient {model.seen[1]:.1e})"
        warned = {
            "limit": f"{name} did not converge in {spent}. Increase max_iter, or scale the columns.",
            "stuck": f"{name} found no better point after {spent}: no step of the line search helps. "
            "Scale the columns.",
        }
        if solver.end in warned:
            warnings.warn(warned[solver.end], ConvergenceWarning, stacklevel=2)
        return self.answer(model, *self._parts(model))

    def _parts(self, model: Fitting) -> Parts:
        """The parameters for rows and targets that are not centred."""
        coef, intercepts, extras = model.parts()
        return coef, intercepts + self.pose(model.schema).loss.origin, extras


def _advance(model: Fitting, problem: Problem, at: Evaluation) -> Fitting:
    """The state after an evaluation; switches to float64 where float32 ends progress."""
    solver, point = model.solver.advance(at), model.point
    if point.dtype == SINGLE and solver.end in ("flat", "stuck"):
        solver, point = solver.restart(problem.stop), replace(point, dtype=DOUBLE)
    x = model.point.vector
    seen = at.value + at.absolute(x), greatest(at.subgradient(x))
    curve: Any = "full" if problem.newton else "none"
    point = replace(point, vector=solver.point, curve=curve, stage="solve")
    return replace(model, solver=solver, point=point, seen=seen)
