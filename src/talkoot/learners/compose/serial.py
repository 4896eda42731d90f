"""Pipeline: its steps are fitted one after the other, in one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, final

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from talkoot.core.context import Ctx, stream_rng
from talkoot.core.learner import Learner
from talkoot.core.shard import Schema, Shard
from talkoot.core.transform import Chain as UpdateChain
from talkoot.core.update import Update
from talkoot.learners.compose.block_cache import BlockCache
from talkoot.learners.compose.parts import Composition, error_context, part_schema, transformed_shard
from talkoot.learners.compose.stateless import Stateless
from talkoot.learners.compose.transform import Chain, outgoing, row_transform


@final
@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """The rows that a step reads."""

    schema: Schema  # of these rows
    transform: Chain = field(default_factory=Chain)  # by the fitted steps before it
    columns: tuple[str, ...] | None = None  # names of its columns for errors, if the schema has none

    def after(self, fitted: Any, step: Learner) -> Stage:
        """The rows of the next step, once this stage's step is fitted."""
        schema = outgoing(fitted, self.schema)
        columns = None if schema.names is not None else _columns(fitted, self)
        transform = Chain((*self.transform.links, row_transform(fitted)))
        return Stage(part_schema(step, schema), transform, columns)


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SerialModel:
    """The fitted steps, and the state of the current one."""

    stage: Stage  # the rows that the current step reads
    model: Any  # the current step's state
    fitted: tuple[Any, ...] = ()  # the steps before it
    seed: int  # seed of the random numbers of later steps
    last: int  # index of the last step
    earlier: Mapping[str, np.ndarray] | None = None  # of the last step, by an interrupted run

    @property
    def index(self) -> int:
        """Index of the current step."""
        return len(self.fitted)

    @property
    def done(self) -> bool:
        """Whether the last step is fitted."""
        return self.index == self.last and bool(self.model.done)


@final
@dataclass(frozen=True, slots=True, eq=False)
class StepQuestion:
    """What nodes must know for a round of the current step."""

    fitted: tuple[Any, ...]  # the steps before it
    own: Any  # what its learner sends


@final
@dataclass(frozen=True, slots=True, eq=False)
class StepState:
    """A node's own state for the current step."""

    index: int  # of the step
    own: Any = None  # the node's state for the step's learner
    stage: Stage | None = None  # the rows that the step reads
    cache: BlockCache = field(default_factory=BlockCache)  # these rows

    def __reduce__(self) -> Any:
        return StepState, (self.index, self.own)  # the rest can be computed again


