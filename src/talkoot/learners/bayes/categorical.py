"""CategoricalNB: nodes agree on the number of categories first, then count them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np
from sklearn.naive_bayes import CategoricalNB, MultinomialNB

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Leaf, Update, total
from talkoot.learners.bayes.counts import dry_fit_counts, from_counts, refuse_negative
from talkoot.learners.common.columnwise import require_numbers
from talkoot.learners.common.estimator import fitted
from talkoot.learners.common.results import fitted_attributes
from talkoot.learners.common.rows import checked_blocks, require_classes, require_dense, require_rows
from talkoot.learners.common.state import State, SumLearner

MOST = 1 << 26  # counts of (class, column, category) that fit a message: half a GiB


@final
@dataclass(frozen=True, slots=True)
class CategoricalBayes(SumLearner):
    """CategoricalNB in two rounds: the greatest code of each column, then counts. Exact.

    >>> CategoricalBayes(CategoricalNB()).closed
    True
    """

    estimator: CategoricalNB
    closed: ClassVar[bool] = True

    def init(self, schema: Schema, rng: np.random.Generator) -> State:
        """Refuse columns and parameters that cannot be used."""
        require_numbers(schema, self.estimator, "Put OrdinalEncoder() in front in a Pipeline.")
        require_dense(schema, self.estimator)
        dry_fit_counts(self._column(), len(require_classes(schema, self.estimator)), 1)
        least(self.estimator, schema)
        return State(schema=schema)

    def work(self, sizes: np.ndarray | None, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """The greatest codes in the first round, then counts."""
        blocks = checked_blocks(shard, ctx.schema, self.estimator)
        return total(self._sums(block, sizes, ctx.schema) for block in blocks), local

    def _sums(self, block: Block, sizes: np.ndarray | None, schema: Schema) -> Update:
        refuse_negative(np.trunc(block.X), schema, self.estimator)
        rows = float(len(block))
        if sizes is None:
            values = {"top": np.trunc(block.X.max(axis=0)).astype(np.float64), "rows": np.array([rows])}
            return Update(values=values, weight=rows, kinds={"top": Leaf.MAX})
        counts = count_codes(block, sizes, len(require_classes(schema, self.estimator)))
        return Update(values=counts, weight=rows)

    def step(self, model: State, update: Update) -> State:
        """The numbers of categories to count, or the result without classes that have no rows."""
        require_rows(update, self.estimator)
        if model.shared is None:
            return replace(model, shared=self._sizes(update.values["top"] + 1, model.schema))
        return replace(model, result=self._solve(model.schema, model.shared, update))

    def _column(self) -> MultinomialNB:
        """The same model for the counts of one column's categories."""
        names = ("alpha", "force_alpha", "fit_prior", "class_prior")
        return MultinomialNB(**{name: getattr(self.estimator, name) for name in names})

    def _sizes(self, seen: np.ndarray, schema: Schema) -> np.ndarray:
        sizes = np.maximum(seen, least(self.estimator, schema))
        if sizes.sum() * len(require_classes(schema, self.estimator)) > MOST:
            raise DataError(
                f"codes go up to {sizes.max() - 1:.0f}, and CategoricalNB counts every code from 0",
                column=schema.column(int(sizes.argmax())),
                cure="Number the categories from 0 with OrdinalEncoder(), or leave the column out.",
            )
        return np.asarray(sizes.astype(np.int64))

    def _solve(self, schema: Schema, sizes: np.ndarray, update: Update) -> CategoricalNB:
        here = np.flatnonzero(update.values["rows"] > 0)
        starts = np.cumsum(sizes)[:-1]
        plain = np.split(update.values["counts"][-1].sum(axis=0), starts)
        seen = np.array([np.flatnonzero(counts > 0).max() + 1 for counts in plain])
        widths = np.maximum(seen, least(self.estimator, schema))
        each = np.split(update.values["counts"][0][here], starts, axis=1)
        counts = [table[:, :size] for table, size in zip(each, widths, strict=True)]
        n = update.values["n"][0][here]
        fits = [fitted_attributes(from_counts(self._column(), n, table)) for table in counts]
        return fitted(
            self.estimator,
            schema,
            classes_=require_classes(schema, self.estimator)[here],
            class_count_=fits[0]["class_count_"],
            class_log_prior_=fits[0]["class_log_prior_"],
            category_count_=counts,
            feature_log_prob_=[fit["feature_log_prob_"] for fit in fits],
            n_categories_=widths,
        )


def count_codes(block: Block, sizes: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """How often each class has each code.

    Returns:
        "rows": (classes,); "n": (views, classes) weights; "counts": (views, classes, codes of all columns).
        With sample weights there are two views, weighted and not; else one.
    """
    y, width = np.asarray(block.y), int(sizes.sum())
    codes = block.X.astype(np.int64) + (np.cumsum(sizes) - sizes)
    places = (codes + y[:, None] * width).ravel()
    n, counts = [], []
    for w in [None] if block.w is None else [block.w, None]:
        each = None if w is None else np.repeat(w, len(sizes))
        counted = np.bincount(places, weights=each, minlength=classes * width)
        counts.append(counted.reshape(classes, width).astype(np.float64))
        n.append(np.bincount(y, weights=w, minlength=classes).astype(np.float64))
    return {"rows": n[-1], "n": np.stack(n), "counts": np.stack(counts)}


def least(estimator: CategoricalNB, schema: Schema) -> np.ndarray:
    """(features,) `min_categories` of each column, by default 0.

    Raises:
        DataError: not an integer, nor one for each column.
    """
    if estimator.min_categories is None:
        return np.zeros(schema.features, dtype=np.int64)
    minimum = np.asarray(estimator.min_categories)
    if minimum.dtype.kind != "i" or minimum.shape not in ((), (schema.features,)):
        raise DataError(
            f"min_categories={estimator.min_categories!r} is not one whole number, nor one for each of "
            f"{schema.features} columns"
        )
    return np.broadcast_to(minimum, (schema.features,)).astype(np.int64)
