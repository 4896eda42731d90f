"""Logistic regression, generalised linear regressors, linear support vectors and Huber's regressor.

All minimise scikit-learn's own objective, so at a small tolerance the coefficients are scikit-learn's. The
tolerance bounds the greatest entry of the gradient of the mean objective, with centred columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from sklearn.linear_model import (
    GammaRegressor,
    HuberRegressor,
    LogisticRegression,
    PoissonRegressor,
    TweedieRegressor,
)
from sklearn.svm import LinearSVC

from talkoot.core.errors import DataError
from talkoot.core.learner import Learner
from talkoot.core.shard import Schema
from talkoot.learners.common.estimator import fitted, refuse
from talkoot.learners.common.sklearn_private import base_loss
from talkoot.learners.linear.iterative import Iterative
from talkoot.learners.solvers.fitting import Fitting, Problem
from talkoot.learners.solvers.losses import Binomial, Loss, Multinomial, Tweedie, TweedieIdentity
from talkoot.learners.solvers.nonsmooth import Huber, SquaredHinge
from talkoot.learners.solvers.objective import Layout, Penalty
from talkoot.learners.solvers.solver import Stop
from talkoot.learners.solvers.target_stats import class_weights, target_mean, two_classes

NARROW = 1000  # parameters of a model whose Hessian is worth summing where L-BFGS would do


@final
@dataclass(frozen=True, slots=True)
class Logistic(Iterative):
    """LogisticRegression: (proximal) Newton for "newton-cholesky" and l1, L-BFGS for everything else."""

    def pose(self, schema: Schema) -> Problem:
        """Binomial for two classes, else multinomial."""
        est, count = self.estimator, len(two_classes(schema, self.estimator))
        if est.solver == "liblinear" and count > 2:
            cure = "Take solver='lbfgs', which is multinomial."
            raise DataError(f"solver='liblinear' separates two classes, and there are {count}", cure=cure)
        loss: Loss = Binomial() if count == 2 else Multinomial(count)
        layout = Layout(outputs=loss.outputs, features=schema.features, intercept=est.fit_intercept)
        strength, ratio = strengths(est)
        scaling = est.intercept_scaling if est.solver == "liblinear" else None

        def penalty(weight: float, center: np.ndarray | None) -> Penalty:
            share = strength / weight
            return Penalty(l2=share * (1 - ratio), l1=share * ratio, anchor=anchored(layout, center, scaling))

        return Problem(
            loss=loss,
            layout=layout,
            start=np.zeros(layout.size),
            stop=Stop(tol=est.tol, max_iter=est.max_iter),
            penalty=penalty,
            newton=est.solver == "newton-cholesky" or ratio > 0,
            class_weight=class_weights(est, schema),
            target_stats="classes" if est.class_weight == "balanced" else None,
        )

    def answer(self, model: Fitting, coef: np.ndarray, intercepts: np.ndarray, extras: np.ndarray) -> Any:
        """The classifier, in the dtype of the rows. Unpenalised parameters have mean 0 over the classes."""
        dtype = model.schema.dtype
        if len(intercepts) > 1 and self.estimator.fit_intercept:
            intercepts = intercepts - intercepts.mean()
        if len(coef) > 1 and not strengths(self.estimator)[0]:
            coef = coef - coef.mean(axis=0)
        bare = self.estimator.solver == "liblinear" and not self.estimator.fit_intercept
        return fitted(
            self.estimator,
            model.schema,
            classes_=model.schema.classes,
            coef_=coef.astype(dtype),
            intercept_=0.0 if bare else intercepts.astype(dtype),
            n_iter_=np.array([model.solver.iterations], dtype=np.int32),
        )


@final
@dataclass(frozen=True, slots=True)
class Generalised(Iterative):
    """PoissonRegressor, GammaRegressor and TweedieRegressor: half the mean deviance + alpha / 2 |coef|^2."""

    def pose(self, schema: Schema) -> Problem:
        """Starts at the target's mean."""
        est, mean = self.estimator, target_mean(schema, self.estimator)
        power = {PoissonRegressor: 1.0, GammaRegressor: 2.0}.get(type(est), getattr(est, "power", 0.0))
        link = getattr(est, "link", "log")
        identity = link == "identity" or (link == "auto" and power <= 0)
        layout = Layout(outputs=1, features=schema.features, intercept=est.fit_intercept)
        near = mean if est.fit_intercept else 0.0
        loss = TweedieIdentity(power, near) if identity else Tweedie(power)
        start = np.zeros(layout.size)
        if est.fit_intercept:
            start[-1] = mean - loss.origin if identity else np.log(mean) if mean > 0 else 0.0
        return Problem(
            loss=loss,
            layout=layout,
            start=start,
            stop=Stop(tol=est.tol, max_iter=est.max_iter),
            penalty=lambda weight, center: Penalty(l2=est.alpha),
            newton=est.solver == "newton-cholesky",
        )

    def answer(self, model: Fitting, coef: np.ndarray, intercepts: np.ndarray, extras: np.ndarray) -> Any:
        """The regressor, in the dtype of the rows."""
        dtype = model.schema.dtype
        return fitted(
            self.estimator,
            model.schema,
            coef_=coef[0].astype(dtype),
            intercept_=intercepts[0].astype(dtype) if self.estimator.fit_intercept else 0.0,
            n_iter_=model.solver.iterations,
            _base_loss=base_loss(self.estimator),
        )