@final
@dataclass(frozen=True, slots=True)
class Serial(Composition):
    """Pipeline.

    Nodes transform rows by the fitted steps, block by block. From a step's second pass on a node caches the
    transformed rows, if they are few. The pipeline's `memory` is not used.

    Sample weights reach the last step, as with ``fit(X, y, last__sample_weight=w)``; if some steps have
    ``set_fit_request(sample_weight=True)``, those alone.

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
    own_types: ClassVar[tuple[type, ...]] = (StepQuestion,)

    @property
    def learners(self) -> Sequence[Learner]:
        """Those of its steps."""
        return tuple(step for _, step in self.steps)

    def for_chain(self, chain: UpdateChain) -> Serial:
        """Each step's own."""
        return replace(self, steps=tuple((name, step.for_chain(chain)) for name, step in self.steps))

    @property
    def closed(self) -> bool:
        """Whether one step alone is fitted, in the last rounds, and is closed."""
        steps = [step for step in self.learners if not isinstance(step, Stateless) or step.tries]
        return bool(steps) and steps[-1].closed and all(isinstance(step, Stateless) for step in steps[:-1])

    @property
    def resumes(self) -> bool:
        """Whether the last step does."""
        return self.learners[-1].resumes

    def init(self, schema: Schema, rng: np.random.Generator) -> SerialModel:
        """The first step's first state."""
        name, step = self.steps[0]
        stage = self._stage((), schema)
        with error_context(name):
            model = step.init(stage.schema, rng)
        start = SerialModel(stage=stage, model=model, seed=int(rng.integers(2**63)), last=len(self.steps) - 1)
        return self._advanced(start)

    def _stage(self, fitted: tuple[Any, ...], schema: Schema) -> Stage:
        """The rows that the step after the fitted ones reads."""
        first, *later = self.learners
        stage = Stage(part_schema(first, schema))
        for done, step in zip(fitted, later, strict=False):
            stage = stage.after(done, step)
        return stage

    def question(self, model: SerialModel) -> StepQuestion:
        """The fitted steps, and the current step's question."""
        return StepQuestion(model.fitted, self.steps[model.index][1].question(model.model))

    def pooled(self, question: StepQuestion) -> bool:
        """Whether the current step is."""
        return self.steps[len(question.fitted)][1].pooled(question.own)

    def work(
        self, question: StepQuestion, local: StepState | None, shard: Shard, ctx: Ctx
    ) -> tuple[Update, StepState]:
        """The current step's work on transformed rows."""
        index = len(question.fitted)
        name, step = self.steps[index]
        again = local is not None and local.index == index
        state = local if local is not None and again else StepState(index)
        stage = state.stage or self._stage(question.fitted, ctx.schema)
        rows = transformed_shard(shard, stage.transform, stage.schema, weighted=name in self.weighted)
        cache = state.cache
        if again and stage.transform.links:
            rows, cache = cache.through(rows, len(ctx.cohort))
        with error_context(name, stage.columns):
            update, own = step.work(question.own, state.own, rows, replace(ctx, schema=stage.schema))
        return update, StepState(index, own, stage, cache)

    def step(self, model: SerialModel, update: Update) -> SerialModel:
        """The current step's own; then the next step that needs the nodes becomes the current one."""
        name, step = self.steps[model.index]
        with error_context(name, model.stage.columns):
            moved, _ = step.outer().apply(model.model, update, None)
        return self._advanced(replace(model, model=moved))

    def _advanced(self, model: SerialModel) -> SerialModel:
        while model.model.done and model.index < model.last:
            model = self._next(model)
        return model

    def _next(self, model: SerialModel) -> SerialModel:
        """The first state of the next step, after the current one is fitted."""
        fitted = self.steps[model.index][1].finish(model.model)
        index = model.index + 1
        name, step = self.steps[index]
        stage = model.stage.after(fitted, step)
        with error_context(name, stage.columns):
            start = step.init(stage.schema, stream_rng(model.seed, index))
        begun = replace(model, stage=stage, model=start, fitted=(*model.fitted, fitted))
        return begun if model.earlier is None else self.resumed(begun, model.earlier)

    def interim(self, model: SerialModel) -> Mapping[str, np.ndarray] | None:
        """That of the last step; None before it."""
        return self.steps[-1][1].interim(model.model) if model.index == model.last else None

    def resumed(self, model: SerialModel, interim: Mapping[str, np.ndarray]) -> SerialModel:
        """The steps before the last one are fitted again, and it goes on from what it had."""
        if model.index < model.last:
            return replace(model, earlier=interim)
        return replace(model, model=self.steps[-1][1].resumed(model.model, interim), earlier=None)

    def measures(self, model: SerialModel) -> Mapping[str, float]:
        """Those of the current step."""
        return self.steps[model.index][1].measures(model.model)

    def finish(self, model: SerialModel) -> Pipeline:
        """A clone of the pipeline whose steps are fitted."""
        made = clone(self.estimator)
        fitted = (*model.fitted, self.steps[-1][1].finish(model.model))
        made.steps = [(name, step) for (name, _), step in zip(self.steps, fitted, strict=True)]
        return made


def _columns(fitted: Any, stage: Stage) -> tuple[str, ...] | None:
    """Names, for errors, of a fitted step's output columns."""
    before = stage.schema.names or stage.columns
    if fitted is None or isinstance(fitted, str):
        return before
    try:
        return tuple(fitted.get_feature_names_out(before))
    except (AttributeError, ValueError):
        return None
