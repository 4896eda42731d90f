"""GaussianNB from the mean and variance of every column within every class."""

from __future__ import annotations

from dataclasses import dataclass
from typing import final

import numpy as np
from sklearn.naive_bayes import GaussianNB

from talkoot.core.errors import DataError
from talkoot.core.shard import Schema
from talkoot.core.update import Update
from talkoot.learners.common.results import fitted_in_dtype
from talkoot.learners.common.rows import require_classes
from talkoot.learners.common.state import State
from talkoot.learners.sums.classwise import ClassLearner, present, within


@final
@dataclass(frozen=True, slots=True)
class GaussianBayes(ClassLearner):
    """GaussianNB with priors, smoothing and sample weights.

    Sums are in float64, about the mean of each class if needed; results have the dtype of the rows. As in
    scikit-learn, smoothing is a share of the unweighted variance of all rows.

    >>> GaussianBayes(GaussianNB()).closed
    True
    """

    estimator: GaussianNB

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Refuse priors that do not fit the classes, then start."""
        model = super(GaussianBayes, self).init(schema, rng)
        require_priors(self.estimator, len(require_classes(schema, self.estimator)))
        return model

    def solve(self, model: State, update: Update) -> GaussianNB:
        """Means, variances and priors."""
        here = present(update)
        require_priors(self.estimator, len(here))
        found = within(update, model.shared)
        count = found.weight
        if not count.sum() > 0:
            raise DataError("all sample weights are 0", cure="Give some rows a weight above 0.")
        some = count[:, None] > 0
        variance = np.divide(found.squares, count[:, None], out=np.zeros_like(found.squares), where=some)
        everywhere = within(update, model.shared, weighted=False).variance
        epsilon = self.estimator.var_smoothing * everywhere.max()
        priors = self.estimator.priors
        made = fitted_in_dtype(
            self.estimator,
            model.schema,
            theta_=found.mean,
            var_=variance + epsilon,
            epsilon_=epsilon,
            class_count_=count,
            class_prior_=count / count.sum() if priors is None else np.asarray(priors, dtype=np.float64),
        )
        made.classes_ = require_classes(model.schema, self.estimator)[here]
        return made


def require_priors(estimator: GaussianNB, classes: int) -> None:
    """Refuse priors that are no probabilities of the classes.

    Raises:
        DataError: not as many as classes, negative, or not 1 together.
    """
    if estimator.priors is None:
        return
    priors = np.asarray(estimator.priors, dtype=np.float64)
    if priors.shape != (classes,):
        raise DataError(f"there are {classes} classes with rows and {priors.size} priors")
    if (priors < 0).any() or not np.isclose(priors.sum(), 1.0):
        raise DataError(f"the priors {priors.tolist()} are no probabilities that add up to 1")