@final
@dataclass(frozen=True, slots=True)
class SupportVectors(Iterative):
    """LinearSVC with the squared hinge: |w|^2 / 2 + C sum(max(0, 1 - s raw)^2), the intercept penalised too.

    With more than two classes, each is separated from the rest.
    """

    def pose(self, schema: Schema) -> Problem:
        """One output for two classes, else one for each."""
        est, loss = self.estimator, SquaredHinge(len(two_classes(schema, self.estimator)))
        layout = Layout(outputs=loss.outputs, features=schema.features, intercept=est.fit_intercept)
        absolute = est.penalty == "l1"

        def penalty(weight: float, center: np.ndarray | None) -> Penalty:
            share = 1 / (est.C * weight)
            anchor = anchored(layout, center, est.intercept_scaling)
            return Penalty(l2=0.0 if absolute else share, l1=share if absolute else 0.0, anchor=anchor)

        return Problem(
            loss=loss,
            layout=layout,
            start=np.zeros(layout.size),
            stop=Stop(tol=est.tol, max_iter=est.max_iter),
            penalty=penalty,
            newton=absolute or layout.size <= NARROW,  # quadratic in pieces: few steps, to the last digit
            class_weight=class_weights(est, schema),
            target_stats="classes" if est.class_weight == "balanced" else None,
        )

    def answer(self, model: Fitting, coef: np.ndarray, intercepts: np.ndarray, extras: np.ndarray) -> Any:
        """The classifier, in float64 as liblinear's."""
        return fitted(
            self.estimator,
            model.schema,
            classes_=model.schema.classes,
            coef_=coef.copy(),
            intercept_=intercepts.copy() if self.estimator.fit_intercept else 0.0,
            n_iter_=model.solver.iterations,
        )


@final
@dataclass(frozen=True, slots=True)
class HuberScale(Iterative):
    """HuberRegressor: coefficients, intercept and scale together.

    The mask `outliers_` of the training rows is not set: rows stay at their nodes. It is
    ``abs(y - model.predict(X)) > model.scale_ * model.epsilon`` wherever rows are at hand.
    """

    def pose(self, schema: Schema) -> Problem:
        """Starts at the target's mean and standard deviation, which a first round sums."""
        est, mean = self.estimator, target_mean(schema, self.estimator)
        layout = Layout(outputs=1, features=schema.features, intercept=est.fit_intercept, extras=1)
        return Problem(
            loss=Huber(est.epsilon, mean if est.fit_intercept else 0.0),
            layout=layout,
            start=np.zeros(layout.size),
            stop=Stop(tol=est.tol, max_iter=est.max_iter),
            penalty=lambda weight, center: Penalty(l2=2 * est.alpha / weight),
            target_stats="target",
        )

    def answer(self, model: Fitting, coef: np.ndarray, intercepts: np.ndarray, extras: np.ndarray) -> Any:
        """The regressor, in float64."""
        return fitted(
            self.estimator,
            model.schema,
            coef_=coef[0].copy(),
            intercept_=intercepts[0] if self.estimator.fit_intercept else 0.0,
            scale_=np.exp(extras[0]),
            n_iter_=model.solver.iterations,
        )


