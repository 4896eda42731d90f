"""The sums of each fold of each node's rows, of which the models of any nodes without any fold follow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.core.context import Ctx, stream_rng
from talkoot.core.learner import Learner
from talkoot.core.query import Answer, Query
from talkoot.core.shard import Block, InMemory, Schema, Shard
from talkoot.core.update import Leaf, Update
from talkoot.learners import learner_for
from talkoot.learners.common.rows import take
from talkoot.learners.held_out.folds import IN_MEMORY, Folds

UNUSABLE = "unusable"  # the name of the answer of a node whose leaves are not all sums, or too large


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SumsByFold(Query):
    """The sums of a learner with a closed form over each fold of each node's rows, in one pass."""

    learner: Any  # computes the sums; the estimator that it fits, where it has travelled as such
    splits: tuple[Folds, ...]  # into folds, one for each repeat
    seed: int  # the plan's; the model about which sums are taken follows from it
    schema: Schema  # of the rows
    max_bytes: int  # that a node may send

    def answer(self, shard: Shard) -> Answer:
        """The leaves of every update, named ``"repeat:fold:leaf"``."""
        names = [(r, f) for r, folds in enumerate(self.splits) for f in range(folds.count)]
        sums: dict[tuple[int, int], Update] = dict.fromkeys(names, Update())
        pending: dict[tuple[int, int], list[Block]] = {name: [] for name in names}
        assigners = [folds.assigner(shard.name) for folds in self.splits]
        rows = 0
        for block in shard.blocks():
            for repeat, assign in enumerate(assigners):
                fold = assign(block)
                for at in np.unique(fold).tolist():
                    pending[repeat, at].append(take(block, np.flatnonzero(fold == at)))
            rows += len(block)
            if rows * self.schema.features > IN_MEMORY:
                if not self._add(sums, pending, shard.name):
                    break
                rows = 0
        return _pack(sums) if self._add(sums, pending, shard.name) else {UNUSABLE: np.ones(1)}

    def _add(
        self, sums: dict[tuple[int, int], Update], pending: dict[tuple[int, int], list[Block]], node: str
    ) -> bool:
        """Add the sums of the pending rows and drop the rows; False where the sums are unusable."""
        ctx = Ctx(node=node, cohort=(node,), seed=self.seed, schema=self.schema)
        learner: Learner = learner_for(self.learner)
        point = learner.question(learner.init(self.schema, stream_rng(self.seed, "init")))
        for name, blocks in pending.items():
            if blocks:
                update, _ = learner.work(point, None, InMemory(name=node, held=tuple(blocks)), ctx)
                sums[name] = sums[name] + update
                size = sum(value.nbytes for update in sums.values() for value in update.values.values())
                if size > self.max_bytes or any(kind is not Leaf.SUM for kind in update.kinds.values()):
                    return False
                blocks.clear()
        return True


def _pack(sums: Mapping[tuple[int, int], Update]) -> Answer:
    answer: dict[str, np.ndarray] = {}
    for (repeat, fold), update in sums.items():
        for leaf, value in (*update.values.items(), ("", np.array([update.weight]))):
            answer[f"{repeat}:{fold}:{leaf.replace('/', chr(31))}"] = value  # no slash, see `Gather`
    return answer
