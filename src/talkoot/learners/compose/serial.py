"""Pipeline: learners one after the other, in one run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from talkoot.core.context import Ctx, stream_rng
from talkoot.core.learner import Kind, Learner
from talkoot.core.outer import Outer, Solve
from talkoot.core.shard import Schema, Shard
from talkoot.core.update import Update
from talkoot.learners.compose.block_cache import Memo
from talkoot.learners.compose.parts import blamed, fitting, seen_through, weakest
from talkoot.learners.compose.stateless import Stateless
from talkoot.learners.compose.transform import Chain, flow, outgoing


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SerialModel:
    """The steps that are fitted, and the state of the one that is being fitted.

    Args:
        schema: the rows that the present step sees.
        model: the present step's state.
        fitted: the steps before it.
        way: what they do to the rows.
        columns: what the present step's columns are called, where its schema has no names.
        seed: random numbers of later steps follow from it.
        last: the number of the last step.
    """

    schema: Schema
    model: Any
    fitted: tuple[Any, ...] = ()
    way: Chain = field(default_factory=Chain)
    columns: tuple[str, ...] | None = None
    seed: int
    last: int

    @property
    def index(self) -> int:
        """The present step's number."""
        return len(self.fitted)

    @property
    def done(self) -> bool:
        """Whether the last step has its answer."""
        return self.index == self.last and bool(self.model.done)


@final
@dataclass(frozen=True, slots=True, eq=False)
class Kept:
    """What a node keeps for the present step.

    Args:
        index: the step's number.
        own: what the step's learner keeps.
        memo: the rows that the step sees.
    """

    index: int
    own: Any = None
    memo: Memo = field(default_factory=Memo)


@final
@dataclass(frozen=True, slots=True)
class Serial(Learner):
    """Pipeline.

    A step is fitted to rows that go through the fitted steps before it, block by block on the nodes. From a
    step's second pass on the node keeps what comes out, if it is little. The cache that the pipeline's
    `memory` names is not used.

    Sample weights reach the last step, as with ``fit(X, y, last__sample_weight=w)``; where some steps were
    told so by ``set_fit_request(sample_weight=True)``, they reach those and no others.

    >>> import talkoot as tk
    >>> from sklearn.linear_model import Ridge
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X = np.arange(20.0).reshape(10, 2)
    >>> tk.fit(make_pipeline(StandardScaler(), Ridge()), X, X[:, 0], nodes=2).model.predict(X[:1]).round(3)
    array([0.429])
    """

    estimator: Pipeline = field(repr=False)
    steps: tuple[tuple[str, Learner], ...]
    weighted: frozenset[str]

    @property
    def kind(self) -> Kind:
        """As the weakest step."""
        return weakest(step for _, step in self.steps)

    @property
    def closed(self) -> bool:
        """Whether one step alone is fitted, in the last rounds, and is closed."""
        asking = [step for _, step in self.steps if not isinstance(step, Stateless) or step.tries]
        return bool(asking) and asking[-1].closed and all(isinstance(step, Stateless) for step in asking[:-1])

    @property
    def threads(self) -> bool:
        """Whether all steps leave other threads the interpreter."""
        return all(step.threads for _, step in self.steps)

    @property
    def large_integers(self) -> bool:
        """Whether some step tells large whole numbers apart."""
        return any(step.large_integers for _, step in self.steps)

    def init(self, schema: Schema, rng: np.random.Generator) -> SerialModel:
        """The first step's start."""
        name, step = self.steps[0]
        schema = fitting(step, schema)
        with blamed(name):
            model = step.init(schema, rng)
        start = SerialModel(
            schema=schema, model=model, seed=int(rng.integers(2**63)), last=len(self.steps) - 1
        )
        return self._advanced(start)

    def work(self, model: SerialModel, local: Kept | None, shard: Shard, ctx: Ctx) -> tuple[Update, Kept]:
        """The present step's work on rows that went through the steps before."""
        name, step = self.steps[model.index]
        again = local is not None and local.index == model.index
        kept = local if local is not None and again else Kept(model.index)
        rows, memo = seen_through(shard, model.way, model.schema, weighted=name in self.weighted), kept.memo
        if again and model.way.links:
            rows, memo = memo.through(rows, len(ctx.cohort))
        with blamed(name, model.columns):
            update, own = step.work(model.model, kept.own, rows, ctx)
        return update, Kept(model.index, own, memo)

    def outer(self) -> Outer:
        """The present step's."""
        return Solve(self.step)

    def step(self, model: SerialModel, update: Update) -> SerialModel:
        """The present step's, then on to the next ones while there is nothing to ask the nodes."""
        name, step = self.steps[model.index]
        with blamed(name, model.columns):
            moved, _ = step.outer().apply(model.model, update, None)
        return self._advanced(replace(model, model=moved))

    def _advanced(self, model: SerialModel) -> SerialModel:
        while model.model.done and model.index < model.last:
            model = self._next(model)
        return model

    def _next(self, model: SerialModel) -> SerialModel:
        """The start of the step after the present one, which has its answer."""
        fitted = self.steps[model.index][1].finish(model.model)
        schema = outgoing(fitted, model.schema)
        columns = None if schema.names is not None else _columns(fitted, model)
        index = model.index + 1
        name, step = self.steps[index]
        schema = fitting(step, schema)
        with blamed(name, columns):
            start = step.init(schema, stream_rng(model.seed, index))
        return replace(
            model,
            schema=schema,
            model=start,
            fitted=(*model.fitted, fitted),
            way=Chain((*model.way.links, flow(fitted))),
            columns=columns,
        )

    def measures(self, model: SerialModel) -> Mapping[str, float]:
        """The present step's."""
        return self.steps[model.index][1].measures(model.model)

    def finish(self, model: SerialModel) -> Pipeline:
        """A clone of the pipeline whose steps are fitted."""
        made = clone(self.estimator)
        fitted = (*model.fitted, self.steps[-1][1].finish(model.model))
        made.steps = [(name, step) for (name, _), step in zip(self.steps, fitted, strict=True)]
        return made


def _columns(fitted: Any, model: SerialModel) -> tuple[str, ...] | None:
    """What the columns that come out of a step are called in errors."""
    before = model.schema.names or model.columns
    if fitted is None or isinstance(fitted, str):
        return before
    try:
        return tuple(fitted.get_feature_names_out(before))
    except (AttributeError, ValueError):
        return None