def anchored(layout: Layout, center: np.ndarray | None, scaling: float | None) -> np.ndarray | None:
    """`Penalty.anchor` as in liblinear; None if the intercept is not penalised."""
    if scaling is None or not layout.intercept:
        return None
    slopes = np.zeros(layout.features) if center is None else -center
    return np.append(slopes, 1.0) / scaling


def strengths(estimator: LogisticRegression) -> tuple[float, float]:
    """1 / C, and the share of it that is l1."""
    ratio = 0.0 if estimator.l1_ratio is None else float(estimator.l1_ratio)
    known = {"l2": 0.0, "l1": 1.0, None: 0.0, "elasticnet": ratio, "deprecated": ratio}
    return 0.0 if estimator.penalty is None else 1 / estimator.C, known[estimator.penalty]


def logistic(estimator: LogisticRegression) -> Learner:
    """LogisticRegression.

    Raises:
        NotDistributable: the dual problem, a penalty that the solver does not know, warm_start.
    """
    _, ratio = strengths(estimator)
    if estimator.dual:
        refuse(
            estimator, "dual", "it has a variable for each row", "Leave dual=False: the optimum is the same."
        )
    if ratio > 0 and estimator.solver not in ("saga", "liblinear"):
        refuse(estimator, "solver", "it does not know the l1 penalty", "Take solver='saga', or l1_ratio=0.")
    if estimator.solver == "liblinear" and (0 < ratio < 1 or not strengths(estimator)[0]):
        refuse(estimator, "solver", "it penalises by l1 or by l2", "Take solver='saga'.")
    return starting(estimator, Logistic)


def support_vectors(estimator: LinearSVC) -> Learner:
    """LinearSVC with the squared hinge, one against the rest.

    Raises:
        NotDistributable: the plain hinge, which has no gradient, or classes separated jointly.
    """
    if estimator.loss == "hinge":
        reason = "it has no gradient, and its dual has a variable for each row"
        refuse(estimator, "loss", reason, "Take loss='squared_hinge'.")
    if estimator.multi_class != "ovr":
        reason = "each class is separated from the rest"
        refuse(estimator, "multi_class", reason, "Take multi_class='ovr'.")
    if estimator.penalty == "l1" and estimator.dual is True:
        refuse(estimator, "dual", "l1 has no dual here", "Take dual='auto'.")
    return starting(estimator, SupportVectors)


def starting(estimator: Any, learner: Callable[[Any], Learner]) -> Learner:
    """The learner of an estimator that starts without an earlier fit.

    Raises:
        NotDistributable: warm_start.
    """
    if getattr(estimator, "warm_start", False):
        cure = "Leave warm_start=False; Fit.forget() starts warm by itself."
        refuse(estimator, "warm_start", "a fit starts without an earlier one", cure)
    return learner(estimator)


FITS: dict[type, Callable[[Any], Learner]] = {
    LogisticRegression: logistic,
    PoissonRegressor: lambda estimator: starting(estimator, Generalised),
    GammaRegressor: lambda estimator: starting(estimator, Generalised),
    TweedieRegressor: lambda estimator: starting(estimator, Generalised),
    LinearSVC: support_vectors,
    HuberRegressor: lambda estimator: starting(estimator, HuberScale),
}
