"""Sums of every node and fold, gathered once: the models of any nodes without any fold follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from talkoot.api.compare.folds import IN_MEMORY, Folds
from talkoot.api.job import OpenJob
from talkoot.core.context import Ctx, stream_rng
from talkoot.core.learner import Learner
from talkoot.core.plan import Plan
from talkoot.core.query import Answer, Query
from talkoot.core.shard import Block, InMemory, Schema, Shard
from talkoot.core.update import Leaf, Update, total
from talkoot.learners.common.rows import take

MAX_BYTES = 1 << 28  # of sums that are gathered
UNUSABLE = "unusable"  # the name of the answer of a node whose leaves are not all sums, or too large


@final
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class SumsByFold(Query):
    """The sums of a learner with a closed form over each fold of each node's rows, in one pass."""

    learner: Learner  # computes the sums
    point: Any  # what nodes must know of the model about which sums are taken
    splits: tuple[Folds, ...]  # into folds, one for each repeat
    seed: int  # the plan's
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
        for name, blocks in pending.items():
            if blocks:
                update, _ = self.learner.work(self.point, None, InMemory(name=node, held=tuple(blocks)), ctx)
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


@final
class FoldSums:
    """The sums of every node and fold.

    Args:
        plan: turns sums into a model.
        point: the model about which they were taken.
        sums: node -> (repeat, fold) -> the sums of its rows of that fold.
        folds: number of folds.
    """

    def __init__(
        self, plan: Plan, point: Any, sums: Mapping[str, Mapping[tuple[int, int], Update]], folds: int
    ) -> None:
        self._plan, self._point, self._sums, self._folds = plan, point, sums, folds
        self._at: tuple[int, int] | None = None
        self._alone: dict[str, Update] = {}
        self._without: dict[str, Update] = {}

    @classmethod
    def gather(cls, opened: OpenJob, splits: tuple[Folds, ...]) -> FoldSums | None:
        """Query every node once; None for plans whose answer does not follow from sums."""
        plan, schema = opened.job.plan, opened.schema
        if not plan.learner.closed or plan.chain.links:
            return None
        point = plan.learner.init(schema, stream_rng(plan.seed, "init"))
        query = SumsByFold(
            learner=plan.learner,
            point=plan.learner.question(point),
            splits=splits,
            seed=plan.seed,
            schema=schema,
            max_bytes=MAX_BYTES // len(opened.job.shards),
        )
        answers = opened.ask(query)
        if any(UNUSABLE in answer for answer in answers.values()):
            return None
        return cls(plan, point, {node: _unpack(a) for node, a in answers.items()}, splits[0].count)

    def model(self, nodes: Sequence[str], repeat: int, fold: int) -> Any:
        """The model of `nodes` (one, all, or all but one) from the rows of all other folds.

        Returns:
            The final model, as `Learner.finish` takes it; None where the sums do not determine it.
        """
        self._select(repeat, fold)
        chosen = set(nodes)
        left_out = [node for node in self._alone if node not in chosen]
        some = (update for node, update in self._alone.items() if node in chosen)
        update = self._without[left_out[0]] if len(left_out) == 1 else total(some)
        outer = self._plan.outer
        model, state = outer.apply(self._point, update, outer.init(self._point))
        return model if outer.done(state) else None

    def _select(self, repeat: int, fold: int) -> None:
        """Add up each node's sums of the other folds, and those of all nodes but one, without subtraction."""
        if self._at == (repeat, fold):
            return
        self._at = repeat, fold
        others = [at for at in range(self._folds) if at != fold]
        self._alone = {
            node: total(sums[repeat, at] for at in others if (repeat, at) in sums)
            for node, sums in self._sums.items()
        }
        self._without = dict(zip(self._alone, all_but_one(list(self._alone.values())), strict=True))


def all_but_one(updates: Sequence[Update]) -> list[Update]:
    """For each of n updates the sum of the others, by 3n additions and without cancellation.

    >>> one, two = (Update(values={"n": np.array([value])}) for value in (1.0, 2.0))
    >>> [update.values["n"].tolist() for update in all_but_one([one, two, two])]
    [[4.0], [3.0], [3.0]]
    """
    before, after = [Update()], [Update()]
    for update in updates[:-1]:
        before.append(before[-1] + update)
    for update in updates[:0:-1]:
        after.append(after[-1] + update)
    return [left + right for left, right in zip(before, reversed(after), strict=True)] if updates else []


def _unpack(answer: Answer) -> dict[tuple[int, int], Update]:
    values: dict[tuple[int, int], dict[str, np.ndarray]] = {}
    for key, value in answer.items():
        repeat, fold, leaf = key.split(":", 2)
        values.setdefault((int(repeat), int(fold)), {})[leaf.replace(chr(31), "/")] = value
    return {at: Update(values=leaves, weight=float(leaves.pop("")[0])) for at, leaves in values.items()}
