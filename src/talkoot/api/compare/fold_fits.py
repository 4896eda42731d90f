"""Models of any nodes without any fold of their rows: what comparisons and values are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, final

import numpy as np

from talkoot.api.compare.experiment import FoldCounts
from talkoot.api.compare.fold_sums import FoldSums
from talkoot.api.compare.folds import FEW, Blocks, Folds, Part, Relabel, joined
from talkoot.api.job import Job
from talkoot.core.engine import Emit
from talkoot.core.errors import DataError, PlanError, TalkootError
from talkoot.core.shard import Mapped, Schema, Shard
from talkoot.engines.inline import Inline


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldFits:
    """Trains models on the rows of some nodes without those of a fold.

    Args:
        job: the plan, and where it runs.
        schema: what the nodes agreed on over all their rows.
        shards: the rows, bound to it.
        deals: into folds, one for each repeat.
        rows: node -> (repeats, folds, classes) number of rows.
        sums: of all nodes and folds, where models follow from them.
        groups: nodes of this process whose learner does not mind how rows are dealt train as so many
            nodes, which is faster where they have few rows; 0 to train as they are.
        held: the rows of each node without a fold, of the present fold.
        emit: hears of workers that were lost.
    """

    job: Job
    schema: Schema
    shards: Mapping[str, Shard]
    deals: tuple[Folds, ...]
    rows: Mapping[str, np.ndarray]
    sums: FoldSums | None
    groups: int
    held: dict[tuple[int, int], dict[str, Blocks]]
    emit: Emit

    @classmethod
    def of(
        cls,
        job: Job,
        schema: Schema,
        shards: Mapping[str, Shard],
        deals: tuple[Folds, ...],
        emit: Emit,
    ) -> FoldFits:
        """Count the rows, and sum them where that is enough."""
        classes = 1 if schema.classes is None else len(schema.classes)
        found = FoldCounts(deals=deals, classes=classes).put(shards, job.engine, schema, emit)
        none = np.zeros((len(deals), deals[0].count, classes), dtype=np.int64)
        return cls(
            job=job,
            schema=schema,
            shards=shards,
            deals=deals,
            rows={node: found[node]["rows"] if node in found else none for node in shards},
            sums=FoldSums.gather(job.plan, shards, job.engine, schema, deals, emit),
            groups=_groups(job, schema),
            held={},
            emit=emit,
        )

    def fit(self, nodes: Sequence[str], repeat: int, fold: int, near: Fitted | None = None) -> Fitted:
        """What `nodes` learn together from the rows of all folds but one.

        Args:
            nodes: their names.
            repeat: the deal.
            fold: the fold that is held out.
            near: a fit without that fold from whose solution to start, where the learner can.

        Raises:
            TalkootError: they cannot learn.
        """
        dealt = sum(self.rows[node][repeat] for node in nodes)
        schema, index = narrowed(self.schema, dealt.sum(axis=0) - dealt[fold])
        learner = self.job.plan.learner
        if index is None and self.sums is not None:
            model = self.sums.model(nodes, repeat, fold)
            if model is not None:
                return Fitted(model, learner.finish(model))
        warm: Any = getattr(learner, "warm", None)
        start = None if warm is None or near is None else warm(near.state, schema)

        def run(shards: Mapping[str, Shard]) -> Fitted:
            if index is not None:
                shards = {node: Mapped(shard, Relabel(index)) for node, shard in shards.items()}
            done = self.job.execute(schema, shards, self.emit, start=start)
            return Fitted(done.model, learner.finish(done.model))

        if len(nodes) > 1 and self.groups:
            with suppress(TalkootError):  # it would not name the node: that is for the nodes one by one
                return run(self._grouped(nodes, repeat, fold))
        return run(self.parts(nodes, repeat, fold))

    def together(self, repeat: int, fold: int) -> Fitted:
        """What all nodes learn without one fold.

        Raises:
            DataError: the rows of the other folds have one label.
            TalkootError: they cannot learn.
        """
        dealt = sum(self.rows[node][repeat] for node in self.shards)
        try:
            narrowed(self.schema, dealt.sum(axis=0) - dealt[fold])
        except DataError as error:
            why = error.cause.replace("all its rows", "all rows")
            cure = "Take fewer folds, or another seed: a label is rarer than folds can be dealt."
            raise DataError(f"without fold {fold + 1} of {len(dealt)}, {why}", cure=cure) from None
        return self.fit(list(self.shards), repeat, fold)

    def attempt(
        self, nodes: Sequence[str], repeat: int, fold: int, near: Fitted | None = None
    ) -> tuple[Any, str]:
        """The fitted estimator, or None and the reason."""
        try:
            return self.fit(nodes, repeat, fold, near).estimator, ""
        except TalkootError as error:
            return None, error.cause.rstrip(".")

    def _grouped(self, nodes: Sequence[str], repeat: int, fold: int) -> dict[str, Shard]:
        """The rows of `nodes` without one fold, as those of a few nodes."""
        if (repeat, fold) not in self.held:
            self.held.clear()
            parts = self.parts(list(self.shards), repeat, fold)
            self.held[repeat, fold] = {
                node: Blocks(node, tuple(part.blocks())) for node, part in parts.items()
            }
        held = self.held[repeat, fold]
        blocks = [block for node in nodes for block in held[node].blocks()]
        shares = np.array_split(np.arange(len(blocks)), min(self.groups, len(blocks)))
        names = [f"group {at}" for at in range(len(shares))]
        return {
            name: Blocks(name, (joined([blocks[at] for at in share]),))
            for name, share in zip(names, shares, strict=True)
        }

    def parts(self, nodes: Sequence[str], repeat: int, fold: int) -> dict[str, Shard]:
        """The rows of `nodes` without one fold."""
        folds = self.deals[repeat]
        return {node: Part(shard=self.shards[node], folds=folds, fold=fold) for node in nodes}


def _groups(job: Job, schema: Schema) -> int:
    plan = job.plan
    plain = plan.learner.kind == "exact" and not plan.chain.links and plan.sync == plan.learner.sync()
    here = isinstance(job.engine, Inline) and schema.rows * schema.features <= FEW
    return job.engine.threads if plain and here and isinstance(job.engine, Inline) else 0


@final
@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fit: the final model of its run, and the estimator that came of it."""

    state: Any
    estimator: Any


def deals_of(folds: int, repeats: int, seed: int) -> tuple[Folds, ...]:
    """One deal into folds for each repeat.

    Raises:
        PlanError: numbers that make no sense.
    """
    if folds < 2 or repeats < 1:
        raise PlanError(f"folds={folds}, repeats={repeats}", cure="Take folds >= 2 and repeats >= 1.")
    return tuple(Folds(count=folds, seed=seed + repeat) for repeat in range(repeats))


def narrowed(schema: Schema, counts: np.ndarray) -> tuple[Schema, tuple[int, ...] | None]:
    """The schema of rows of which some classes may be missing.

    Args:
        schema: of all rows.
        counts: (classes,) rows that are there.

    Returns:
        The schema, and for each old class its new index, or None where no class is missing.

    Raises:
        DataError: no rows, or rows of a single class.
    """
    rows, there = int(counts.sum()), counts > 0
    if not rows:
        raise DataError("it has no rows")
    if schema.classes is None or there.all():
        return replace(schema, rows=rows), None
    if there.sum() == 1:
        raise DataError(f"all its rows have the label {schema.classes[there].tolist()[0]!r}")
    index = tuple(np.where(there, np.cumsum(there) - 1, -1).tolist())
    return replace(schema, rows=rows, classes=schema.classes[there]), index
