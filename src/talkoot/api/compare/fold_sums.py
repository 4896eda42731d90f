"""Sums of every node and fold, gathered once: the models of any nodes without any fold follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, final

import numpy as np

from talkoot.api.job import OpenJob
from talkoot.core.context import stream_rng
from talkoot.core.plan import Plan
from talkoot.core.query import Answer
from talkoot.core.update import Update, total
from talkoot.learners.held_out.folds import Folds
from talkoot.learners.held_out.sums import UNUSABLE, SumsByFold

MAX_BYTES = 1 << 28  # of sums that are gathered


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
