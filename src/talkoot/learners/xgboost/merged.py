"""XGBoost's estimators over nodes of several organisations, of whose sums only totals are read."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, final

import numpy as np

from talkoot.core.context import Ctx
from talkoot.core.errors import DataError
from talkoot.core.learner import Kind, Learner, SolvingLearner
from talkoot.core.shard import Block, Mapped, Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.common.queries import ranks
from talkoot.learners.trees.boosting.boosting import Boosting
from talkoot.learners.trees.boosting.model import Boosted
from talkoot.learners.trees.boosting.rows import Grow
from talkoot.learners.xgboost.booster import fitted, model_of, require_fit
from talkoot.learners.xgboost.cuts import single_block
from talkoot.learners.xgboost.intercept import base_scores, intercept
from talkoot.learners.xgboost.ranking import ranking_loss
from talkoot.learners.xgboost.rules import newton, scikit_learn


@final
@dataclass(frozen=True, slots=True)
class MergedXGBoosting(SolvingLearner):
    """XGBoost's trees, grown by the rounds of `Boosting` with XGBoost's own rules, behind `fixed` and `mask`.

    Rows are read in single precision, edges of bins come from counts alone, and the trees are made a model
    of XGBoost's when all are there.

    Args:
        plain: the learner of a plan without `fixed`.
    """

    plain: Any

    kind: ClassVar[Kind] = "exact"
    ends: ClassVar[bool] = True

    @property
    def estimator(self) -> Any:
        """Whose trees they are."""
        return self.plain.estimator

    @property
    def catalogued(self) -> type[Learner]:
        """The class of the learner of a plan without `fixed`."""
        return type(self.plain)

    @property
    def queries(self) -> bool:
        """Of XGBRanker; ids are those of a node, and are not compared with others'."""
        return ranks(self.estimator)

    @property
    def boosting(self) -> Boosting:
        """What grows the trees."""
        return Boosting(scikit_learn(self.estimator), agreed=True)

    @property
    def question_types(self) -> tuple[type, ...]:
        """Of the search for edges, and of growth."""
        return self.boosting.question_types

    def init(self, schema: Schema, rng: np.random.Generator) -> Boosted:
        """Search for the edges first."""
        require_fit(self.estimator, schema)
        return Boosted(schema=schema)

    def question(self, model: Boosted) -> Any:
        """What to look at, what to count, or how the trees grow."""
        return self.boosting.question(model)

    def work(self, question: Any, local: Any, shard: Shard, ctx: Ctx) -> tuple[Update, Any]:
        """Counts of values, or histograms."""
        view = Mapped(shard, partial(_single, schema=ctx.schema, estimator=self.estimator))
        boosting = self.boosting
        if self.queries and isinstance(question, Grow) and question.start is not None:
            boosting = replace(boosting, loss=ranking_loss(self.estimator, view, ctx.schema))
        return boosting.work(question, local, view, ctx)

    def step(self, model: Boosted, update: Update) -> Boosted:
        """Narrower ranges, or larger trees.

        Raises:
            DataError: no node has rows.
        """
        if not update.values:
            raise DataError(f"no node has rows, so {type(self.estimator).__name__} has nothing to learn from")
        found = self.boosting.step(model, update)
        if model.baseline is None and found.baseline is not None:
            return replace(found, baseline=intercept(self.estimator, found.schema, found.baseline))
        if model.grower is None and found.grower is not None:
            return replace(found, grower=newton(found.grower, self.estimator, found.schema))
        return found

    def finish(self, model: Boosted) -> Any:
        """The estimator with the trees."""
        assert model.baseline is not None
        scores = base_scores(self.estimator, model.schema, model.baseline)
        return fitted(self.estimator, model_of(self.estimator, model.schema, model.records, scores))


def _single(block: Block, schema: Schema, estimator: Any) -> Block:
    """A block in single precision, its target and weights too.

    Raises:
        DataError: a row that cannot be used.
    """
    if not len(block):
        return block
    found = single_block(block, schema, estimator)
    if block.w is not None and ranks(estimator):
        cause = f"{type(estimator).__name__} behind tk.fixed() does not weigh queries yet"
        raise DataError(cause, cure="Leave weight= out, or tk.fixed().")
    w = None if block.w is None else np.asarray(block.w, dtype=np.float32)
    if schema.classes is not None or block.y is None:
        return replace(found, w=w)
    with np.errstate(over="ignore"):  # what is beyond it is refused when it is added up
        y = np.asarray(block.y, dtype=np.float32)
    return replace(found, y=y.astype(np.float64), w=w)
