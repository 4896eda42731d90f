"""MultinomialNB, ComplementNB and BernoulliNB from the sums of every column within every class."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.naive_bayes import BernoulliNB
from sklearn.preprocessing import binarize

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Outer, Solve
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.common.asked import Asked
from talkoot.learners.common.columnwise import require_numbers
from talkoot.learners.common.estimator import fitted
from talkoot.learners.common.results import learned, refused
from talkoot.learners.common.rows import checked, require_classes, require_rows
from talkoot.learners.sums.classwise import indicator, present


@final
@dataclass(frozen=True, slots=True)
class CountBayes(Learner):
    """MultinomialNB, ComplementNB and BernoulliNB: one round, exact. Sparse rows stay sparse.

    >>> CountBayes(BernoulliNB()).closed
    True
    """

    estimator: Any
    kind: ClassVar[Kind] = "exact"
    closed: ClassVar[bool] = True

    def init(self, schema: Schema, rng: np.random.Generator) -> Asked:
        """Refuse columns and parameters that cannot be used."""
        del rng
        require_numbers(schema, self.estimator)
        rehearse(self.estimator, len(require_classes(schema, self.estimator)), schema.features)
        return Asked(schema=schema)

    def work(self, model: Asked, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Sums of every column within every class."""
        del ctx
        classes = len(require_classes(model.schema, self.estimator))
        rows, n = np.zeros(classes), np.zeros(classes)
        counts = np.zeros((classes, model.schema.features))
        for block in checked(shard, model.schema, self.estimator):
            plain = indicator(np.asarray(block.y), classes)
            weighted = plain if block.w is None else plain @ sp.diags_array(block.w)
            said = weighted @ self._counted(block, model.schema)
            counts += said if isinstance(said, np.ndarray) else said.toarray()
            n += weighted.sum(axis=1)
            rows += plain.sum(axis=1)
        values = {"rows": rows, "n": n, "counts": counts} if rows.any() else {}
        return Update(values=values, weight=float(rows.sum())), local

    def _counted(self, block: Block, schema: Schema) -> Any:
        if not isinstance(self.estimator, BernoulliNB):
            refuse_negative(block.X, schema, self.estimator)
            return block.X
        threshold = self.estimator.binarize
        return block.X if threshold is None else binarize(block.X, threshold=threshold)

    def outer(self) -> Outer:
        """Solve from the sums."""
        return Solve(self.step)

    def step(self, model: Asked, update: Update) -> Asked:
        """The answer. Classes without rows drop out."""
        require_rows(update, self.estimator)
        here = present(update)
        counts = update.values["counts"][here]
        attributes = learned(from_counts(self.estimator, update.values["n"][here], counts))
        attributes |= {
            "feature_count_": counts,
            "classes_": require_classes(model.schema, self.estimator)[here],
        }
        return replace(model, result=fitted(self.estimator, model.schema, **attributes))

    def finish(self, model: Asked) -> Any:
        """The fitted estimator."""
        return model.result


def from_counts(estimator: Any, n: np.ndarray, counts: np.ndarray) -> Any:
    """A clone fitted to one row a class, which holds the class's mean and weighs what the class weighs.

    Args:
        estimator: a naive Bayes classifier that reads rows only through their sums.
        n: (classes,) weight of each class.
        counts: (classes, features) sums.

    Raises:
        DataError: scikit-learn refuses, for the reason that it gives.

    >>> from sklearn.naive_bayes import MultinomialNB
    >>> from_counts(MultinomialNB(), np.array([2.0, 1.0]), np.array([[4.0, 0.0], [1.0, 3.0]])).class_count_
    array([2., 1.])
    """
    inner = clone(estimator)
    if isinstance(inner, BernoulliNB):
        inner.set_params(binarize=None)
    means = np.divide(counts, n[:, None], out=np.zeros_like(counts), where=n[:, None] > 0)
    try:
        return inner.fit(means, np.arange(len(n)), sample_weight=n)
    except ValueError as error:
        raise refused(inner, error) from error


def rehearse(estimator: Any, classes: int, features: int) -> None:
    """Fit to counts of one, to find parameters that do not fit the classes or the columns.

    Raises:
        DataError: scikit-learn refuses, for the reason that it gives.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the fit itself warns
        from_counts(estimator, np.ones(classes), np.ones((classes, features)))


def refuse_negative(X: Any, schema: Schema, estimator: Any) -> None:
    """Refuse negative numbers in (rows, features), naming the column.

    Raises:
        DataError: some value is negative.
    """
    if X.min() < 0:
        lows = X.min(axis=0)
        column = int(np.argmin(lows if isinstance(lows, np.ndarray) else lows.toarray()))
        raise DataError(
            f"Negative values in data, which {type(estimator).__name__} does not accept",
            column=schema.column(column),
            cure="Put MinMaxScaler() in front in a Pipeline, or take GaussianNB().",
        )
