"""ColumnTransformer and FeatureUnion: learners side by side, in the same rounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, final

import numpy as np
from sklearn.compose import ColumnTransformer

from talkoot.core.context import Ctx
from talkoot.core.learner import Learner
from talkoot.core.shard import Schema, Shard
from talkoot.core.transform import Chain
from talkoot.core.update import Update
from talkoot.learners.compose.columns import select_columns
from talkoot.learners.compose.parts import Composition, error_context, part_schema, transformed_shard
from talkoot.learners.compose.shapes import pick
from talkoot.learners.compose.transform import TRANSFORMS, RowTransform, outgoing, row_transform
from talkoot.learners.compose.unions import Columns, Union, columns_of, fitted_union

SEPARATOR = "__"  # between a part's name, which cannot contain it, and the name of a leaf


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ParallelModel:
    """The state of every part."""

    schema: Schema  # of the input rows
    columns: Columns  # the columns that each part reads; parts that read none are left out
    models: Mapping[str, Any]  # each part's state
    # the share of entries stored in the output of all parts; None if unknown or not needed
    density: float | None = None
    done: bool = False  # all parts are fitted, and the density is known if it is needed


@final
@dataclass(frozen=True, slots=True, eq=False)
class PartsQuestion:
    """What nodes must know for a round."""

    # for each part that is not fitted its columns, and what its learner sends
    parts: Mapping[str, tuple[tuple[int, ...], Any]]
    # once all are, the columns and the transform of each part whose output is CSR
    sparse: tuple[tuple[tuple[int, ...], RowTransform], ...] = ()


@final
@dataclass(frozen=True, slots=True)
class Parallel(Composition):
    """ColumnTransformer and FeatureUnion.

    In each round every part that is not fitted works on its columns; its leaves are ``part__leaf``. A
    ColumnTransformer with sparse parts takes one more round to count entries, from which scikit-learn decides
    whether its output is sparse. Sample weights reach every part, as with ``FeatureUnion.fit(X, y,
    sample_weight=w)``; if some parts have ``set_fit_request(sample_weight=True)``, those alone.

    >>> import talkoot as tk
    >>> from sklearn.pipeline import FeatureUnion
    >>> from sklearn.preprocessing import MinMaxScaler, StandardScaler
    >>> union = FeatureUnion([("std", StandardScaler()), ("unit", MinMaxScaler())])
    >>> tk.fit(union, np.array([[1.0], [3.0]]), nodes=2).model.transform([[1.0]]).tolist()
    [[-1.0, 0.0]]
    """

    estimator: Union
    parts: Mapping[str, Learner]
    weighted: frozenset[str]
    own_types: ClassVar[tuple[type, ...]] = (PartsQuestion, *TRANSFORMS)

    @property
    def learners(self) -> Sequence[Learner]:
        """Those of its parts."""
        return tuple(self.parts.values())

    def for_chain(self, chain: Chain) -> Parallel:
        """Each part's own."""
        return replace(self, parts={name: part.for_chain(chain) for name, part in self.parts.items()})

    def init(self, schema: Schema, rng: np.random.Generator) -> ParallelModel:
        """Each part's first state, for its own columns."""
        columns, models = columns_of(self.estimator, schema), {}
        for name, read in columns.items():
            with error_context(name, _names(schema, read)):
                models[name] = self.parts[name].init(self._schema(name, schema, read), rng)
        return self._settled(ParallelModel(schema=schema, columns=columns, models=models))

    def _schema(self, name: str, schema: Schema, columns: tuple[int, ...]) -> Schema:
        return part_schema(self.parts[name], select_columns(schema, columns))

    def question(self, model: ParallelModel) -> PartsQuestion:
        """Those of the parts that are not fitted; once all are, the transforms whose entries are counted."""
        columns, open_parts = model.columns, {k: part for k, part in model.models.items() if not part.done}
        if open_parts:
            parts = {k: (columns[k], self.parts[k].question(part)) for k, part in open_parts.items()}
            return PartsQuestion(parts)
        outputs, fitted = self._outputs(model), self._fitted(model).items()
        return PartsQuestion(
            {}, tuple((columns[k], row_transform(part)) for k, part in fitted if outputs[k].sparse)
        )

    def work(
        self, question: PartsQuestion, local: Mapping[str, Any] | None, shard: Shard, ctx: Ctx
    ) -> tuple[Update, Mapping[str, Any]]:
        """Updates of the parts that are not fitted; once all are, counts of entries in their output."""
        if not question.parts:
            return _entries(question, shard), {}
        updates, states = {}, {}
        for name, (columns, own) in question.parts.items():
            schema, state = self._schema(name, ctx.schema, columns), (local or {}).get(name)
            pick_columns = partial(pick, columns=columns)
            rows = transformed_shard(shard, pick_columns, schema, weighted=name in self.weighted)
            with error_context(name, _names(ctx.schema, columns)):
                here = replace(ctx, schema=schema)
                updates[name], states[name] = self.parts[name].work(own, state, rows, here)
        return _join(updates), states

    def step(self, model: ParallelModel, update: Update) -> ParallelModel:
        """The step of each part that is not fitted."""
        if all(part.done for part in model.models.values()):
            return replace(model, done=True, density=self._density(model, update))
        moved = dict(model.models)
        for name, part in model.models.items():
            if not part.done:
                with error_context(name, _names(model.schema, model.columns[name])):
                    moved[name], _ = self.parts[name].outer().apply(part, _part_update(name, update), None)
        return self._settled(replace(model, models=moved))

    def _settled(self, model: ParallelModel) -> ParallelModel:
        """Done once all parts are, unless their entries have to be counted."""
        if not all(part.done for part in model.models.values()):
            return model
        asks = isinstance(self.estimator, ColumnTransformer) and self.estimator.sparse_threshold > 0
        return replace(model, done=not (asks and any(out.sparse for out in self._outputs(model).values())))

    def _density(self, model: ParallelModel, update: Update) -> float:
        outputs = self._outputs(model).values()
        full = sum(out.features for out in outputs if not out.sparse)
        stored = float(update.values["stored"][0] / update.values["rows"][0])
        return (full + stored) / sum(out.features for out in outputs)

    def _outputs(self, model: ParallelModel) -> dict[str, Schema]:
        """The schema of each part's output."""
        return {
            name: outgoing(part, self._schema(name, model.schema, model.columns[name]))
            for name, part in self._fitted(model).items()
        }

    def _fitted(self, model: ParallelModel) -> dict[str, Any]:
        return {name: self.parts[name].finish(part) for name, part in model.models.items()}

    def measures(self, model: ParallelModel) -> Mapping[str, float]:
        """Those of every part, as ``part__metric``."""
        return {
            f"{name}{SEPARATOR}{metric}": value
            for name, part in model.models.items()
            for metric, value in self.parts[name].measures(part).items()
        }

    def finish(self, model: ParallelModel) -> Any:
        """A fitted clone of the union."""
        return fitted_union(self.estimator, model.schema, model.columns, self._fitted(model), model.density)


