"""Scalers, imputers and encoders from moments. (Skeleton: StandardScaler.)"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, final

import numpy as np
from sklearn.preprocessing import StandardScaler

from talkoot.core.context import Ctx
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Outer, Solve
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update, total
from talkoot.learners.estimator import fitted


@final
@dataclass(frozen=True, slots=True, eq=False)
class MomentsModel:
    """About which center to sum, and the answer once it is there."""

    schema: Schema
    result: Any = None

    @property
    def done(self) -> bool:
        """Whether the answer is there."""
        return self.result is not None


@final
@dataclass(frozen=True, slots=True)
class Standard(Learner):
    """StandardScaler."""

    estimator: StandardScaler
    kind: ClassVar[Kind] = "exact"
    closed: ClassVar[bool] = True

    def init(self, schema: Schema, rng: np.random.Generator) -> MomentsModel:
        """Start."""
        return MomentsModel(schema)

    def work(self, model: MomentsModel, local: None, shard: Shard, ctx: Ctx) -> tuple[Update, None]:
        """n, sum(x-c), sum((x-c)^2)."""
        return total(self._sums(block.X, model.schema.center) for block in shard.blocks()), None

    def _sums(self, X: Any, center: np.ndarray) -> Update:
        D = X - center
        n = float(len(D))
        return Update(values={"n": np.array([n]), "s": D.sum(0), "ss": (D * D).sum(0)}, weight=n)

    def outer(self) -> Outer:
        """One step."""
        return Solve(self.step)

    def step(self, model: MomentsModel, update: Update) -> MomentsModel:
        """Mean and scale."""
        n, s, ss = (update.values[k] for k in ("n", "s", "ss"))
        var = ss / n - (s / n) ** 2
        mean = model.schema.center + s / n
        return replace(
            model,
            result=fitted(
                self.estimator,
                model.schema,
                mean_=mean,
                var_=var,
                scale_=np.sqrt(var),
                n_samples_seen_=int(n[0]),
            ),
        )

    def finish(self, model: MomentsModel) -> StandardScaler:
        """The scaler."""
        return model.result


FITS = {StandardScaler: Standard}
