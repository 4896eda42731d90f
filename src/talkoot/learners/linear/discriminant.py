"""LinearDiscriminantAnalysis from the scatter within classes, their means and their numbers of rows.

Source: Hastie, Tibshirani and Friedman (2009), The Elements of Statistical Learning, section 4.3.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np
from scipy.linalg import LinAlgError, eigh, lstsq, svd
from sklearn.covariance import shrunk_covariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.utils.extmath import svd_flip

from talkoot.core.errors import DataError
from talkoot.core.shard import Schema
from talkoot.core.update import Update
from talkoot.learners.common.estimator import refuse
from talkoot.learners.common.results import fitted_in_dtype
from talkoot.learners.common.rows import require_classes
from talkoot.learners.common.sklearn_private import set_components
from talkoot.learners.common.state import State
from talkoot.learners.sums.classwise import ClassLearner, ClassMoments, present, within
from talkoot.learners.sums.factor import factor

FLAT = 8 * np.finfo(np.float64).eps  # spread over mean of a column in which only rounding varies


@final
@dataclass(frozen=True, slots=True, eq=False)
class Classes:
    """Statistics of the classes."""

    rows: np.ndarray  # (classes,) number of rows
    priors: np.ndarray  # (classes,) probabilities that add up to 1
    means: np.ndarray  # (classes, features)
    shifted: np.ndarray  # (classes, features) means minus a point near them, so that differences are precise
    scatter: np.ndarray  # (features, features) sum of (x - mean)(x - mean)', each about the mean of its class
    covariance: np.ndarray  # (features, features) covariance within classes, weighted by priors and shrunk
    shrinkage: float  # share of the mean variance that covariances are shrunk by

    @property
    def total(self) -> np.ndarray:
        """(features, features) covariance of all rows, shrunk."""
        away = self.shifted - self.rows @ self.shifted / self.rows.sum()
        both = self.scatter + (away.T * self.rows) @ away
        return np.asarray(shrunk_covariance(both / self.rows.sum(), self.shrinkage))


@final
@dataclass(frozen=True, slots=True)
class Discriminant(ClassLearner):
    """LinearDiscriminantAnalysis with every solver, given priors, and a fixed shrinkage.

    The signs of ``scalings_`` are arbitrary in scikit-learn; here the greatest entry of a column is positive.

    >>> Discriminant(LinearDiscriminantAnalysis()).closed
    True
    """

    estimator: LinearDiscriminantAnalysis

    @property
    def _by_class(self) -> bool:
        """Whether the scatter of each class is needed, because given priors weigh it instead of its rows."""
        covariance = self.estimator.solver != "svd" or self.estimator.store_covariance
        return covariance and self.estimator.priors is not None

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Refuse parameters that do not fit the classes, then start."""
        model = super(Discriminant, self).init(schema, rng)
        rows = np.ones(len(require_classes(schema, self.estimator)))
        components(self.estimator, len(rows), schema)
        priors(self.estimator, rows)
        return model

    def further_sums(self, D: np.ndarray, y: np.ndarray, rows: np.ndarray) -> Mapping[str, np.ndarray]:
        """Products of all columns: (1, features, features), or for each class."""
        parts = [D[y == k] for k in range(len(rows))] if self._by_class else [D]
        return {"products": np.stack([part.T @ part for part in parts])}

    def solve(self, model: State, update: Update) -> LinearDiscriminantAnalysis:
        """The estimator's solver on the merged sums."""
        schema, here = model.schema, present(update)
        found = self._classes(within(update, model.shared), update, here)
        if found.rows.sum() == len(here):
            raise DataError(
                f"n_samples={len(here)} is one row a class, and LinearDiscriminantAnalysis needs more"
            )
        count = components(self.estimator, len(here), schema)
        learned = SOLVERS[self.estimator.solver](found, self.estimator.tol)
        if "explained_variance_ratio_" in learned:
            learned["explained_variance_ratio_"] = learned["explained_variance_ratio_"][:count]
        if self.estimator.solver != "svd" or self.estimator.store_covariance:
            learned["covariance_"] = found.covariance
        if len(here) == 2:
            learned |= {name: np.diff(learned[name], axis=0) for name in ("coef_", "intercept_")}
        made = fitted_in_dtype(self.estimator, schema, priors_=found.priors, means_=found.means, **learned)
        made.classes_ = require_classes(schema, self.estimator)[here]
        set_components(made, count)
        return made

    def _classes(self, found: ClassMoments, update: Update, here: np.ndarray) -> Classes:
        products = update.values["products"]
        shrinkage = self.estimator.shrinkage or 0.0
        weight = priors(self.estimator, found.weight)
        each = found.weight[:, None, None] * found.offset[:, :, None] * found.offset[:, None, :]
        if self._by_class:
            scatters = products[here] - each
            scatter = scatters.sum(axis=0)
            mean = np.tensordot(weight / found.weight, scatters, axes=1)
        else:
            scatter = products[0] - each.sum(axis=0)
            mean = scatter / found.weight.sum()
        covariance = shrunk_covariance(mean, shrinkage)
        return Classes(found.weight, weight, found.mean, found.shifted, scatter, covariance, shrinkage)


