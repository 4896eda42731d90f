"""CategoricalNB: how many categories there are is agreed first, then they are counted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar, final

import numpy as np
from sklearn.naive_bayes import CategoricalNB, MultinomialNB

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Outer, Solve
from talkoot.core.shard import Block, Schema, Shard
from talkoot.core.update import Leaf, Update, total
from talkoot.learners.bayes.counts import from_counts, refuse_negative, rehearse
from talkoot.learners.common.asked import Asked
from talkoot.learners.common.columnwise import require_numbers
from talkoot.learners.common.estimator import fitted
from talkoot.learners.common.results import learned
from talkoot.learners.common.rows import checked, require_classes, require_dense, require_rows

MOST = 1 << 26  # counts of (class, column, category) that fit a message: half a GiB


@final
@dataclass(frozen=True, slots=True)
class CategoricalBayes(Learner):
    """CategoricalNB in two rounds: the greatest code of each column, then counts. Exact.

    >>> CategoricalBayes(CategoricalNB()).closed
    True
    """

    estimator: CategoricalNB
    kind: ClassVar[Kind] = "exact"
    closed: ClassVar[bool] = True

    def init(self, schema: Schema, rng: np.random.Generator) -> Asked:
        """Refuse columns and parameters that cannot be used."""
        del rng
        require_numbers(schema, self.estimator, "Put OrdinalEncoder() in front in a Pipeline.")
        require_dense(schema, self.estimator)
        rehearse(self._column(), len(require_classes(schema, self.estimator)), 1)
        least(self.estimator, schema)
        return Asked(schema=schema)

    def work(self, model: Asked, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """The greatest codes; once the numbers of categories are known, counts."""
        del ctx
        blocks = checked(shard, model.schema, self.estimator)
        return total(self._said(block, model) for block in blocks), local

    def _said(self, block: Block, model: Asked) -> Update:
        refuse_negative(np.trunc(block.X), model.schema, self.estimator)
        rows = float(len(block))
        if model.about is None:
            values = {"top": np.trunc(block.X.max(axis=0)).astype(np.float64), "rows": np.array([rows])}
            return Update(values=values, weight=rows, kinds={"top": Leaf.MAX})
        counts = count_codes(block, model.about, len(require_classes(model.schema, self.estimator)))
        return Update(values=counts, weight=rows)

    def outer(self) -> Outer:
        """Agree, then solve."""
        return Solve(self.step)

    def step(self, model: Asked, update: Update) -> Asked:
        """How many categories to count, or the answer. Classes without rows drop out."""
        require_rows(update, self.estimator)
        if model.about is None:
            return replace(model, about=self._sizes(update.values["top"] + 1, model.schema))
        return replace(model, result=self._solve(model.schema, model.about, update))

    def _column(self) -> MultinomialNB:
        """What does the same to the categories of one column."""
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
        kept = np.maximum(seen, least(self.estimator, schema))
        each = np.split(update.values["counts"][0][here], starts, axis=1)
        counts = [table[:, :size] for table, size in zip(each, kept, strict=True)]
        fits = [learned(from_counts(self._column(), update.values["n"][0][here], table)) for table in counts]
        return fitted(
            self.estimator,
            schema,
            classes_=require_classes(schema, self.estimator)[here],
            class_count_=fits[0]["class_count_"],
            class_log_prior_=fits[0]["class_log_prior_"],
            category_count_=counts,
            feature_log_prob_=[fit["feature_log_prob_"] for fit in fits],
            n_categories_=kept,
        )

    def finish(self, model: Asked) -> CategoricalNB:
        """The fitted estimator."""
        return model.result


def count_codes(block: Block, sizes: np.ndarray, classes: int) -> dict[str, np.ndarray]:
    """How often each class has each code.

    Returns:
        "rows": (classes,); "n": (views, classes) weights; "counts": (views, classes, codes of all columns).
        There are two views where rows have weights, with weights and without; else one.
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
    """(features,) the least number of categories that was asked for; 0 if none was.

    Raises:
        DataError: it is no whole number, or there are not as many as columns.
    """
    if estimator.min_categories is None:
        return np.zeros(schema.features, dtype=np.int64)
    asked = np.asarray(estimator.min_categories)
    if asked.dtype.kind != "i" or asked.shape not in ((), (schema.features,)):
        raise DataError(
            f"min_categories={estimator.min_categories!r} is not one whole number, nor one for each of "
            f"{schema.features} columns"
        )
    return np.broadcast_to(asked, (schema.features,)).astype(np.int64)
