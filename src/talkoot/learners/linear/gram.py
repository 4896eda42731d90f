"""Linear models from X'X and X'y: one round of sums, then scikit-learn's own solver on a few synthetic rows.

Exact up to rounding: a Gram matrix squares the condition of the rows, so coefficients keep about
16 - 2 log10(cond) digits, where cond is that of the centred columns scaled to unit variance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, final

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression, Ridge, RidgeCV

from talkoot.core.shard import Schema
from talkoot.learners.common.estimator import refuse
from talkoot.learners.common.results import fit_error, fitted_attributes, linear
from talkoot.learners.linear.ridgecv import ridge_cv
from talkoot.learners.sums.factor import synthetic, tall
from talkoot.learners.sums.scatter import GramLearner, ProductMoments


@final
@dataclass(frozen=True, slots=True)
class Linear(GramLearner):
    """LinearRegression, Ridge, Lasso and ElasticNet, with sample weights and several targets.

    Sums are in float64; coefficients have the dtype of the rows, as in scikit-learn. Ridge's iterative
    solvers (sag, saga, lsqr, sparse_cg) are replaced by Cholesky, their limit, as ``solver_`` says. Lasso and
    ElasticNet have the same iterates as scikit-learn on all rows, so the same ``n_iter_`` and ``dual_gap_``.

    >>> Linear(Ridge(alpha=0.5)).kind
    'exact'
    """

    estimator: Any
    targets: ClassVar[bool] = True

    def solve(self, found: ProductMoments, schema: Schema) -> Any:
        """The estimator's own solver on rows with the same moments."""
        inner = stand_in(self.estimator)
        residual = isinstance(inner, ElasticNet) or inner.positive
        intercept = self.estimator.fit_intercept
        X, Y = synthetic(found, schema.features, intercept=intercept, residual=residual)
        if isinstance(inner, ElasticNet):  # it divides its loss by the number of rows
            X, Y = (np.sqrt(len(X) / found.weight) * rows for rows in (X, Y))
        if isinstance(inner, Ridge) and inner.solver == "cholesky":
            X, Y = tall(X, Y)  # else scikit-learn solves the dual, whose matrix mixes the columns' scales
        try:
            inner.fit(X, Y if schema.outputs else Y[:, 0])
        except ValueError as error:
            raise fit_error(inner, error) from error
        attributes = fitted_attributes(inner)
        if isinstance(inner, LinearRegression):
            attributes |= spectrum(inner, found.rows, schema)
        return linear(self.estimator, schema, found.mean, attributes)


def stand_in(estimator: Any) -> Any:
    """A clone without intercept, with a solver for a few dense rows."""
    inner = clone(estimator).set_params(fit_intercept=False)
    if isinstance(inner, LinearRegression):
        inner.set_params(n_jobs=None)
    elif isinstance(inner, ElasticNet):
        inner.set_params(precompute=False)
    elif not inner.positive and inner.solver != "svd":
        inner.set_params(solver="cholesky" if np.min(inner.alpha) > 0 else "svd")
    return inner


def spectrum(inner: LinearRegression, rows: int, schema: Schema) -> dict[str, Any]:
    """Singular values of all rows: those of the synthetic ones, and zeros."""
    if inner.positive:
        return {}
    count = min(rows, schema.features)
    values = np.pad(inner.singular_, (0, max(count - len(inner.singular_), 0)))
    return {"singular_": values[:count]}


def penalised(estimator: Any) -> Linear:
    """Lasso or ElasticNet.

    Raises:
        NotDistributable: a Gram matrix was given.
    """
    if not isinstance(estimator.precompute, bool):
        refuse(estimator, "precompute", "X'X is what the nodes sum", "Leave precompute out.")
    return Linear(estimator)


FITS = {
    LinearRegression: Linear,
    Ridge: Linear,
    Lasso: penalised,
    ElasticNet: penalised,
    RidgeCV: ridge_cv,
}
