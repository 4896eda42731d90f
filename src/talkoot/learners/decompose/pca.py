"""PCA and TruncatedSVD from X'X: one round of sums, then singular values of a few synthetic rows.

scikit-learn's solvers, random ones included, approximate this result. As there, the greatest entry of each
component is positive.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral
from typing import Any, final

import numpy as np
from sklearn.decomposition import PCA, TruncatedSVD
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.utils.extmath import svd_flip

from talkoot.core.errors import DataError
from talkoot.core.shard import Schema
from talkoot.learners.common.results import fitted_in_dtype
from talkoot.learners.common.sklearn_private import minka_dimension
from talkoot.learners.common.state import State
from talkoot.learners.linear.discriminant import discriminant
from talkoot.learners.sums.factor import factor, leading
from talkoot.learners.sums.scatter import GramLearner, ProductMoments


@final
@dataclass(frozen=True, slots=True)
class PrincipalComponents(GramLearner):
    """PCA, whitened or not, with a number of components, a share of the variance, or Minka's choice.

    Sums are in float64; the result has the dtype of the rows.

    >>> PrincipalComponents(PCA(0.95)).closed
    True
    """

    estimator: PCA

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Refuse a number of components that the rows cannot give, then start."""
        wanted(self.estimator, schema.rows, schema)
        return super(PrincipalComponents, self).init(schema, rng)

    def solve(self, found: ProductMoments, schema: Schema) -> PCA:
        """The right singular vectors of the centred rows, also those without variance."""
        count = wanted(self.estimator, found.rows, schema)
        rows, _ = factor(found.scatter, found.scatter[:, :0])
        values, axes = leading(rows, int(count) if isinstance(count, Integral) else schema.features)
        most = min(found.rows, schema.features)
        width = schema.features if self.estimator.svd_solver == "covariance_eigh" else most
        values = values[:width]
        variance, total = values**2 / (found.rows - 1), np.trace(found.scatter) / (found.rows - 1)
        with np.errstate(invalid="ignore"):  # all columns are constant: no ratio
            ratio = variance / total
        if count == "mle":
            count = minka_dimension(variance, found.rows)
        elif 0 < count < 1:
            count = int(np.searchsorted(np.cumsum(ratio), count, side="right")) + 1
        noise = 0.0
        if count < most:
            others = variance[count:]
            noise = others.mean() if len(others) else (total - variance.sum()) / (width - count)
        _, axes = svd_flip(None, axes[:count], u_based_decision=False)
        return fitted_in_dtype(
            self.estimator,
            schema,
            mean_=found.mean,
            components_=axes,
            explained_variance_=variance[:count],
            explained_variance_ratio_=ratio[:count],
            singular_values_=values[:count],
            noise_variance_=noise,
            n_components_=count,
            n_samples_=found.rows,
        )


def wanted(estimator: PCA, rows: int, schema: Schema) -> Any:
    """`n_components` as scikit-learn resolves it: a number, a share of the variance, or "mle".

    Raises:
        DataError: fewer than two rows, or more components than the rows or the solver can give.
    """
    count, solver = estimator.n_components, estimator.svd_solver
    if solver == "auto" and schema.sparse:
        solver = "arpack"
    truncated = solver in ("arpack", "randomized")
    least, most = int(truncated), min(rows, schema.features) - (solver == "arpack")
    if rows < 2:
        raise DataError("PCA needs two rows or more, and there are fewer")
    if count is None:
        return most
    shares = count == "mle" or 0 < count < 1
    if shares and not truncated and (count != "mle" or rows >= schema.features):
        return count
    if shares or not least <= count <= most:
        raise DataError(
            f"PCA(n_components={count!r}, svd_solver={solver!r}) cannot be fitted to {rows} rows "
            f"of {schema.features} features",
            cure=f"Take n_components from {least} to {most}; shares and 'mle' need svd_solver='full'.",
        )
    return count


@final
@dataclass(frozen=True, slots=True)
class TruncatedComponents(GramLearner):
    """TruncatedSVD, exact; scikit-learn's default algorithm draws random vectors.

    Components are those of rows that are not centred; variances are those of the projections.

    >>> TruncatedComponents(TruncatedSVD(2)).kind
    'exact'
    """

    estimator: TruncatedSVD

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Refuse a number of components that the rows cannot give, then start."""
        self._count(schema.rows, schema)
        return super(TruncatedComponents, self).init(schema, rng)

    def solve(self, found: ProductMoments, schema: Schema) -> TruncatedSVD:
        """The right singular vectors of the centred rows and one row for the mean."""
        count = self._count(found.rows, schema)
        centred, _ = factor(found.scatter, found.scatter[:, :0])
        values, axes = leading(np.vstack([centred, np.sqrt(found.weight) * found.mean]), count)
        _, axes = svd_flip(None, axes[:count], u_based_decision=False)
        variance = ((centred @ axes.T) ** 2).sum(axis=0) / found.rows
        total = np.trace(found.scatter) / found.rows
        with np.errstate(invalid="ignore"):  # all columns are constant: no ratio
            ratio = variance / total
        return fitted_in_dtype(
            self.estimator,
            schema,
            components_=axes,
            singular_values_=values[:count],
            explained_variance_=variance,
            explained_variance_ratio_=ratio,
        )

    def _count(self, rows: int, schema: Schema) -> int:
        """The number of components, within the bounds of scikit-learn's algorithm."""
        count, features = int(self.estimator.n_components), schema.features
        arpack = self.estimator.algorithm == "arpack"
        most = 0 if features < 2 else min(rows, features) - 1 if arpack else features
        if not 1 <= count <= most:
            raise DataError(
                f"n_components={count} cannot be fitted to n_samples={rows} of n_features={features}",
                cure=f"Take n_components from 1 to {most}." if most else "Bring two features or more.",
            )
        return min(count, rows)


FITS = {
    PCA: PrincipalComponents,
    TruncatedSVD: TruncatedComponents,
    LinearDiscriminantAnalysis: discriminant,
}
