"""RidgeCV: the penalty chosen by leaving out one row at a time, without leaving out any.

The error on a row that was left out is (y - prediction) / (1 - leverage), both of the fit with all rows. The
first round sums X'X and X'y; with their solution the second sums the squared errors for every penalty.
Source: Rifkin and Lippert (2007), Notes on Regularized Least Squares, MIT-CSAIL-TR-2007-025.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import scipy.sparse as sp
from sklearn.linear_model import RidgeCV

from talkoot.core.context import Ctx
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.common.estimator import refuse
from talkoot.learners.common.results import linear
from talkoot.learners.common.rows import checked_blocks, require_rows
from talkoot.learners.common.state import State, SumLearner
from talkoot.learners.sums.factor import synthetic
from talkoot.learners.sums.scatter import gram, moments, next_center, start


@final
@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The fit for every penalty: coefficients are vectors @ (inner / (values + alpha))."""

    # (features + outputs,) what is subtracted from rows and targets; zeros without an intercept
    mean: np.ndarray
    share: float  # 1 / sum of weights, the leverage of the intercept; 0 without one
    vectors: np.ndarray  # (features, rank) principal axes
    values: np.ndarray  # (rank,) their eigenvalues
    inner: np.ndarray  # (rank, outputs) vectors' X'y

    def shrunk(self, alpha: Any) -> np.ndarray:
        """(rank, outputs) coefficients along the axes, with one penalty or one for each target."""
        return np.asarray(self.inner / (self.values[:, None] + alpha))


@final
@dataclass(frozen=True, slots=True)
class RidgeLeaveOneOut(SumLearner):
    """RidgeCV with ``cv=None``: two rounds, exact. Nodes get the center, then the solution.

    The errors are taken at the solution of all nodes, so a node cannot be subtracted: `closed` is False.

    >>> RidgeLeaveOneOut(RidgeCV()).closed
    False
    """

    estimator: RidgeCV
    question_types: ClassVar[tuple[type, ...]] = (Solution,)

    @property
    def alphas(self) -> np.ndarray:
        """The penalties to choose from, (alphas,)."""
        return np.asarray(self.estimator.alphas, dtype=np.float64).reshape(-1)

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Sum about the center that the nodes agreed on."""
        return State(schema=schema, shared=start(schema, self.estimator, targets=True))

    def work(self, about: np.ndarray | Solution, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Products of all columns about a center, or a solution's squared errors for every penalty."""
        if not isinstance(about, Solution):
            return gram(shard, ctx.schema, about, self.estimator), local
        squares, rows = np.zeros((len(self.alphas), about.inner.shape[1])), 0
        for block in checked_blocks(shard, ctx.schema, self.estimator):
            squares += errors(block, about, self.alphas)
            rows += len(block)
        values = {"squares": squares, "rows": np.array([float(rows)])} if rows else {}
        return Update(values=values, weight=float(rows)), local

    def step(self, model: State, update: Update) -> State:
        """A better center, or the solution, or the best penalty."""
        if isinstance(model.shared, Solution):
            require_rows(update, self.estimator)
            mean_squares = update.values["squares"] / update.values["rows"]
            return replace(model, result=self._best(model.schema, model.shared, mean_squares))
        found = moments(update, model.shared, self.estimator)
        center = next_center(update, model.shared, sparse=model.schema.sparse)
        if center is not None:
            return replace(model, shared=center)
        intercept, p = self.estimator.fit_intercept, model.schema.features
        X, Y = synthetic(found, p, intercept=intercept, residual=False)
        left, roots, axes = np.linalg.svd(X, full_matrices=False)
        about = (found.mean, 1 / found.weight) if intercept else (np.zeros_like(found.mean), 0.0)
        inner = roots[:, None] * (left.T @ Y)
        return replace(model, shared=Solution(*about, axes.T, roots**2, inner))

    def _best(self, schema: Schema, solution: Solution, mean_squares: np.ndarray) -> RidgeCV:
        scores: Any = -mean_squares
        if not self.estimator.alpha_per_target:
            scores = scores.mean(axis=1)
        elif not schema.outputs:
            scores = scores[:, 0]
        alpha, one = self.alphas[scores.argmax(axis=0)], solution.inner.shape[1] == 1
        coef = (solution.vectors @ solution.shrunk(alpha)).T
        made = linear(self.estimator, schema, solution.mean, {"coef_": coef[0] if one else coef})
        made.alpha_ = float(alpha.item()) if alpha.size == 1 else alpha
        made.best_score_ = scores.max(axis=0)
        return made


def errors(block: Block, solution: Solution, alphas: np.ndarray) -> np.ndarray:
    """Weighted sum of the squared errors on a block's rows, each left out in turn: (alphas, outputs)."""
    p = len(solution.vectors)
    X, mean = block.X, solution.mean[:p]
    if sp.issparse(X):
        along = X @ solution.vectors - mean @ solution.vectors
    else:
        along = (X - mean) @ solution.vectors
    weights = np.ones(len(block)) if block.w is None else block.w
    target = np.asarray(block.y).reshape(len(block), -1) - solution.mean[p:]
    sums = np.empty((len(alphas), target.shape[1]))
    for i, alpha in enumerate(alphas):
        leverage = weights * (along**2 @ (1 / (solution.values + alpha)) + solution.share)
        wrong = (target - along @ solution.shrunk(alpha)) / (1 - leverage)[:, None]
        sums[i] = weights @ wrong**2
    return sums


def ridge_cv(estimator: RidgeCV) -> RidgeLeaveOneOut:
    """RidgeCV.

    Raises:
        NotDistributable: folds, other scores, errors of single rows, or a penalty of 0 or less.
    """
    if estimator.cv is not None:
        reason = "which rows make a fold depends on their order over all nodes"
        refuse(estimator, "cv", reason, "Leave cv out: each row is then left out once, in two rounds.")
    if estimator.scoring is not None:
        reason = "only squared errors add up over nodes"
        refuse(estimator, "scoring", reason, "Leave scoring out for the mean squared error.")
    if estimator.store_cv_results:
        reason = "the error of every row would leave its node"
        refuse(estimator, "store_cv_results", reason, "Leave it out; best_score_ is the mean over rows.")
    if not (np.asarray(estimator.alphas) > 0).all():
        reason = "leaving out rows needs penalties above 0"
        refuse(estimator, "alphas", reason, "Take LinearRegression() for a penalty of 0.")
    return RidgeLeaveOneOut(estimator)