def priors(estimator: LinearDiscriminantAnalysis, rows: np.ndarray) -> np.ndarray:
    """(classes,) probabilities: the given ones, else shares of the rows.

    Raises:
        DataError: there are not as many as classes, or some are negative.
    """
    if estimator.priors is None:
        return np.asarray(rows / rows.sum())
    given = np.asarray(estimator.priors, dtype=np.float64)
    if given.shape != rows.shape:
        raise DataError(f"there are {len(rows)} classes with rows and {given.size} priors")
    if (given < 0).any():
        raise DataError("priors must be non-negative")
    if abs(given.sum() - 1.0) > 1e-5:
        warnings.warn("The priors do not sum to 1. Renormalizing", UserWarning, stacklevel=2)
        given = given / given.sum()
    return given


def components(estimator: LinearDiscriminantAnalysis, classes: int, schema: Schema) -> int:
    """The number of discriminants.

    Raises:
        DataError: more than there can be.
    """
    most = min(classes - 1, schema.features)
    count = estimator.n_components
    if count is not None and count > most:
        raise DataError(
            f"n_components={count} is more than {classes} classes and {schema.features} features can give",
            cure=f"Take at most {most}.",
        )
    return most if count is None else int(count)


def by_svd(found: Classes, tol: float) -> dict[str, Any]:
    """Scale columns to unit variance within classes, whiten, rotate to where the means differ most."""
    total, xbar = found.rows.sum(), found.priors @ found.means
    std = np.sqrt(np.maximum(np.diagonal(found.scatter), 0.0) / total)
    varies = std > FLAT * np.abs(found.means).max(axis=0)
    std = np.where(varies, std, 1.0)
    scatter = found.scatter * np.outer(varies, varies)
    rows, _ = factor(scatter, scatter[:, :0])
    _, values, axes = svd(rows / std / np.sqrt(total), full_matrices=False)
    rank = int((values > tol).sum())
    if not rank:
        raise DataError("no column varies within the classes", cure="Leave constant columns out.")
    white = (axes[:rank] / std).T / values[:rank]
    away = found.shifted - found.priors @ found.shifted
    share = np.sqrt(total * found.priors / max(len(found.rows) - 1, 1))
    _, values, axes = svd((share[:, None] * away) @ white, full_matrices=False)
    scalings = _signed(white @ axes[: int((values > tol * values[0]).sum())].T)
    along = away @ scalings
    coef = along @ scalings.T
    return {
        "xbar_": xbar,
        "scalings_": scalings,
        "explained_variance_ratio_": values**2 / (values**2).sum() if len(found.rows) > 1 else values[:0],
        "coef_": coef,
        "intercept_": -0.5 * (along**2).sum(axis=1) + np.log(found.priors) - coef @ xbar,
    }


def by_lsqr(found: Classes, tol: float) -> dict[str, Any]:
    """Bayes' rule of normal classes that share a covariance."""
    coef = lstsq(found.covariance, found.means.T)[0].T
    return {"coef_": coef, "intercept_": _intercept(found, coef)}


def by_eigen(found: Classes, tol: float) -> dict[str, Any]:
    """Directions of the greatest variance between classes over that within them."""
    try:
        values, vectors = eigh(found.total - found.covariance, found.covariance)
    except LinAlgError as error:
        raise DataError(
            "columns are collinear within the classes, which solver='eigen' does not accept",
            cure="Take solver='svd', or a shrinkage above 0.",
        ) from error
    scalings = _signed(vectors[:, ::-1])
    coef = found.means @ scalings @ scalings.T
    return {
        "scalings_": scalings,
        "explained_variance_ratio_": values[::-1] / values.sum(),
        "coef_": coef,
        "intercept_": _intercept(found, coef),
    }


def _intercept(found: Classes, coef: np.ndarray) -> np.ndarray:
    return np.asarray(-0.5 * (found.means * coef).sum(axis=1) + np.log(found.priors))


def _signed(columns: np.ndarray) -> np.ndarray:
    return np.asarray(svd_flip(None, columns.T.copy(), u_based_decision=False)[1].T)


SOLVERS = {"svd": by_svd, "lsqr": by_lsqr, "eigen": by_eigen}


def discriminant(estimator: LinearDiscriminantAnalysis) -> Discriminant:
    """LinearDiscriminantAnalysis.

    Raises:
        NotDistributable: a shrinkage or covariance that must see single rows.
    """
    if estimator.shrinkage == "auto":
        reason = "the Ledoit-Wolf share needs fourth moments of standardised rows"
        refuse(estimator, "shrinkage", reason, "Give a number from 0 to 1.")
    if estimator.shrinkage is not None and estimator.solver == "svd":
        refuse(estimator, "shrinkage", "solver='svd' does not shrink", "Take solver='lsqr' or 'eigen'.")
    if estimator.covariance_estimator is not None:
        reason = "it would have to see the rows of all nodes"
        refuse(estimator, "covariance_estimator", reason, "Take shrinkage, a number from 0 to 1.")
    return Discriminant(estimator)
