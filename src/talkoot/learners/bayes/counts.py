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
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.common.columnwise import require_numbers
from talkoot.learners.common.estimator import fitted
from talkoot.learners.common.results import fit_error, fitted_attributes
from talkoot.learners.common.rows import checked_blocks, require_classes, require_rows
from talkoot.learners.common.state import State, SumLearner
from talkoot.learners.sums.classwise import indicator, present


@final
@dataclass(frozen=True, slots=True)
class CountBayes(SumLearner):
    """MultinomialNB, ComplementNB and BernoulliNB: one round, exact. Sparse rows stay sparse.

    >>> CountBayes(BernoulliNB()).closed
    True
    """

    estimator: Any
    closed: ClassVar[bool] = True

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Refuse columns and parameters that cannot be used."""
        require_numbers(schema, self.estimator)
        dry_fit_counts(self.estimator, len(require_classes(schema, self.estimator)), schema.features)
        return State(schema=schema)

    def work(self, question: None, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """Sums of every column within every class."""
        schema = ctx.schema
        classes = len(require_classes(schema, self.estimator))
        rows, n = np.zeros(classes), np.zeros(classes)
        counts = np.zeros((classes, schema.features))
        for block in checked_blocks(shard, schema, self.estimator):
            plain = indicator(np.asarray(block.y), classes)
            weighted = plain if block.w is None else plain @ sp.diags_array(block.w)
            sums = weighted @ self._features(block, schema)
            counts += sums if isinstance(sums, np.ndarray) else sums.toarray()
            n += weighted.sum(axis=1)
            rows += plain.sum(axis=1)
        values = {"rows": rows, "n": n, "counts": counts} if rows.any() else {}
        return Update(values=values, weight=float(rows.sum())), local

    def _features(self, block: Block, schema: Schema) -> Any:
        if not isinstance(self.estimator, BernoulliNB):
            refuse_negative(block.X, schema, self.estimator)
            return block.X
        threshold = self.estimator.binarize
        return block.X if threshold is None else binarize(block.X, threshold=threshold)

    def step(self, model: State, update: Update) -> State:
        """The result, without classes that have no rows."""
        require_rows(update, self.estimator)
        here = present(update)
        counts = update.values["counts"][here]
        attributes = fitted_attributes(from_counts(self.estimator, update.values["n"][here], counts))
        attributes |= {
            "feature_count_": counts,
            "classes_": require_classes(model.schema, self.estimator)[here],
        }
        return replace(model, result=fitted(self.estimator, model.schema, **attributes))


def from_counts(estimator: Any, n: np.ndarray, counts: np.ndarray) -> Any:
    """A clone fitted to one row a class: the class's mean, with the class's weight.

    Args:
        estimator: a naive Bayes classifier that depends on rows only through their sums.
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
        raise fit_error(inner, error) from error


def dry_fit_counts(estimator: Any, classes: int, features: int) -> None:
    """Fit counts of one, so that scikit-learn refuses parameters before any row is read.

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