def _entries(question: PartsQuestion, shard: Shard) -> Update:
    """The leaves rows, and stored: entries of the parts whose output is CSR."""
    rows = stored = 0
    for block in shard.blocks():
        rows += len(block)
        stored += sum(transform(pick(block.X, columns)).nnz for columns, transform in question.sparse)
    counts = {"rows": np.array([float(rows)]), "stored": np.array([float(stored)])}
    return Update(values=counts, weight=float(rows))


def _names(schema: Schema, columns: tuple[int, ...]) -> tuple[str, ...] | None:
    """The positions of a part's columns as names for errors; None if columns have names."""
    return None if schema.names is not None else tuple(map(str, columns))


def _join(updates: Mapping[str, Update]) -> Update:
    """The parts' updates, of the same rows, as one."""
    return Update(
        values={f"{name}{SEPARATOR}{k}": v for name, part in updates.items() for k, v in part.values.items()},
        weight=max(part.weight for part in updates.values()),
        kinds={f"{name}{SEPARATOR}{k}": v for name, part in updates.items() for k, v in part.kinds.items()},
    )


def _part_update(name: str, update: Update) -> Update:
    """The update of one part."""
    own = f"{name}{SEPARATOR}"
    return Update(
        values={k.removeprefix(own): v for k, v in update.values.items() if k.startswith(own)},
        weight=update.weight,
        kinds={k.removeprefix(own): v for k, v in update.kinds.items() if k.startswith(own)},
    )
