"""Trains the models of any nodes without any fold of their rows, for `tk.compare` and `fit.value()`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.api.compare.fold_sums import FoldSums
from talkoot.api.job import OpenJob
from talkoot.core.engine import View, ignore
from talkoot.core.errors import TalkootError
from talkoot.core.shard import Block, InMemory, Schema, Shard
from talkoot.engines.inline import Inline
from talkoot.learners.common.rows import concatenate
from talkoot.learners.held_out.folds import (
    IN_MEMORY,
    Folds,
    TrainingRows,
    training_schema,
    without_missing_classes,
)
from talkoot.learners.held_out.scores import FoldCounts


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FoldFits:
    """Trains models on the rows of some nodes without those of a fold."""

    opened: OpenJob  # the job, with its nodes
    splits: tuple[Folds, ...]  # into folds, one for each repeat
    rows: Mapping[str, np.ndarray]  # node -> (repeats, folds, classes) number of rows
    sums: FoldSums | None  # of all nodes and folds, where models follow from them
    groups: int  # train as so many nodes, which is faster where nodes have few rows; 0 to train as they are
    # (repeat, fold) -> node -> its rows without that fold, of the present fold only
    training_rows: dict[tuple[int, int], dict[str, tuple[Block, ...]]]

    @classmethod
    def of(cls, opened: OpenJob, splits: tuple[Folds, ...]) -> FoldFits:
        """Count the rows, and sum them where that is enough."""
        classes = 1 if opened.schema.classes is None else len(opened.schema.classes)
        found = opened.ask(FoldCounts(splits=splits, classes=classes))
        none = np.zeros((len(splits), splits[0].count, classes), dtype=np.int64)
        return cls(
            opened=opened,
            splits=splits,
            rows={node: found[node]["rows"] if node in found else none for node in opened.job.shards},
            sums=FoldSums.gather(opened, splits),
            groups=_groups(opened),
            training_rows={},
        )

    @property
    def schema(self) -> Schema:
        """Of all rows of all nodes."""
        return self.opened.schema

    def fit(self, nodes: Sequence[str], repeat: int, fold: int, warm_start: Fitted | None = None) -> Fitted:
        """Train `nodes` together on the rows of all folds but one.

        `warm_start` is a fit without that fold from whose solution to start, where the learner can.

        Raises:
            TalkootError: they cannot learn.
        """
        counts = sum(self.rows[node][repeat] for node in nodes)
        schema, index = without_missing_classes(self.schema, counts.sum(axis=0) - counts[fold])
        learner = self.opened.job.plan.learner
        if index is None and self.sums is not None:
            model = self.sums.model(nodes, repeat, fold)
            if model is not None:
                return Fitted(model, learner.finish(model))
        start = None if warm_start is None else learner.warm(warm_start.state, schema)

        def run(view: View, among: Sequence[str]) -> Fitted:
            done = self.opened.run(schema=schema, view=view, among=among, emit=ignore, start=start)
            return Fitted(done.model, learner.finish(done.model))

        if len(nodes) > 1 and self.groups and index is None:
            with suppress(TalkootError):  # its error would not name the node; train again, node by node
                groups = self._grouped(nodes, repeat, fold)
                return run(lambda shard: groups[shard.name], list(groups))
        return run(self._training_view(repeat, fold, index), nodes)

    def together(self, repeat: int, fold: int) -> Fitted:
        """Train all nodes together without one fold.

        Raises:
            DataError: the rows of the other folds have one label.
            TalkootError: they cannot learn.
        """
        training_schema(self.schema, np.sum([self.rows[node][repeat] for node in self.rows], axis=0), fold)
        return self.fit(list(self.rows), repeat, fold)

    def attempt(
        self, nodes: Sequence[str], repeat: int, fold: int, warm_start: Fitted | None = None
    ) -> tuple[Any, str]:
        """The fitted estimator, or None and the reason."""
        try:
            return self.fit(nodes, repeat, fold, warm_start).estimator, ""
        except TalkootError as error:
            return None, error.cause.rstrip(".")

    def _grouped(self, nodes: Sequence[str], repeat: int, fold: int) -> dict[str, Shard]:
        """The rows of `nodes` without one fold, in memory, as those of a few nodes."""
        if (repeat, fold) not in self.training_rows:
            self.training_rows.clear()
            parts = self.parts(repeat, fold)
            self.training_rows[repeat, fold] = {node: tuple(part.blocks()) for node, part in parts.items()}
        rows = self.training_rows[repeat, fold]
        blocks = [block for node in nodes for block in rows[node]]
        shares = np.array_split(np.arange(len(blocks)), min(self.groups, len(blocks)))
        return {
            node: InMemory(name=node, held=(concatenate([blocks[at] for at in share]),))
            for node, share in zip(self.rows, shares, strict=False)
        }

    def parts(self, repeat: int, fold: int) -> dict[str, Shard]:
        """The rows of all nodes without one fold, in this process."""
        view = self._training_view(repeat, fold)
        return {node: view(shard) for node, shard in self.opened.job.shards.items()}

    def _training_view(self, repeat: int, fold: int, index: tuple[int, ...] | None = None) -> View:
        assert self.opened.view is not None
        return TrainingRows(view=self.opened.view, folds=self.splits[repeat], fold=fold, index=index)


def _groups(opened: OpenJob) -> int:
    """As how many nodes to train: one for each thread where few rows are in this process and the learner is
    exact, so that the answer does not depend on how rows are split over nodes; else 0.
    """
    plan, engine, schema = opened.job.plan, opened.job.engine, opened.schema
    plain = plan.learner.kind == "exact" and not plan.chain.links and plan.sync == plan.learner.sync()
    few = schema.rows * schema.features <= IN_MEMORY
    return engine.threads if plain and few and isinstance(engine, Inline) else 0


@final
@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The final model of a run, and the estimator made from it."""

    state: Any
    estimator: Any
